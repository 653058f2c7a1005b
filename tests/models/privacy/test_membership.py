"""Membership attacks must find a leak and must not cry wolf."""

from __future__ import annotations

import numpy as np
import pytest

from models.ecg.r_peaks import locate_r_peaks
from models.privacy import membership
from models.privacy.membership import Attack, Suspects
from tests.models.synthetic_hearts import RATE_HZ, ecgs

MEMBERS, NON_MEMBERS, REFERENCE, FRESH = ecgs(120, 1), ecgs(60, 2), ecgs(60, 3), ecgs(120, 4)


def placed(signals: list[np.ndarray], fitted_on: list[int]) -> list[np.ndarray]:
    sets = [(signal, locate_r_peaks(signal, RATE_HZ)) for signal in signals]
    return membership.representation(sets, fitted_on, RATE_HZ)


def attack(synthetic: np.ndarray, by: str) -> Attack:
    signals = [synthetic, MEMBERS, NON_MEMBERS, REFERENCE]
    released, members, others, reference = placed(signals, [0])
    suspects = np.concatenate([members, others])
    scores = (
        membership.distance_score(suspects, released)
        if by == "distance"
        else membership.density_ratio_score(suspects, released, reference)
    )
    member = np.repeat([True, False], [len(members), len(others)])
    return membership.judge([Suspects(scores, member, np.arange(len(scores)))], 100, 1)


@pytest.mark.parametrize("by", ["distance", "density ratio"])
def test_copies_with_noise_are_found(by: str) -> None:
    noise = np.random.default_rng(7).normal(0, 0.05, MEMBERS.shape).astype(np.float32)
    found = attack(MEMBERS + noise, by)
    assert found.auc.low > 0.9
    assert found.true_positive_rate.value > 0.8


@pytest.mark.parametrize("by", ["distance", "density ratio"])
def test_ecgs_of_other_people_give_nothing_away(by: str) -> None:
    found = attack(FRESH, by)
    assert found.auc.low < 0.5 < found.auc.high
    assert found.true_positive_rate.low < 0.05
    assert (found.members, found.non_members) == (120, 60)


def test_a_few_memorised_patients_show_in_the_share_found_rather_than_in_the_auc() -> None:
    few = np.concatenate([FRESH, MEMBERS[:20] + 0.01])
    found = attack(few, "density ratio")
    assert found.auc.high < 0.75
    assert found.true_positive_rate.low > 0.05


def test_distance_ratio_is_near_zero_for_copies_only() -> None:
    released, members, others = placed([MEMBERS + 0.01, MEMBERS, NON_MEMBERS], [1])
    assert np.median(membership.nearest_ratio(released, members)) < 0.05
    assert np.median(membership.nearest_ratio(others, members)) > 0.5
    assert np.allclose(membership.nearest_distance(members, members), 0, atol=1e-4)


def test_recordings_without_beats_are_placed_too() -> None:
    flat = np.zeros((4, 8, 1000), np.float32)
    assert np.isfinite(placed([flat, FRESH], [0, 1])[0]).all()
