"""Rows of the `evaluations` table about intervals: PR, QRS, QTc and heart rate within every rhythm and condition.

A cohort can have the right distribution over all ECGs and the wrong one in every condition, so each is compared with
held-out recordings that have the same statement. The reference is the distance of real training recordings.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.evaluation.interval_distances import FEWEST_FOR_DISTANCE, compared_intervals
from models.evaluation.metrics import UNKNOWN
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.fidelity import common_statements, with_statement
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row

INTERVALS = {
    "pr_ms": ("PR", "ms"),
    "qrs_ms": ("QRS", "ms"),
    "qt_ms": ("QT", "ms"),
    "qtc_ms": ("QTc", "ms"),
    "heart_rate_bpm": ("heart rate", "bpm"),
}
"""Measured column to name and unit."""
QUANTILES = {"5 %": 0.05, "median": 0.5, "95 %": 0.95}
FEWEST_ASKED = 30
"""ECGs of a statement in the cohort and among held-out recordings that its intervals are compared for."""
LARGEST_SET = 5000


def interval_rows(compared: Compared) -> Iterator[EvaluationRow]:
    """Distances and differences of quantiles, synthetic less real, over all ECGs and per statement of the cohort."""
    sets = compared.held_out, compared.synthetic, compared.train
    everyone = [np.ones(len(each), dtype=bool) for each in sets[:2]]
    yield from _rows(compared, None, [*everyone, compared.of_reference])
    for code in common_statements(compared.synthetic, FEWEST_ASKED):
        yield from _rows(compared, code, [with_statement(each, code) for each in sets])


def _rows(compared: Compared, condition: str | None, chosen: list[np.ndarray]) -> Iterator[EvaluationRow]:
    """Rows of some of the ECGs: masks of held-out, synthetic and training ones."""
    seed, samples = compared.seed, compared.samples
    sets = compared.held_out, compared.synthetic, compared.train
    for column, (name, unit) in INTERVALS.items():
        real, synthetic, training = (_known(each, mask, column, seed) for each, mask in zip(sets, chosen, strict=True))
        few = condition is not None and min(len(real[0]), len(synthetic[0])) < FEWEST_ASKED
        distance, differences, n = compared_intervals(real, synthetic, tuple(QUANTILES.values()), samples, seed)
        metric = f"{name} distribution distance"
        if few or not np.isfinite(distance.value):
            # Not how many real ones: rows are released.
            fewest = FEWEST_ASKED if condition else FEWEST_FOR_DISTANCE
            flag = f"fewer than {fewest} held-out recordings or synthetic ECGs where it can be measured"
            n = len(synthetic[0])
            yield evaluation_row("physics", metric, "synthetic", UNKNOWN, n, seed, unit, None, condition, flag)
            continue
        reference = compared_intervals(real, training, (), 2, seed)[0].value
        yield evaluation_row("physics", metric, "synthetic", distance, n, seed, unit, reference, condition)
        for share, difference in zip(QUANTILES, differences, strict=True):
            what = f"{name} {share}, synthetic less real"
            yield evaluation_row("physics", what, "synthetic", difference, n, seed, unit, 0.0, condition)


def _known(ecgs: EcgSet, chosen: np.ndarray, column: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values that could be measured, and the patient of each; at most `LARGEST_SET`."""
    values = ecgs.number(column)
    rows = np.flatnonzero(np.isfinite(values) & chosen)
    if len(rows) > LARGEST_SET:
        rows = np.sort(np.random.default_rng(seed).choice(rows, LARGEST_SET, replace=False))
    return values[rows], ecgs.patients[rows]
