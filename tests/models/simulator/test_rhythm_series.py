"""RR series of generated rows: the rate asked for, the rhythm implied, the same seed the same beats."""

from __future__ import annotations

import numpy as np
import pytest

from models.row_seeds import row_generator
from models.simulator.rhythm_series import RHYTHMS, USUAL, draw_r_peaks

DURATION_S = 10.0


def series(rhythm: str, heart_rate_bpm: float | None, seed: int) -> np.ndarray:
    return draw_r_peaks(RHYTHMS.index(rhythm), heart_rate_bpm, USUAL[rhythm], DURATION_S, row_generator(seed, "rhythm"))


def variability(peaks_s: np.ndarray) -> float:
    rr = np.diff(peaks_s)
    return float(rr.std() / rr.mean())


@pytest.mark.parametrize("rhythm", RHYTHMS)
@pytest.mark.parametrize("rate", [38.0, 71.5, 152.0])
def test_the_mean_rr_interval_is_that_of_the_rate_asked_for(rhythm: str, rate: float) -> None:
    for seed in range(10):
        peaks = series(rhythm, rate, seed)
        assert ((peaks >= 0) & (peaks < DURATION_S)).all()
        assert (np.diff(peaks) > 0).all()
        error = abs(60 / np.mean(np.diff(peaks)) - rate)
        assert error < 0.5, seed


def test_fibrillation_is_irregular_and_sinus_rhythm_regular() -> None:
    irregular = [variability(series("atrial fibrillation", 80, seed)) for seed in range(40)]
    regular = [variability(series("sinus", 80, seed)) for seed in range(40)]
    assert np.median(irregular) > 0.12
    assert np.median(regular) < 0.04
    assert np.quantile(irregular, 0.1) > np.quantile(regular, 0.9)


def test_ectopic_beats_come_early_and_a_pause_follows() -> None:
    for seed in range(20):
        rr = np.diff(series("ectopic beats", 70, seed)) / (60 / 70)
        early = np.flatnonzero(rr[:-1] < 0.8)
        assert len(early), seed
        assert (rr[early + 1] > 1.1).all()


def test_a_missing_rate_is_drawn_from_the_rhythm() -> None:
    for rhythm in ("sinus bradycardia", "sinus tachycardia"):
        rates = np.array([60 / np.mean(np.diff(series(rhythm, None, seed))) for seed in range(60)])
        low, high = USUAL[rhythm].heart_rate_range_bpm
        assert rates.min() > low - 1.5
        assert rates.max() < high + 1.5
        assert rates.std() > (high - low) / 8


def test_a_seed_gives_one_series_and_another_seed_another() -> None:
    assert np.array_equal(series("sinus", 70, 5), series("sinus", 70, 5))
    assert not np.array_equal(series("sinus", 70, 5), series("sinus", 70, 6))


def test_purposes_of_a_row_have_streams_of_their_own() -> None:
    drawn = {purpose: row_generator(7, purpose).initial_seed() for purpose in ("rhythm", "detail")}
    assert len(set(drawn.values())) == 2
    assert row_generator(7, "rhythm").initial_seed() == drawn["rhythm"] != row_generator(8, "rhythm").initial_seed()
