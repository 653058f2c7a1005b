"""Numbers of each rhythm: found back in recordings that have them, and never from a few patients."""

from __future__ import annotations

import numpy as np
import pytest

from models.row_seeds import row_generator
from models.simulator.rhythm_series import RHYTHMS, USUAL, draw_r_peaks
from tasks.conditions.condition import rhythm_of
from tasks.training.preparation.rhythm_statistics import FEWEST_PATIENTS, rhythm_statistics


def recordings(rhythm: str, count: int) -> tuple[list[np.ndarray], list[int]]:
    index = RHYTHMS.index(rhythm)
    series = [draw_r_peaks(index, None, USUAL[rhythm], 10.0, row_generator(seed, "test")) for seed in range(count)]
    return series, [index] * count


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_what_a_rhythm_was_drawn_from_is_found_again(rhythm: str) -> None:
    series, rhythms = recordings(rhythm, 200)
    found = rhythm_statistics(series, rhythms, [f"p{row}" for row in range(200)])[rhythm]
    asked = USUAL[rhythm]
    assert found.patients == 200
    assert found.heart_rate_bpm == pytest.approx(asked.heart_rate_bpm, rel=0.05)
    assert found.rr_variability == pytest.approx(asked.rr_variability, rel=0.3)
    assert found.rr_variability_log_spread == pytest.approx(asked.rr_variability_log_spread, abs=0.3)
    assert found.ectopic_share == pytest.approx(asked.ectopic_share, abs=0.08)
    assert (found.ectopic_share > 0) == (asked.ectopic_share > 0)


def test_too_few_patients_leave_the_simulators_numbers() -> None:
    series, rhythms = recordings("sinus bradycardia", 60)
    few = [f"p{row % (FEWEST_PATIENTS - 1)}" for row in range(60)]
    assert rhythm_statistics(series, rhythms, few) == USUAL
    enough = [f"p{row % FEWEST_PATIENTS}" for row in range(60)]
    assert rhythm_statistics(series, rhythms, enough)["sinus bradycardia"].patients == FEWEST_PATIENTS


def test_recordings_without_beats_do_not_count() -> None:
    series, rhythms = recordings("sinus", 30)
    patients = [f"p{row}" for row in range(30)]
    with_empty = rhythm_statistics([*series, np.empty(0), np.array([3.0])], [*rhythms, 0, 0], [*patients, "a", "b"])
    assert with_empty == rhythm_statistics(series, rhythms, patients)


def test_statements_imply_rhythms() -> None:
    assert rhythm_of(["NORM", "SR"]) == rhythm_of([]) == "sinus"
    assert rhythm_of(["IMI", "AFIB"]) == rhythm_of(["PVC", "AFIB"]) == "atrial fibrillation"
    assert rhythm_of(["SBRAD", "LVH"]) == "sinus bradycardia"
    assert rhythm_of(["STACH", "PVC"]) == "ectopic beats"
    assert {rhythm_of([code]) for code in ("STACH", "SARRH", "PAC")} < set(RHYTHMS)
