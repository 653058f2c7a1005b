"""Distances between two samples of one number, such as a PR interval: over all values, and at single quantiles."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.evaluation.metrics import UNKNOWN, Estimate, patient_weights, percentile_interval

FEWEST_FOR_DISTANCE: Final = 10
"""A distance between two distributions needs this many values in each."""


def weighted_distance(first: np.ndarray, second: np.ndarray, of_first: np.ndarray, of_second: np.ndarray) -> np.ndarray:
    """Wasserstein-1 distance ∫ |F − G| dx between two weighted samples, for many weightings at once.

    On a line the distance is the area between the distribution functions (Vallender, Theory of Probability and its
    Applications 18:784-786, 1974).

    Args:
        first, second: (n,) and (m,) finite values.
        of_first, of_second: (weightings, n) and (weightings, m), at least 0, each row with a positive sum.

    Returns:
        (weightings,) in the unit of the values.
    """
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    shares = (of_first / of_first.sum(axis=1, keepdims=True), -of_second / of_second.sum(axis=1, keepdims=True))
    difference = np.cumsum(np.concatenate(shares, axis=1)[:, order], axis=1)[:, :-1]
    return np.abs(difference) @ np.diff(values[order])


def weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> np.ndarray:
    """The smallest value at which the distribution function reaches `share`, for many weightings at once.

    Args:
        values: (n,) finite.
        weights: (weightings, n), at least 0, each row with a positive sum.

    Returns:
        (weightings,).
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[:, order], axis=1)
    return values[order][(reached >= share * reached[:, -1:] * (1 - 1e-12)).argmax(axis=1)]


def compared_intervals(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    shares: tuple[float, ...],
    samples: int,
    seed: int,
) -> tuple[Estimate, list[Estimate], int]:
    """How far two samples of a number are apart, with intervals over patients of both.

    A distance is never below 0 and is larger in resamples than in the sample where both are alike; the interval is
    widened to hold the value, and a distance is read beside that of other real recordings.

    Args:
        first, second: values, missing ones NaN, and the patient of each.
        shares: quantiles at which second less first is wanted, in 0 … 1.

    Returns:
        The Wasserstein-1 distance, the differences of quantiles, and the number of values in the smaller sample; all
        unknown for fewer than ten values in either.
    """
    (one, of_one), (two, of_two) = (
        (values[np.isfinite(values)].astype(np.float64), patients[np.isfinite(values)])
        for values, patients in (first, second)
    )
    fewest = min(len(one), len(two))
    if fewest < FEWEST_FOR_DISTANCE:
        return UNKNOWN, [UNKNOWN] * len(shares), fewest
    weights = [
        np.vstack([np.ones(len(values)), patient_weights(patients, samples, seed + place)])
        for place, (values, patients) in enumerate(((one, of_one), (two, of_two)))
    ]
    distances = weighted_distance(one, two, *weights)
    value, low, high = percentile_interval(float(distances[0]), distances[1:])
    differences = [
        weighted_quantile(two, weights[1], share) - weighted_quantile(one, weights[0], share) for share in shares
    ]
    return (
        Estimate(value, min(value, low), max(value, high)),
        [percentile_interval(float(each[0]), each[1:]) for each in differences],
        fewest,
    )
