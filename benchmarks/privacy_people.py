"""Would people like the training patients, but none of them, keep the beat gate?

Each eighth of the training patients takes the cohort's place, and the rest are the members. Who lies within the radius
of a stranger's beat may be one person under two patient ids: then sex is the same and age nearly so, far more often
than of strangers whose beats are as near as usual.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from benchmarks.record import Check
from models.evaluation.metrics import mean_estimate
from models.privacy.linkage import BeatGate, Nearest, nearest_patient
from tasks.ecg_sets import EcgSet
from tasks.privacy.attacks.linkage import classes_of
from tasks.privacy.audited import Audited, Space

PARTS: Final = 8
LIKE_AGE_YEARS: Final = 3.0
RESAMPLES: Final = 1000


def people_like_training(audited: Audited, space: Space, seed: int) -> list[Check]:
    """Share of training recordings within the radius of another patient's beat, and how many seem the same person's.

    The gate is fitted anew for each part, to the recordings of validation and test against the remaining members. The
    encoder has seen all of them.
    """
    members, classes = audited.members, np.array(classes_of(audited.members))
    held_out = np.concatenate([audited.points(space, side) for side in ("reference", "non_members")])
    held_classes = [name for side in (audited.reference, audited.non_members) for name in classes_of(side)]
    points, everyone = audited.points(space, "members"), np.unique(members.patients)
    parts = np.array_split(np.random.default_rng(seed).permutation(everyone), PARTS)
    inside, alike = np.zeros(len(members), bool), np.zeros(len(members), bool)
    for part in parts:
        chosen = np.isin(members.patients, part)
        rest = np.flatnonzero(~chosen)

        def found(queries: np.ndarray, rest: np.ndarray = rest) -> Nearest:
            return nearest_patient(queries, points[rest], members.patients[rest])

        gate = BeatGate.fitted(found(held_out), held_classes)
        nearest = found(points[chosen])
        inside[chosen] = gate.inside(nearest, classes[chosen].tolist())
        alike[chosen] = _alike(members, np.flatnonzero(chosen), rest[nearest.row])
    name = f"training patients in the cohort's place, {space.name}"

    def check(what: str, values: np.ndarray, patients: np.ndarray) -> Check:
        share = mean_estimate(values.astype(float), patients, RESAMPLES, seed)
        return Check(name=f"{name}: {what}", value=share.value, low=share.low, high=share.high, n=len(values))

    return [
        check("share within the radius of a stranger's beat", inside, members.patients),
        check(
            f"share within it whose sex is the same and age within {LIKE_AGE_YEARS:g} years",
            alike[inside],
            members.patients[inside],
        ),
        check("the same of those outside of it", alike[~inside], members.patients[~inside]),
        check("share within it without these", inside & ~alike, members.patients),
    ]


def _alike(members: EcgSet, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    sex: Any = np.array(members.table.column("sex").to_pylist(), dtype=object)
    age = members.number("age_years")
    return (sex[rows] == sex[others]) & (np.abs(age[rows] - age[others]) <= LIKE_AGE_YEARS)
