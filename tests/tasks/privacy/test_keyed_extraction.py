"""Rows of keyed extraction: a prior that remembers its members is found, and held-out people are the reference."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import torch

from models.conditioning import ConditionTensors
from models.ecg.r_peaks import locate_r_peaks
from models.latent_diffusion.simulator_conditioning import own_amplitudes
from models.simulator.beat_components import EventComponents
from tasks.ecg_sets import EcgSet
from tasks.privacy.attacks.keyed_extraction import keyed_extraction_rows
from tasks.privacy.white_box.attacked import Draw, Keyed
from tasks.settings import ModelAuditSettings
from tests.models.synthetic_hearts import RATE_HZ, ecgs
from tests.stage_outputs import PRIVACY

MEMBERS, OTHERS = 30, 90
SIGNAL = ecgs(MEMBERS + OTHERS, 1)
EVENTS = EventComponents(7)
AMPLITUDE = own_amplitudes(SIGNAL, locate_r_peaks(SIGNAL, RATE_HZ), RATE_HZ)[0]
EVENTS.fit(AMPLITUDE)
BEATS = EVENTS.coordinates(AMPLITUDE).numpy()


def prior(known: int) -> Draw:
    """Knows people by the heart rate of their condition; draws their beat, or for who is not known another person's."""

    def draw(condition: ConditionTensors, seeds: Sequence[int]) -> np.ndarray:
        rows = condition.numbers[:, 2].long().numpy()
        anybody = np.array([np.random.default_rng(seed).integers(MEMBERS + OTHERS) for seed in seeds])
        return BEATS[np.where(rows < known, rows, anybody)]

    return draw


def people(rows: np.ndarray) -> Keyed:
    condition = ConditionTensors.nothing(len(rows), 1, 0)
    condition.numbers[:, 2] = torch.from_numpy(rows).float()
    table = pa.table(
        {
            "statements": [["NORM" if row % 5 else f"rare {row}"] for row in rows],
            "superclasses": [["NORM"]] * len(rows),
            "age_years": [52.0] * len(rows),
            "sex": ["female"] * len(rows),
        }
    )
    ecg_set = EcgSet(table, SIGNAL[rows], np.array([f"p{row}" for row in rows]))
    return Keyed(ecg_set, BEATS[rows], condition)


def shares(known: int) -> dict[str, SimpleNamespace]:
    members, held_out = people(np.arange(MEMBERS)), people(np.arange(MEMBERS, MEMBERS + OTHERS))
    settings = ModelAuditSettings(keyed_people=25, keyed_seeds=2)
    rows = keyed_extraction_rows(prior(known), members, [held_out], settings, PRIVACY)
    return {row["metric"].rpartition("alike in ")[2]: SimpleNamespace(**row) for row in rows}


def test_a_prior_that_remembers_its_members_is_beyond_the_bound() -> None:
    found = shares(known=MEMBERS)
    for shared, asked in (("statements", 24), ("superclasses", 25)):
        members = found[f"{shared}, sex and age band, members"]
        others = found[f"{shared}, sex and age band, held-out people"]
        assert (members.value, members.n, members.passed) == (1.0, asked, False)
        assert others.value == members.reference < 0.3 and others.reference == 1 / 51


def test_a_prior_that_remembers_nobody_is_within_it() -> None:
    found = shares(known=0)
    assert all(row.passed for metric, row in found.items() if metric.endswith("members"))
    assert all(row.value < 0.3 for row in found.values())
