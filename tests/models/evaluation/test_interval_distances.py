"""Distances of intervals: SciPy's, closed forms, and patients as units."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from models.evaluation.interval_distances import compared_intervals, weighted_distance, weighted_quantile


def test_weighted_distances_agree_with_scipy() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(160, 20, 40), rng.integers(140, 200, 55).astype(float)
    weights = [rng.integers(0, 4, (3, len(each))).astype(float) for each in (first, second)]
    expected = [wasserstein_distance(first, second, *(each[row] for each in weights)) for row in range(3)]
    assert weighted_distance(first, second, *weights) == pytest.approx(expected)


def test_quantiles_are_those_of_the_weighted_distribution() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.0]])
    assert weighted_quantile(values, weights, 0.5).tolist() == [2.0, 1.0, 3.0]
    many = np.random.default_rng(1).normal(size=1001)
    assert weighted_quantile(many, np.ones((1, 1001)), 0.95)[0] == np.quantile(many, 0.95, method="inverted_cdf")


def test_a_shift_is_found_in_its_unit_with_an_interval_over_patients() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(90, 10, 200)
    alone, in_fours = np.arange(200), np.arange(200) // 4
    shifted = np.append(values + 12, np.nan)
    distance, (middle,), n = compared_intervals((values, alone), (shifted, np.arange(201)), (0.5,), 200, 1)
    assert distance.value == pytest.approx(12) and middle.value == pytest.approx(12) and n == 200
    assert distance.low <= 12 <= distance.high
    # Recordings of one patient that are all alike say no more than one of them.
    same = np.repeat(values[::4], 4)
    width = [
        (found := compared_intervals((same, patients), (values + 12, alone), (), 200, 1)[0]).high - found.low
        for patients in (alone, in_fours)
    ]
    assert width[1] > 1.2 * width[0]


def test_too_few_values_give_nothing() -> None:
    values = np.arange(20.0)
    distance, (middle,), n = compared_intervals((values, values), (values[:9], values[:9]), (0.5,), 20, 1)
    assert np.isnan(distance.value) and np.isnan(middle.value) and n == 9
