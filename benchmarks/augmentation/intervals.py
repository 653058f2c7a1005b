"""Metrics of several trainings on one test set, and paired intervals of their differences.

Each resample draws patients and trainings (seeds) with replacement; two recipes are compared on the same patients and
the same seeds (Efron and Tibshirani 1993, §8). Intervals are percentiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from sklearn.metrics import average_precision_score

from models.evaluation.metrics import (
    Estimate,
    best_thresholds,
    patient_weights,
    percentile_interval,
    weighted_macro_auc,
)

Metric = Literal["macro AUC", "macro F1", "balanced accuracy", "average precision"]
METRICS: Final[tuple[Metric, ...]] = ("macro AUC", "macro F1", "balanced accuracy")
BINARY_METRICS: Final[tuple[Metric, ...]] = ("macro F1", "average precision")


@dataclass(frozen=True)
class Truth:
    """What one group of outputs is compared with.

    Attributes:
        labels: (n, outputs) bool, of the rows in which all of them are known.
        rows: (n,) which rows of the set these are.
        weights: (1 + samples, n): ones, then how often each row is drawn.
    """

    labels: np.ndarray
    rows: np.ndarray
    weights: np.ndarray


def truth(labels: np.ndarray, patients: np.ndarray, samples: int, seed: int) -> Truth:
    """The rows in which the labels are known, with bootstrap weights over their patients.

    Args:
        labels: (n, outputs), NaN where unknown.
        patients: (n,).
    """
    rows = np.flatnonzero(np.isfinite(labels).all(axis=1))
    drawn = patient_weights(patients[rows], samples, seed) if len(rows) else np.empty((samples, 0))
    return Truth(labels[rows] == 1, rows, np.vstack([np.ones(len(rows)), drawn]))


def resampled(metric: Metric, known: Truth, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(1 + samples,) values of a metric, the first of the set as it is; NaN where it is undefined.

    Args:
        scores: (rows of the set, outputs) probabilities.
        thresholds: (outputs,) from fold 9; an ECG at or above one is called positive.
    """
    found = scores[known.rows]
    if metric == "macro AUC":
        return weighted_macro_auc(known.labels, found, known.weights)
    if metric == "average precision":
        return _average_precision(known.labels[:, 0], found[:, 0], known.weights)
    called = found >= thresholds
    hits = known.weights @ (known.labels & called)
    positives, negatives = known.weights @ known.labels, known.weights @ ~known.labels
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric == "macro F1":
            each = np.where(positives > 0, 2 * hits / (positives + known.weights @ called), np.nan)
        else:
            rejected = known.weights @ (~known.labels & ~called)
            each = np.where((positives > 0) & (negatives > 0), (hits / positives + rejected / negatives) / 2, np.nan)
        there = np.isfinite(each)
        return np.where(there, each, 0.0).sum(axis=1) / np.where(there.any(axis=1), there.sum(axis=1), np.nan)


def thresholds_of(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(outputs,) thresholds with the highest F1 on fold 9.

    Args:
        labels: (n, outputs) of fold 9, NaN where unknown.
        scores: (n, outputs) probabilities.
    """
    rows = np.isfinite(labels).all(axis=1)
    return best_thresholds(labels[rows] == 1, scores[rows])


def mean_over_seeds(values: Sequence[np.ndarray], seed: int) -> Estimate:
    """The mean of a metric over trainings, with its interval over patients and trainings.

    Args:
        values: one `resampled` per training.
    """
    stacked = np.stack(values)
    samples = stacked.shape[1] - 1
    if samples == 0:
        return Estimate(float(stacked[:, 0].mean()), float("nan"), float("nan"))
    chosen = np.random.default_rng(seed).integers(len(stacked), size=(samples, len(stacked)))
    drawn = stacked[chosen, 1 + np.arange(samples)[:, None]].mean(axis=1)
    return percentile_interval(float(stacked[:, 0].mean()), drawn)


def difference(values: Sequence[np.ndarray], others: Sequence[np.ndarray], seed: int) -> Estimate:
    """Mean difference of two recipes over their trainings, paired by seed and by resample.

    Raises:
        ValueError: as many trainings of either are needed.
    """
    if len(values) != len(others):
        raise ValueError(f"{len(values)} trainings cannot be paired with {len(others)}")
    return mean_over_seeds([one - other for one, other in zip(values, others, strict=True)], seed)


def _average_precision(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    found = []
    for one in weights:
        there = one > 0
        known = positive[there].any() and not positive[there].all()
        value = average_precision_score(positive[there], scores[there], sample_weight=one[there]) if known else np.nan
        found.append(float(value))
    return np.array(found)
