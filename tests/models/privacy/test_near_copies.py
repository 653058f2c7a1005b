"""Copies are found through shift, gain, noise and baseline wander; two people are never taken for one."""

from __future__ import annotations

import numpy as np
import pytest

from models.privacy.near_copies import CANDIDATES, CopySearch
from tests.models.synthetic_hearts import RATE_HZ, ecgs

POOL = ecgs(60, 1, noise_mv=0.005)
COPIED = np.arange(5, 15)
assert len(POOL) > CANDIDATES, "so that candidates are chosen"


@pytest.mark.parametrize("shift", [0, 37, -150])
def test_a_disguised_copy_is_traced_to_its_original(shift: int) -> None:
    rng = np.random.default_rng(2)
    wander = 0.3 * np.sin(2 * np.pi * 0.2 * np.arange(1000) / RATE_HZ + 1)
    disguised = 1.3 * np.roll(POOL[COPIED], shift, axis=2) + wander + rng.normal(0, 0.02, (10, 8, 1000))
    correlation, index = CopySearch(POOL, RATE_HZ).closest(disguised.astype(np.float32))
    assert (index == COPIED).all()
    assert correlation.min() > 0.95


def test_other_people_do_not_correlate_over_ten_seconds() -> None:
    correlation, _ = CopySearch(POOL, RATE_HZ).closest(ecgs(30, 9))
    assert correlation.max() < 0.9


def test_correlation_is_that_of_the_overlap_at_the_best_lag() -> None:
    rng = np.random.default_rng(4)
    wide = rng.normal(size=(1, 2, 1100)).astype(np.float32)
    spectrum = np.fft.rfft(wide)
    frequency = np.fft.rfftfreq(1100, 1 / RATE_HZ)
    spectrum[..., (frequency < 2) | (frequency > 30)] = 0
    narrow = np.fft.irfft(spectrum, 1100).astype(np.float32)
    correlation, _ = CopySearch(narrow[..., 100:], RATE_HZ).closest(narrow[..., :1000])
    # Limiting the band of a cut-out changes its ends a little, hence not exactly 1.
    assert correlation[0] == pytest.approx(1, abs=0.03)


def test_flat_and_empty_input_give_no_copy() -> None:
    flat = np.zeros((2, 8, 1000), np.float32)
    assert np.isnan(CopySearch(POOL, RATE_HZ).closest(flat)[0]).all()
    assert np.isnan(CopySearch(POOL[:0], RATE_HZ).closest(POOL[:2])[0]).all()
    correlation, index = CopySearch(np.concatenate([flat, POOL[:1]]), RATE_HZ).closest(POOL[:1])
    assert (index[0], correlation[0]) == (2, pytest.approx(1, abs=1e-4))
