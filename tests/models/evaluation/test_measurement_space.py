"""The space of measurements: free of units, and an absent wave is a place of its own."""

from __future__ import annotations

import numpy as np

from models.evaluation.measurement_space import MeasurementSpace


def test_scores_are_normal_free_of_units_and_keep_absence() -> None:
    rng = np.random.default_rng(2)
    training = np.column_stack([rng.lognormal(5, 0.2, 2000), rng.normal(0, 0.01, 2000), rng.normal(size=2000)])
    training[:400, 0] = np.nan
    training[5, 1] = np.nan  # too rare to be a direction
    space = MeasurementSpace.fit(training)
    points = space.points(training)
    assert points.shape == (2000, 4) and np.isfinite(points).all()
    assert np.abs(points[400:, :3].std(axis=0) - 1).max() < 0.05 and np.abs(points.mean(axis=0)).max() < 0.02
    assert points[:400, 0].tolist() == [0.0] * 400
    assert abs(points[:, 3].std() - 1) < 1e-9 and points[0, 3] > 1.5 > 0 > points[500, 3]
    scaled = MeasurementSpace.fit(training * [1000, 3, 1]).points(training * [1000, 3, 1])
    assert np.abs(scaled - points).max() < 1e-6
    assert np.abs(space.points(np.array([[1e9, -1e9, 0.0]]))[0, :2]).tolist() == [3.0, 3.0]


def test_a_measurement_that_nobody_has_is_no_direction() -> None:
    training = np.column_stack([np.arange(50.0), np.full(50, np.nan)])
    points = MeasurementSpace.fit(training).points(training)
    assert points.shape == (50, 2) and points[:, 1].tolist() == [0.0] * 50
