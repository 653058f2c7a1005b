"""What differs from beat to beat is measured, and scaled, without touching what recurs or wanders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.latent_diffusion.beat_variation import AFTER_R_S, BEFORE_R_S, beat_windows, log_variation, steadier

RATE, SAMPLES = 100, 1000
PEAKS = [np.array([0.1, 1.0, 1.9, 2.8, 3.7, 4.7, 5.5, 6.4, 7.4, 8.3, 9.8]), np.arange(0.5, 9.5, 0.8)]


def beats(sizes: list[np.ndarray]) -> torch.Tensor:
    """(B, 8, samples): QRS and T waves of these sizes per beat at `PEAKS`, leads of different size."""
    time = np.arange(SAMPLES) / RATE
    rows = []
    for peaks, of_beats in zip(PEAKS, sizes, strict=True):
        waves = sum(
            size * (np.exp(-(((time - peak) / 0.02) ** 2)) + 0.3 * np.exp(-(((time - peak - 0.25) / 0.05) ** 2)))
            for peak, size in zip(peaks, of_beats, strict=True)
        )
        rows.append(np.linspace(0.5, 1.5, 8)[:, None] * waves)
    return torch.tensor(np.stack(rows), dtype=torch.float32)


@pytest.fixture
def varying() -> torch.Tensor:
    rng = np.random.default_rng(1)
    return beats([1 + 0.2 * rng.standard_normal(len(peaks)) for peaks in PEAKS])


def test_windows_are_whole_beats_of_recordings_with_enough_of_them() -> None:
    windows = beat_windows([*PEAKS, PEAKS[0][:4]], SAMPLES, RATE)
    assert torch.bincount(windows[:, 0]).tolist() == [9, len(PEAKS[1])], "of the last one three are whole"
    assert windows[:, 1].min() >= 0
    assert windows[:, 1].max() + round((BEFORE_R_S + AFTER_R_S) * RATE) <= SAMPLES
    assert beat_windows([], SAMPLES, RATE).shape == (0, 2)


def test_beats_that_are_alike_do_not_vary_and_stay(varying: torch.Tensor) -> None:
    windows = beat_windows(PEAKS, SAMPLES, RATE)
    alike = beats([np.ones(len(peaks)) for peaks in PEAKS])
    assert (log_variation(varying, windows, RATE) - log_variation(alike, windows, RATE) > 5).all()
    assert torch.allclose(steadier(alike, windows, RATE, 0.0), alike, atol=0.02)


def test_differences_are_scaled_and_what_recurs_is_not(varying: torch.Tensor) -> None:
    windows = beat_windows(PEAKS, SAMPLES, RATE)
    made = steadier(varying, windows, RATE, 0.5)
    change = log_variation(made, windows, RATE) - log_variation(varying, windows, RATE)
    assert change.tolist() == pytest.approx([2 * np.log(0.5)] * 2, abs=0.05)
    for row, peaks in enumerate(PEAKS):
        at = [round(peak * RATE) for peak in peaks if BEFORE_R_S <= peak <= SAMPLES / RATE - AFTER_R_S]
        assert made[row, :, at].mean(dim=1).tolist() == pytest.approx(
            varying[row, :, at].mean(dim=1).tolist(), abs=0.02
        )
    assert torch.allclose(steadier(varying, windows, RATE, 1.0), varying)


def test_wander_and_what_lies_between_beats_stay(varying: torch.Tensor) -> None:
    windows = beat_windows(PEAKS, SAMPLES, RATE)
    wander = 0.5 * torch.sin(2 * torch.pi * 0.15 * torch.arange(SAMPLES) / RATE)
    with_wander, without = (steadier(one, windows, RATE, 0.5) for one in (varying + wander, varying))
    assert torch.allclose(with_wander - without, wander.expand_as(without), atol=0.02)
    between = torch.ones(len(varying), SAMPLES, dtype=torch.bool)
    for row, first in windows.tolist():
        between[row, first : first + round((BEFORE_R_S + AFTER_R_S) * RATE)] = False
    assert between.any(dim=1).all()
    assert torch.equal(without.transpose(1, 2)[between], varying.transpose(1, 2)[between])


def test_a_recording_has_the_same_bits_whatever_is_beside_it(varying: torch.Tensor) -> None:
    noisy = varying + 0.1 * torch.randn(varying.shape, generator=torch.Generator().manual_seed(2))
    whole = steadier(noisy, beat_windows(PEAKS, SAMPLES, RATE), RATE, 0.7)
    for row in range(len(noisy)):
        alone = steadier(noisy[[row]], beat_windows([PEAKS[row]], SAMPLES, RATE), RATE, 0.7)
        assert torch.equal(alone[0], whole[row])


def test_few_beats_say_nothing(varying: torch.Tensor) -> None:
    windows = beat_windows([peaks[:4] for peaks in PEAKS], SAMPLES, RATE)
    assert torch.equal(steadier(varying, windows[windows[:, 0] == 1], RATE, 0.0)[0], varying[0])
