"""A beat is extracted if it is nearer than strangers of the same condition; being alike in condition is not enough."""

from __future__ import annotations

import numpy as np

from models.privacy.keyed_extraction import CONTROLS, controls_of, extracted

PEOPLE, SIZE, SEEDS = 300, 12, 10
RNG = np.random.default_rng(1)
CONDITION = RNG.normal(size=(PEOPLE, SIZE))
"""What is usual of each one's condition; people scatter around it."""
OWN = CONDITION + RNG.normal(size=(PEOPLE, SIZE))
CONTROL_BEATS = CONDITION[:, None] + RNG.normal(size=(PEOPLE, CONTROLS, SIZE))


def test_a_model_that_draws_people_of_the_condition_extracts_nobody() -> None:
    drawn = CONDITION[:, None] + RNG.normal(size=(PEOPLE, SEEDS, SIZE))
    assert 0 < extracted(drawn, OWN, CONTROL_BEATS).mean() < 0.06, "chance is 1/51"


def test_a_model_that_sometimes_draws_the_own_beat_is_found() -> None:
    drawn = CONDITION[:, None] + RNG.normal(size=(PEOPLE, SEEDS, SIZE))
    drawn[:100, 3] = OWN[:100] + 0.05 * RNG.normal(size=(100, SIZE))
    found = extracted(drawn, OWN, CONTROL_BEATS)
    assert found[:100].mean() > 0.98 > 0.06 > found[100:].mean()


def test_controls_are_other_patients_of_the_same_condition_one_recording_each() -> None:
    pool = ["MI"] * 70 + ["NORM"] * 60 + ["AFIB"] * 49
    patients = np.arange(179)
    patients[60:70] = 0
    kept, controls = controls_of(["MI", "AFIB", "NORM", "LBBB"], pool, patients, seed=1, own=np.array([-1, -1, 75, -1]))
    assert kept.tolist() == [0, 2]
    assert all(pool[at] == "MI" for at in controls[0]) and all(pool[at] == "NORM" for at in controls[1])
    assert all(len(set(patients[row])) == CONTROLS for row in controls)
    assert 75 not in controls[1]
    assert len(extracted(np.empty((0, 2, 3)), np.empty((0, 3)), np.empty((0, CONTROLS, 3)))) == 0
