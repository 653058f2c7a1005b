"""Membership attacks must find a leak and must not cry wolf."""

from __future__ import annotations

import numpy as np
import pytest

from models.privacy.membership import Calibration, Suspects, judged, most_at_risk, of_patients, success
from models.privacy.neighbours import nearest, nearest_distance

RNG = np.random.default_rng(1)
MEMBERS, NON_MEMBERS, REFERENCE, FRESH = (RNG.normal(size=(rows, 6)) for rows in (300, 150, 150, 300))
SUSPECTS = Suspects(np.concatenate([MEMBERS, NON_MEMBERS]), np.repeat([True, False], [300, 150]), np.arange(450) // 2)
ATTACKS = ("density ratio", "calibrated distance")


def scores(released: np.ndarray) -> dict[str, np.ndarray]:
    return Calibration(SUSPECTS.points, REFERENCE, 1).scores(nearest_distance(SUSPECTS.points, released))


@pytest.mark.parametrize("by", ATTACKS)
def test_memorised_records_are_found(by: str) -> None:
    area, found = judged(
        scores(MEMBERS + RNG.normal(0, 0.02, MEMBERS.shape))[by], SUSPECTS.member, SUSPECTS.patients, 60, 1
    )
    assert area.low > 0.9
    assert found[0.01].low > 0.8


@pytest.mark.parametrize("by", ATTACKS)
def test_other_people_give_nothing_away(by: str) -> None:
    area, found = judged(scores(FRESH)[by], SUSPECTS.member, SUSPECTS.patients, 60, 1)
    assert area.low < 0.5 < area.high
    assert found[0.1].low < 0.1 < found[0.1].high


def test_a_few_memorised_patients_show_in_the_share_found_rather_than_in_the_auc() -> None:
    few = scores(np.concatenate([FRESH, MEMBERS[:30] + 0.01]))["density ratio"]
    area, found = judged(few, SUSPECTS.member, SUSPECTS.patients, 60, 1)
    assert area.high < 0.7
    assert found[0.01].low > 0.05


def test_shares_found_are_those_of_the_roc_curve_in_every_weighting() -> None:
    member = np.array([True, True, True, False, False, True])
    found = success(
        np.array([5.0, 4, 4, 4, 3, 2]), member, np.array([[1.0] * 6, [1, 1, 1, 0, 1, 1], [0, 1, 1, 1, 1, 1]])
    )
    assert found.found[0.1] == pytest.approx([0.25, 0.75, 0.0])
    assert found.auc == pytest.approx([(1 + 0.75 * 2 + 0) / 4, 0.75, (0.75 * 2 + 0) / 3])


def test_a_patient_is_as_suspicious_as_their_most_suspicious_recording() -> None:
    suspects = Suspects(np.zeros((4, 1)), np.array([True, False, True, False]), np.array(["b", "a", "b", "c"]))
    found, member, patients = of_patients(np.array([1.0, 2.0, 3.0, 4.0]), suspects)
    # Patients are in order of appearance, so that no pseudonym moves an interval.
    assert (found.tolist(), member.tolist(), patients.tolist()) == ([3, 2, 4], [True, False, False], ["b", "a", "c"])


def test_records_at_risk_are_members_that_all_attacks_suspect() -> None:
    one, two = np.array([9.0, 1.0, 7.0, 8.0]), np.array([9.0, 1.0, 2.0, 8.0])
    assert most_at_risk([one, two], np.array([False, True, True, True]), 2).tolist() == [3, 2]


def test_neighbours_are_exact_in_blocks() -> None:
    queries, pool = RNG.normal(size=(2500, 3)), RNG.normal(size=(40, 3))
    distances, indices = nearest(queries, pool, 3)
    every = np.linalg.norm(queries[:, None] - pool[None], axis=2)
    assert (indices == every.argsort(axis=1)[:, :3]).all()
    assert np.allclose(distances, np.sort(every, axis=1)[:, :3], atol=1e-5)
    assert nearest(queries[:2], pool[:1], 3)[0].shape == (2, 1)
