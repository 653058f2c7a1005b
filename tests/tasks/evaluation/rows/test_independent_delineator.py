"""The second delineator tells sinus rhythm, long PR intervals and atrial fibrillation apart by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.simulator.heart_simulator import simulate
from models.simulator.hearts import draw_anatomy, draw_hearts
from models.simulator.simulated_conditions import PROGRAMS
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.independent_delineator import independent_delivery_rows, independent_measures
from tasks.settings import EvaluationSettings

EACH = 20
PROGRAM_OF = {"AFIB": "atrial fibrillation", "SR": "normal sinus rhythm", "1AVB": "first-degree AV block"}


@pytest.fixture(scope="module")
def ecgs() -> EcgSet:
    """Twenty simulated ECGs of each condition."""
    generator = torch.Generator().manual_seed(3)
    count = EACH * len(PROGRAM_OF)
    anatomy = draw_anatomy(torch.full((count,), 60.0), torch.arange(count) % 2, generator)
    programs = [PROGRAMS[name] for name in PROGRAM_OF.values() for _ in range(EACH)]
    signal = simulate(draw_hearts(programs, anatomy, generator), generator).numpy()
    statements = pa.array([[code] for code in PROGRAM_OF for _ in range(EACH)])
    return EcgSet(pa.table({"statements": statements}), signal, np.arange(count).astype(str))


def test_conditions_measure_as_they_were_simulated_and_mislabelled_ones_do_not(ecgs: EcgSet) -> None:
    settings = EvaluationSettings(bootstrap_samples=20)
    # Every condition's ECGs under the name of the next.
    turned = replace(ecgs, signal=np.roll(ecgs.signal, EACH, axis=0))
    compared = Compared(ecgs, ecgs, turned, {}, {}, 100, settings, np.array([]))
    rows = {(one["condition"], one["metric"]): one for one in independent_delivery_rows(compared)}
    for code, rule in (("AFIB", "P wave absent"), ("SR", "P wave present"), ("1AVB", "PR interval above 200 ms")):
        row = rows[code, rule]
        assert row["reference"] >= 0.7, row
        assert row["high"] < row["reference"], row
        assert row["subject"].endswith("by NeuroKit2") and row["n"] == EACH


def test_too_few_ecgs_are_flagged_and_flat_ones_measure_nothing(ecgs: EcgSet) -> None:
    compared = Compared(
        ecgs, ecgs.take(np.arange(5)), ecgs.take(np.arange(5)), {}, {}, 100, EvaluationSettings(), np.array([])
    )
    assert {one["flag"] for one in independent_delivery_rows(compared)} == {"too few rows"}
    nothing = independent_measures(np.zeros((2, 8, 1000), np.float32), 100)
    assert all(np.isnan(values).all() for values in nothing.values())
