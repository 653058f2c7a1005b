"""Condition delivery against closed forms: shares, their distance, and what sampling alone makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from models.evaluation.delivery import LEAST_PATIENTS, Outcomes, delivery_distance, satisfied


def drawn(shares: list[float], each: int, seed: int, per_patient: int = 1) -> Outcomes:
    """Each criterion asked of `each` patients of its own, who satisfy it with the given chance."""
    rng = np.random.default_rng(seed)
    patients = len(shares) * each
    asked = np.kron(np.eye(len(shares), dtype=bool), np.ones((each, 1), dtype=bool))
    met = rng.random((patients, len(shares))) < shares
    rows = np.repeat(np.arange(patients), per_patient)
    return Outcomes(asked[rows], met[rows], np.array([f"{seed}-{row}" for row in rows], dtype=object))


def test_values_satisfy_comparisons_and_missing_ones_never_do() -> None:
    values = np.array([1.0, 2.0, 3.0, np.nan])
    assert satisfied(values, "above", 2).tolist() == [False, False, True, False]
    assert satisfied(values, "below", 2).tolist() == [True, False, False, False]
    assert satisfied(values, "between", 1, 2).tolist() == [True, True, False, False]
    assert satisfied(np.array([0.0, 1.0, np.nan]), "absent", 0).tolist() == [True, False, False]
    assert satisfied(np.array([0.0, 1.0, np.nan]), "present", 1).tolist() == [False, True, False]


def test_the_distance_is_the_mean_difference_of_shares() -> None:
    """Shares that are exactly so: 90 against 60 of 100 and 50 against 70 of 100."""
    exact = lambda shares: Outcomes(  # noqa: E731
        np.ones((100, 2), bool), np.arange(100)[:, None] < 100 * np.array(shares), np.arange(100)
    )
    found = delivery_distance(exact([0.6, 0.7]), exact([0.9, 0.5]), exact([0.9, 0.5]), 200, 1)
    assert found.mean.value == pytest.approx(0.25)
    assert found.far_off.value == 1.0 and found.criteria == 2
    assert found.among_real == pytest.approx(0.0)
    assert found.mean.low < 0.25 < found.mean.high
    # Both shares of a criterion vary by p (1 - p) / n, which is what is taken off the mean square.
    noise = np.mean([0.6 * 0.4 + 0.9 * 0.1, 0.7 * 0.3 + 0.5 * 0.5]) / 100
    assert found.rms.value == pytest.approx(np.sqrt((0.3**2 + 0.2**2) / 2 - noise), rel=0.02)


def test_sampling_alone_makes_the_distance_of_real_ecgs_and_no_rms() -> None:
    """Equal populations: the mean of |p - q| is that of a normal deviate, √(2/π) σ, and the reference says the same."""
    shares, found = [0.5] * 60, []
    for seed in range(5):
        sets = (drawn(shares, 80, 10 * seed + one) for one in range(3))
        found.append(delivery_distance(*sets, samples=100, seed=seed))
    expected = np.sqrt(2 / np.pi) * np.sqrt(2 * 0.25 / 80)
    assert np.mean([one.mean.value for one in found]) == pytest.approx(expected, rel=0.1)
    assert np.mean([one.among_real for one in found]) == pytest.approx(expected, rel=0.1)
    assert np.mean([one.rms.value for one in found]) < 0.5 * expected
    far = 2 * norm.sf(0.10 / np.sqrt(2 * 0.25 / 80))
    assert np.mean([one.far_off.value for one in found]) == pytest.approx(far, abs=0.06)


def test_intervals_hold_the_truth_and_widen_with_fewer_patients() -> None:
    truth = [0.2, 0.5, 0.8, 0.9] * 5
    real, train = drawn(truth, 400, 1), drawn(truth, 400, 2)
    shifted = [min(share + 0.15, 1.0) if share < 0.9 else share - 0.15 for share in truth]
    large = delivery_distance(drawn(shifted, 400, 3), real, train, 200, 1)
    assert large.mean.low < 0.15 < large.mean.high
    assert large.rms.low < 0.15 < large.rms.high
    assert 0 <= large.far_off.low <= large.far_off.value <= large.far_off.high <= 1
    # As many ECGs, but ten of each patient: less evidence.
    repeated = delivery_distance(drawn(shifted, 40, 3, per_patient=10), real, train, 200, 1)
    assert repeated.mean.high - repeated.mean.low > 1.5 * (large.mean.high - large.mean.low)


def test_mode_collapse_is_far_off_however_typical_the_mode() -> None:
    truth = [0.6, 0.7, 0.3, 0.5]
    real, train, good = (drawn(truth, 200, seed) for seed in (1, 2, 3))
    typical = np.array(truth) > 0.5
    collapsed = Outcomes(good.asked, np.broadcast_to(typical, good.asked.shape), good.patients)
    assert (
        delivery_distance(collapsed, real, train, 100, 1).mean.low
        > delivery_distance(good, real, train, 100, 1).mean.high
    )


def test_too_few_ecgs_leave_a_criterion_out_and_none_leave_no_distance() -> None:
    few, enough = drawn([0.5, 0.5], LEAST_PATIENTS - 1, 1), drawn([0.5, 0.5], 50, 2)
    found = delivery_distance(few, enough, enough, 50, 1)
    assert found.criteria == 0 and np.isnan(found.mean.value) and np.isnan(found.among_real)
    estimates = few.share_estimates()
    assert all(0 <= one.low <= one.value <= one.high <= 1 for one in estimates)
    nobody = Outcomes(np.zeros((0, 2), bool), np.zeros((0, 2), bool), np.array([], dtype=object))
    assert np.isnan(nobody.share_estimates()[0].value)
