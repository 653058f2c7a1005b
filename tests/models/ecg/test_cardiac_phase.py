"""Cardiac-phase channels: R peaks can be read back from them to a millisecond, phase runs from peak to peak."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.ecg.cardiac_phase import HARMONICS, USUAL_RR_S, padded_times, phase_channel_count, phase_channels

STEPS, FOLD, RATE = 125, 8, 100.0


def channels(*recordings: list[float]) -> torch.Tensor:
    return phase_channels(padded_times([np.array(one) for one in recordings]), STEPS, FOLD, RATE)


def test_shape_and_count() -> None:
    assert channels([1.0, 2.0], [0.5]).shape == (2, phase_channel_count(FOLD), STEPS)
    assert phase_channel_count(FOLD) == FOLD + 2 * HARMONICS + 2


@pytest.mark.parametrize("place_s", [2.0, 2.003, 2.0071, 2.0451, 2.0799])
def test_bumps_hold_the_place_of_an_r_peak_between_samples(place_s: float) -> None:
    bumps = channels([1.0, place_s, 3.0])[0, :FOLD].T.flatten()
    samples = torch.arange(STEPS * FOLD)
    near = (samples / RATE - place_s).abs() < 0.1
    centre = (bumps * samples)[near].sum() / bumps[near].sum() / RATE
    assert float(centre) == pytest.approx(place_s, abs=1e-3)


def test_phase_runs_from_one_r_peak_to_the_next_whatever_the_interval() -> None:
    found = channels([1.0, 2.0, 2.6, 4.0])[0]
    centre_s = (torch.arange(STEPS) + 0.5) * FOLD / RATE
    for start, end in ((1.0, 2.0), (2.0, 2.6), (2.6, 4.0)):
        inside = (centre_s >= start) & (centre_s < end)
        theta = 2 * math.pi * (centre_s[inside] - start) / (end - start)
        for k in range(1, HARMONICS + 1):
            assert torch.allclose(found[FOLD + k - 1, inside], (k * theta).cos(), atol=1e-3)
            assert torch.allclose(found[FOLD + HARMONICS + k - 1, inside], (k * theta).sin(), atol=1e-3)
        interval = found[-2, inside]
        assert torch.allclose(interval, interval[:1])
    # The interval before is that of the last beat.
    at = int((2.3 * RATE) // FOLD)
    assert float(found[-1, at]) == pytest.approx(float(found[-2, int(1.5 * RATE // FOLD)]))
    assert float(found[-1, at]) > float(found[-2, at])


def test_beyond_the_first_and_last_r_peak_the_phase_goes_on_at_the_nearest_pace() -> None:
    whole, cut = channels(list(np.arange(0.25, 10, 0.5)))[0], channels(list(np.arange(4.25, 6, 0.5)))[0]
    assert torch.allclose(whole[FOLD:], cut[FOLD:], atol=1e-3)
    assert not cut[:FOLD, :40].any()


def test_a_usual_interval_is_zero_and_missing_peaks_are_taken_for_it() -> None:
    assert channels([1.0, 1.0 + USUAL_RR_S])[0, -2:].abs().max() < 1e-5
    nothing, one = channels([], [3.0])
    assert torch.isfinite(nothing).all()
    assert not nothing[:FOLD].any()
    assert one[:FOLD].max() == 1
    assert not one[-2:].abs().gt(1e-5).any()


def test_padding_has_no_influence() -> None:
    few, many = [1.0, 1.8, 2.7], list(np.arange(0.1, 10, 0.4))
    assert torch.equal(channels(few, many)[0], channels(few, [1.0])[0])
