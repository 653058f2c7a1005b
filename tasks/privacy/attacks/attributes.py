"""Attribute inference: does a release tell a training patient's age and sex better than a stranger's?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.evaluation import metrics
from models.privacy.neighbours import nearest
from tasks.ecg_sets import EcgSet
from tasks.privacy.audit_row import AuditRow, audit_row
from tasks.privacy.audited import Audited
from tasks.settings import PrivacySettings

NEIGHBOURS = 5
ATTACK = "attribute inference"


def attribute_rows(audited: Audited, settings: PrivacySettings) -> Iterator[AuditRow]:
    """An adversary with somebody's ECG reads age and sex off the nearest synthetic ECGs of the identifying space.

    What can be read off a held-out person's ECG is physiology, the reference; more for members would be a leak.
    """
    space = audited.spaces[0]
    released = audited.points(space, "synthetic")
    sides = {side: getattr(audited, side) for side in ("members", "non_members")}
    found = {side: nearest(audited.points(space, side), released, NEIGHBOURS)[1] for side in sides}
    for metric, unit, column in (("sex read off rightly", "", _is_female), ("error of the age", "years", _age)):
        of_released = column(audited.synthetic)
        wrong = {}
        for side, ecgs in sides.items():
            guessed = _mean(of_released[found[side]])
            truth = column(ecgs)
            error = np.abs(guessed - truth)
            wrong[side] = error if unit else np.where(np.isfinite(error), error < 0.5, np.nan)
        members = metrics.mean_estimate(
            wrong["members"], sides["members"].patients, settings.bootstrap_samples, settings.seed
        )
        others = metrics.mean_estimate(
            wrong["non_members"], sides["non_members"].patients, settings.bootstrap_samples, settings.seed
        )
        n = int(np.isfinite(wrong["members"]).sum())
        yield audit_row(ATTACK, f"{metric}, members", members, n, settings, unit=unit, reference=others.value)
        n = int(np.isfinite(wrong["non_members"]).sum())
        yield audit_row(ATTACK, f"{metric}, other people", others, n, settings, unit=unit)


def _mean(values: np.ndarray) -> np.ndarray:
    """Means over the last axis without what is missing; NaN where all is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=np.full(len(values), np.nan), where=known.any(axis=1))


def _is_female(ecgs: EcgSet) -> np.ndarray:
    sexes = ecgs.table.column("sex").to_pylist()
    return np.array([np.nan if sex is None else float(sex == "female") for sex in sexes])


def _age(ecgs: EcgSet) -> np.ndarray:
    return ecgs.number("age_years")
