"""Waves of single recordings: fitted closely, set on new rhythms, with noise of recordings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.simulator_alone.beat_library import BeatLibrary, fit_library, simulate_from
from benchmarks.simulator_alone.record_fitting import fit_records, left_over, usual_beats
from models.ecg.r_peaks import locate_r_peaks
from tests.models.located import measure
from tests.models.synthetic_hearts import RATE_HZ, ecgs

COUNT = 24


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    return ecgs(COUNT, seed=5)


@pytest.fixture(scope="module")
def peaks(signal: np.ndarray) -> list[np.ndarray]:
    return locate_r_peaks(signal, RATE_HZ)


@pytest.fixture(scope="module")
def library(signal: np.ndarray, peaks: list[np.ndarray]) -> BeatLibrary:
    return fit_library(signal, peaks, RATE_HZ, steps=80)


def test_seven_waves_draw_a_lead(signal: np.ndarray, peaks: list[np.ndarray]) -> None:
    fit = fit_records(signal, peaks, RATE_HZ, steps=80)
    assert fit.amplitude.shape == (COUNT, 8, 7) and fit.rows.tolist() == list(range(COUNT))
    clean = ecgs(COUNT, seed=5, noise_mv=0.0)
    assert float(fit.error_mv.mean()) < 0.12 * float(np.abs(clean).mean())
    # More steps fit better.
    rough = fit_records(signal, peaks, RATE_HZ, steps=3)
    assert float(fit.error_mv.mean()) < 0.8 * float(rough.error_mv.mean())


def test_beats_explain_recordings_and_leave_noise(signal: np.ndarray, peaks: list[np.ndarray]) -> None:
    fit = fit_records(signal, peaks, RATE_HZ, steps=80)
    beats = usual_beats(fit, peaks, RATE_HZ, signal.shape[-1])
    recorded = torch.from_numpy(signal)
    # Near R peaks, a few milliseconds between the peak found and the beat's own place make a large difference.
    far = torch.tensor([[np.abs(found - at).min() > 8 for at in range(signal.shape[-1])] for found in peaks])
    difference, waves = (recorded - beats).transpose(1, 2)[far], recorded.transpose(1, 2)[far]
    assert float(difference.square().mean()) < 0.12 * float(waves.square().mean())
    rest = left_over(recorded - beats, peaks, RATE_HZ)
    assert 0.01 < float(rest.diff().std(-1).median() / 2**0.5) < 0.03  # noise of 0.02 mV was put in


def test_an_ectopic_beat_is_no_noise() -> None:
    difference = 0.01 * torch.randn(1, 8, 1000, generator=torch.Generator().manual_seed(1))
    difference[..., 500:510] += 3.0
    assert float(left_over(difference, [np.array([100.0, 900.0])], RATE_HZ).abs().max()) < 0.1


def test_recordings_without_beats_are_left_out(signal: np.ndarray) -> None:
    some = signal[:3].copy()
    some[1] = 0.0
    found = locate_r_peaks(some, RATE_HZ)
    assert fit_records(some, found, RATE_HZ, steps=2).rows.tolist() == [0, 2]
    with pytest.raises(ValueError, match="R peaks"):
        fit_records(some[1:2], found[1:2], RATE_HZ)


def test_an_ecg_of_its_own_parts_resembles_the_recording(signal: np.ndarray, library: BeatLibrary) -> None:
    entries = torch.arange(COUNT)
    made = simulate_from(
        library, entries, entries, 60.0 / library.rr_s, RATE_HZ, 1000, torch.Generator().manual_seed(1)
    )
    real, simulated = measure(signal, RATE_HZ), measure(made.numpy(), RATE_HZ)
    for feature in ("r_amplitude_mv", "t_amplitude_mv"):
        known = np.isfinite(real[feature]) & np.isfinite(simulated[feature])
        assert np.corrcoef(real[feature][known], simulated[feature][known])[0, 1] > 0.9, feature
    power = [torch.fft.rfft(each).abs().square().mean(dim=(0, 1)) for each in (torch.from_numpy(signal), made)]
    for low, high in ((5, 50), (50, 150), (150, 300), (300, 480)):  # 0.1 Hz each
        assert float(power[1][low:high].mean() / power[0][low:high].mean()) == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("asked", [50.0, 80.0, 130.0])
def test_any_heart_rate_is_delivered(library: BeatLibrary, asked: float) -> None:
    calm = replace(library, rr_variability=torch.full((COUNT,), 0.03))
    entries = torch.arange(COUNT)
    made = simulate_from(
        calm, entries, entries, torch.full((COUNT,), asked), RATE_HZ, 1000, torch.Generator().manual_seed(2)
    )
    error = np.abs(measure(made.numpy(), RATE_HZ)["heart_rate_bpm"] - asked)
    assert np.mean(error <= 1.0) >= 0.9


def test_variation_changes_waves_and_nothing_else(library: BeatLibrary) -> None:
    entries, rate = torch.arange(4), torch.full((4,), 70.0)

    def made(variation: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(4)
        return simulate_from(library, entries, entries, rate, RATE_HZ, 1000, generator, variation)

    assert torch.equal(made(0.1), made(0.1)) and not torch.allclose(made(0.0), made(0.3))
    correlation = torch.corrcoef(torch.stack([made(0.0)[0, 0], made(0.1)[0, 0]]))[0, 1]
    assert float(correlation) > 0.95


def test_a_library_of_another_length_is_refused(library: BeatLibrary) -> None:
    with pytest.raises(ValueError, match="1000 samples"):
        simulate_from(
            library, torch.tensor([0]), torch.tensor([0]), torch.tensor([70.0]), RATE_HZ, 500, torch.Generator()
        )
