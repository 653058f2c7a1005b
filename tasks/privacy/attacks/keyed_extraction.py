"""Keyed extraction: is a model that is asked for a member's own condition drawing that member's beat?"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final

import numpy as np
import torch

from models.conditioning import ConditionTensors
from models.evaluation.metrics import UNKNOWN, Estimate, wilson
from models.privacy.keyed_extraction import CONTROLS, controls_of, extracted
from tasks.ecg_sets import EcgSet
from tasks.knowledge.demographics import age_band
from tasks.privacy.audit_row import AuditRow, audit_row
from tasks.privacy.white_box.attacked import Draw, Keyed
from tasks.settings import ModelAuditSettings, PrivacySettings

ATTACK: Final = "keyed extraction"
FEWEST: Final = 20
"""People without whom a share has no bound."""
PEOPLE_AT_ONCE: Final = 16


def keyed_extraction_rows(
    draw: Draw,
    members: Keyed,
    held_out: list[Keyed],
    model_audit: ModelAuditSettings,
    settings: PrivacySettings,
) -> Iterator[AuditRow]:
    """Ask for the own condition of members, and of held-out people, which shows what conditions alone give away.

    A condition holds the exact age and heart rate, people who are compared share less; so held-out people, whose beats
    the model cannot know, are extracted somewhat more often than by chance, and members may be as often as they are.

    Args:
        draw: draws usual beats.
        members: recordings that the prior learned from.
        held_out: recordings of other people, who are the controls of all.
    """
    sides = {"members": [members], "held out": held_out}
    beats = {side: np.concatenate([one.beats for one in each]) for side, each in sides.items()}
    patients = {side: np.concatenate([one.ecgs.patients for one in each]) for side, each in sides.items()}
    conditions = {"members": members.condition, "held out": ConditionTensors.stack([one.condition for one in held_out])}
    for shared, key in (("statements", _statements), ("superclasses", _superclasses)):
        pool = [one for each in held_out for one in _keys(each.ecgs, key)]
        keys = {"members": _keys(members.ecgs, key), "held out": pool}
        found: dict[str, Estimate] = {}
        asked: dict[str, int] = {}
        for side in ("held out", "members"):
            rows, controls = controls_of(keys[side], pool, patients["held out"], settings.seed, patients[side])
            chosen = _one_a_patient(patients[side][rows], model_audit.keyed_people, settings.seed)
            rows, controls = rows[chosen], controls[chosen]
            drawn = _drawn(draw, conditions[side], rows, model_audit.keyed_seeds, settings.seed)
            hits = [
                extracted(one[None], beats[side][row][None], beats["held out"][others][None])[0]
                for one, row, others in zip(drawn, rows, controls, strict=True)
            ]
            asked[side] = len(rows)
            found[side] = wilson(int(np.sum(hits)), len(hits)) if hits else UNKNOWN
        metric = f"share whose own beat is drawn nearest, of {CONTROLS + 1} people alike in {shared}, sex and age band"
        bounded = min(asked.values()) >= FEWEST
        yield audit_row(
            ATTACK,
            f"{metric}, members",
            found["members"],
            asked["members"],
            settings,
            reference=found["held out"].value,
            at_most=found["held out"].high if bounded else None,
            bounded="low",
        )
        yield audit_row(
            ATTACK,
            f"{metric}, held-out people",
            found["held out"],
            asked["held out"],
            settings,
            reference=1 / (CONTROLS + 1),
        )


def _drawn(draw: Draw, condition: ConditionTensors, rows: np.ndarray, seeds: int, seed: int) -> Iterator[np.ndarray]:
    """(seeds, coordinates) of beats drawn for the condition of each row."""
    for at in range(0, len(rows), PEOPLE_AT_ONCE):
        block = rows[at : at + PEOPLE_AT_ONCE]
        numbers = [
            int(np.random.SeedSequence([seed, int(row), turn]).generate_state(1)[0])
            for row in block
            for turn in range(seeds)
        ]
        found = draw(condition[torch.from_numpy(block.repeat(seeds))], numbers)
        yield from found.reshape(len(block), seeds, -1)


def _one_a_patient(patients: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Indices of one row of each patient, of so many patients at random."""
    order = np.random.default_rng(seed).permutation(len(patients))
    first = np.unique(patients[order], return_index=True)[1]
    return np.sort(order[np.sort(first)[:most]])


def _keys(ecgs: EcgSet, key: object) -> list[Hashable]:
    ages, sexes = ecgs.number("age_years"), ecgs.table.column("sex").to_pylist()
    bands = [None if np.isnan(age) else age_band(age) for age in ages]
    return list(zip(key(ecgs), sexes, bands, strict=True))  # type: ignore[operator]


def _statements(ecgs: EcgSet) -> list[Hashable]:
    return list(ecgs.statements)


def _superclasses(ecgs: EcgSet) -> list[Hashable]:
    return [tuple(row) for row in ecgs.labels.tolist()]
