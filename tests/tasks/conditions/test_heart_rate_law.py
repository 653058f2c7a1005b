"""Laws of heart rates: nothing of a single patient, and the spread and shape of a group."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats.mstats import hdquantiles

from tasks.conditions.heart_rate_law import LARGEST_WEIGHT, QUANTILES, HeartRateLaw, heart_rate_law, order_weights


def law_of(rates: list[float] | np.ndarray, min_patients: int = 5) -> HeartRateLaw:
    found = heart_rate_law(np.array(rates, dtype=float), np.arange(len(rates)), min_patients)
    assert found is not None
    return found


def drawn(law: HeartRateLaw, count: int = 4000) -> np.ndarray:
    """Heart rates at evenly spread shares."""
    return np.array([law.draw((rank + 0.5) / count) for rank in range(count)])


@pytest.mark.parametrize("size", [5, 8, 25, 26, 300])
@pytest.mark.parametrize("step", [0.1, 5.0, 30.0])
def test_a_heart_rate_rises_with_its_share(size: int, step: float) -> None:
    # Rates come in steps, so many are equal.
    rates = np.round(np.random.default_rng(size).normal(80, 20, size) / step) * step
    found = drawn(law_of(rates))
    assert (np.diff(found) > 0).all()
    assert len(np.unique(found)) == len(found)


@pytest.mark.parametrize(("size", "tolerance"), [(40, 0.15), (400, 0.06)])
def test_the_law_keeps_the_spread_and_shape_of_a_large_group(size: int, tolerance: float) -> None:
    rates = 45 + np.random.default_rng(3).gamma(3, 12, size)
    found = drawn(law_of(rates))
    assert np.std(found) == pytest.approx(np.std(rates), rel=tolerance)
    assert np.percentile(found, [5, 25, 50, 75, 95]) == pytest.approx(
        np.percentile(rates, [5, 25, 50, 75, 95]), rel=tolerance
    )
    assert found.min() < np.percentile(rates, 3) and found.max() > np.percentile(rates, 97)


def test_the_law_bends_at_harrell_and_davis_quantiles_and_is_straight_beyond() -> None:
    rates = np.random.default_rng(5).normal(80, 10, 60)
    law = law_of(rates)
    assert law.rates_bpm[1:-1] == pytest.approx(hdquantiles(rates, QUANTILES))
    slopes = np.diff(law.rates_bpm) / np.diff(law.scores)
    assert (slopes[0], slopes[-1]) == pytest.approx((slopes[1], slopes[-2]))
    assert (law.scores[0], law.scores[-1]) == pytest.approx(ndtri([0.005, 0.995]))


def test_no_patient_makes_more_than_half_of_a_quantile() -> None:
    assert [len(law_of(np.arange(60.0, 60 + size)).scores) for size in (5, 25, 26)] == [5, 5, 7]
    for size in range(5, 120):
        used = QUANTILES if size >= 26 else QUANTILES[1:-1]
        for share in used:
            weights = order_weights(size, share)
            assert weights.max() <= LARGEST_WEIGHT
            assert weights.sum() == pytest.approx(1)
    # Ten beats more of the fastest patient move the highest quantile of the smallest group by less than half of that.
    group = [60.0, 64.0, 70.0, 75.0]
    highest = [law_of([*group, fastest]).rates_bpm[-2] for fastest in (80.0, 90.0)]
    assert 0 < highest[1] - highest[0] < 5


@pytest.mark.parametrize("rates", [[26, 60, 90, 150, 219], [25.5] * 4 + [40], [180, 190, 219, 219.5, 219.9]])
def test_tails_are_bounded_and_do_not_pile_up_at_the_bounds(rates: list[float]) -> None:
    found = drawn(law_of(rates))
    assert 25 < found.min() < found.max() < 220
    assert len(np.unique(found)) == len(found)


def test_a_patient_with_many_recordings_has_one_rate() -> None:
    rates = np.array([60.0, 62.0, 64.0, 66.0, *[170.0] * 30])
    patients = np.array(["a", "b", "c", "d", *["e"] * 30])
    assert heart_rate_law(rates, patients, 5) == law_of([60.0, 62.0, 64.0, 66.0, 170.0])
    assert heart_rate_law(rates[1:], patients[1:], 1) is None
    assert heart_rate_law(np.full(9, np.nan), np.arange(9), 1) is None
    assert heart_rate_law(np.arange(60.0, 69.0), np.arange(9), 10) is None
