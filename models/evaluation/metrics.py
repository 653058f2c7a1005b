"""How well scores separate two groups, and how sure one can be: areas under curves, thresholds, intervals.

Pure NumPy and SciPy. Resampling is by patient: recordings of one patient are not independent, and treating them as such
makes intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import norm


class Estimate(NamedTuple):
    """A value with its 95 % interval; NaN where it cannot be computed."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def patient_numbers(patients: np.ndarray) -> np.ndarray:
    """(n,) number of each row's patient, in the order in which they first come.

    What is drawn by these numbers does not depend on what patients are called, and so not on the key under which a
    warehouse hides their names.
    """
    _, first, rows = np.unique(patients, return_index=True, return_inverse=True)
    return first.argsort().argsort()[rows]


def patient_weights(patients: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Bootstrap weights, (samples, n): how often each row is drawn when whole patients are drawn with replacement.

    Args:
        patients: (n,) patient of each row; rows without a patient each get their own value.
        samples: number of resamples.
    """
    rows = patient_numbers(patients)
    count = int(rows.max()) + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=samples)
    return draws[:, rows].astype(np.float64)


def percentile_interval(value: float, resampled: np.ndarray) -> Estimate:
    """The percentile bootstrap interval (Efron and Tibshirani 1993, §13.3), resamples without a value left out."""
    kept = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or len(kept) < 2:
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.percentile(kept, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))


def bootstrap(statistic: Callable[[np.ndarray], float], patients: np.ndarray, samples: int, seed: int) -> Estimate:
    """A statistic of weighted rows with its percentile interval.

    Args:
        statistic: takes (n,) weights, returns a number (NaN where it is undefined).
        patients: (n,) patient of each row.
    """
    if len(patients) == 0:
        return UNKNOWN
    resampled = np.array([statistic(weights) for weights in patient_weights(patients, samples, seed)])
    return percentile_interval(statistic(np.ones(len(patients))), resampled)


def weighted_auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the weighted share of (positive, negative) pairs in order, ties counting half.

    This is the Mann-Whitney form (Hanley and McNeil, Radiology 143:29-36, 1982), for many weightings at once.

    Args:
        positive: (n,) bool.
        scores: (n,), higher for positives.
        weights: (samples, n), at least 0.

    Returns:
        (samples,) areas; NaN where positives or negatives weigh nothing.
    """
    _, level = np.unique(scores, return_inverse=True)
    order = np.argsort(level, kind="stable")
    starts = np.flatnonzero(np.diff(level[order], prepend=-1))
    if len(starts) == 0:
        return np.full(len(weights), np.nan)
    up = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    down = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    below = np.cumsum(down, axis=1) - down / 2
    pairs = up.sum(axis=1) * down.sum(axis=1)
    return np.divide((up * below).sum(axis=1), pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def auc(positive: np.ndarray, scores: np.ndarray, patients: np.ndarray, samples: int, seed: int) -> Estimate:
    """Area under the ROC curve with its interval over patients. Shapes as in `weighted_auc`."""
    if len(scores) == 0:
        return UNKNOWN
    value = weighted_auc(positive, scores, np.ones((1, len(scores))))[0]
    return percentile_interval(value, weighted_auc(positive, scores, patient_weights(patients, samples, seed)))


def weighted_macro_auc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean area under the ROC curve over the classes that have both positives and negatives, for many weightings.

    Args:
        labels: (n, classes) bool.
        scores: (n, classes).
        weights: (samples, n). A resample may miss a rare class: its mean is over the classes that it has.

    Returns:
        (samples,); NaN where no class has both.
    """
    areas = np.stack([weighted_auc(labels[:, one], scores[:, one], weights) for one in range(labels.shape[1])])
    known = np.isfinite(areas)
    total, count = np.where(known, areas, 0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, count, out=np.full(areas.shape[1], np.nan), where=count > 0)


def macro_auc(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray, samples: int, seed: int) -> Estimate:
    """`weighted_macro_auc` of (n, classes) labels and scores with its interval over patients (n,)."""
    if len(labels) == 0:
        return UNKNOWN
    weights = np.vstack([np.ones(len(labels)), patient_weights(patients, samples, seed)])
    areas = weighted_macro_auc(labels, scores, weights)
    return percentile_interval(float(areas[0]), areas[1:])


def macro_auc_gain(
    labels: np.ndarray, scores: np.ndarray, baseline: np.ndarray, patients: np.ndarray, samples: int, seed: int
) -> Estimate:
    """Macro AUC of `scores` minus that of `baseline` on the same resamples: surer than comparing two intervals."""
    if len(labels) == 0:
        return UNKNOWN
    weights = np.vstack([np.ones(len(labels)), patient_weights(patients, samples, seed)])
    gains = weighted_macro_auc(labels, scores, weights) - weighted_macro_auc(labels, baseline, weights)
    return percentile_interval(float(gains[0]), gains[1:])


def best_thresholds(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The threshold per class with the highest F1; 0.5 for a class without positives.

    Args:
        labels: (n, classes) bool.
        scores: (n, classes) in 0 … 1.
    """
    thresholds = np.full(labels.shape[1], 0.5)
    for one in np.flatnonzero(labels.any(axis=0)):
        order = np.argsort(-scores[:, one], kind="stable")
        hits = np.cumsum(labels[order, one])
        f1 = 2 * hits / (np.arange(1, len(order) + 1) + labels[:, one].sum())
        thresholds[one] = scores[order[int(np.argmax(f1))], one]
    return thresholds


def macro_f1(labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> float:
    """Mean over classes of 2 TP / (2 TP + FP + FN); classes without positives are left out.

    Args:
        labels, predicted: (n, classes) bool.
        weights: (n,).
    """
    hits = weights @ (labels & predicted)
    positives, called = weights @ labels, weights @ predicted
    known = positives > 0
    return float(np.mean(2 * hits[known] / (positives + called)[known])) if known.any() else float("nan")


def macro_balanced_accuracy(labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> float:
    """Mean over classes of (sensitivity + specificity) / 2; classes without positives or negatives are left out.

    Shapes as in `macro_f1`.
    """
    positives, negatives = weights @ labels, weights @ ~labels
    known = (positives > 0) & (negatives > 0)
    if not known.any():
        return float("nan")
    sensitivity = (weights @ (labels & predicted))[known] / positives[known]
    specificity = (weights @ (~labels & ~predicted))[known] / negatives[known]
    return float(np.mean((sensitivity + specificity) / 2))


def mean_estimate(values: np.ndarray, groups: np.ndarray, samples: int, seed: int) -> Estimate:
    """A mean with its interval; values that are not finite are left out.

    Args:
        values: (n,).
        groups: (n,) patient, or row number where rows are independent.
    """
    known = np.isfinite(values)
    if not known.any():
        return UNKNOWN
    kept = values[known].astype(np.float64)
    return bootstrap(
        lambda weights: float(weights @ kept / weights.sum()) if weights.any() else float("nan"),
        groups[known],
        samples,
        seed,
    )


def median_estimate(values: np.ndarray, samples: int, seed: int) -> Estimate:
    """A median with its interval, of independent values (n,)."""
    if len(values) == 0:
        return UNKNOWN
    drawn = np.random.default_rng(seed).integers(len(values), size=(samples, len(values)))
    return percentile_interval(float(np.median(values)), np.median(values[drawn], axis=1))


def weighted_median_estimate(values: np.ndarray, patients: np.ndarray, samples: int, seed: int) -> Estimate:
    """A median of values (n,) with its interval over patients (n,); the lower of the two in the middle."""
    if len(values) == 0:
        return UNKNOWN
    order = np.argsort(values, kind="stable")

    def median(weights: np.ndarray) -> float:
        reached = np.cumsum(weights[order])
        return float(values[order[np.searchsorted(reached, reached[-1] / 2)]])

    return bootstrap(median, patients, samples, seed)


def wilson(successes: float, trials: int) -> Estimate:
    """A share with its 95 % score interval (Wilson, JASA 22:209-212, 1927), sound for few trials and no successes.

    Successes may be a fraction where trials are effective ones, such as patients behind several recordings each.
    """
    if trials == 0:
        return UNKNOWN
    z = float(norm.ppf(0.975))
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes == 0 else float(centre - half)
    return Estimate(share, low, 1.0 if successes == trials else float(centre + half))


def paired_difference(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Difference of two shares of the same people with its 95 % interval, sound for few people and no successes.

    The interval combines those of both shares and their correlation (Newcombe, Stat Med 17:2635-2650, 1998, method 10).

    Args:
        first, second: (n,) bool, each person's success in either way.
    """
    people = len(first)
    if people == 0:
        return UNKNOWN
    both, neither = np.sum(first & second), np.sum(~first & ~second)
    only_first, only_second = np.sum(first & ~second), np.sum(~first & second)
    one, other = wilson(int(first.sum()), people), wilson(int(second.sum()), people)
    spread = first.sum() * (people - first.sum()) * second.sum() * (people - second.sum())
    excess = float(both * neither - only_first * only_second)
    alike = min(excess, max(excess - people / 2, 0.0)) / np.sqrt(float(spread)) if spread else 0.0

    def reach(mine: float, theirs: float) -> float:
        return float(np.sqrt(mine**2 - 2 * alike * mine * theirs + theirs**2))

    difference = one.value - other.value
    low = difference - reach(one.value - one.low, other.high - other.value)
    return Estimate(difference, low, difference + reach(one.high - one.value, other.value - other.low))
