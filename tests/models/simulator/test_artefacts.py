"""Baseline wander and muscle noise: level in mV and spectrum, at any rate and length."""

from __future__ import annotations

import pytest
import torch

from models.simulator.artefacts import baseline_wander, muscle_noise

RATES = [(100.0, 1000), (500.0, 5000), (100.0, 6000), (100.0, 999)]


def power(signal: torch.Tensor, rate_hz: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Frequencies in Hz, and mean power over recordings and leads, through a window that keeps drift from leaking."""
    samples = signal.shape[-1]
    spectrum = torch.fft.rfft(signal * torch.hann_window(samples)).abs().square().mean(dim=(0, 1))
    return torch.fft.rfftfreq(samples, 1.0 / rate_hz), spectrum


@pytest.mark.parametrize(("rate_hz", "samples"), RATES)
def test_wander_is_slow_and_as_large_as_asked(rate_hz: float, samples: int) -> None:
    signal = baseline_wander(torch.full((200,), 0.05), 8, samples, rate_hz, torch.Generator().manual_seed(1))
    assert signal.shape == (200, 8, samples)
    assert float(signal.square().mean().sqrt()) == pytest.approx(0.05, rel=0.05)
    frequency, spectrum = power(signal, rate_hz)
    assert float(spectrum[frequency > 1.0].sum() / spectrum.sum()) < 1e-3


@pytest.mark.parametrize(("rate_hz", "samples"), RATES)
def test_noise_is_as_large_as_asked_and_falls_with_frequency(rate_hz: float, samples: int) -> None:
    signal = muscle_noise(torch.full((200,), 0.01), 8, samples, rate_hz, torch.Generator().manual_seed(2))
    assert signal.shape == (200, 8, samples)
    # Levels are log-normal over leads, around the one asked for; swelling adds 4 %.
    typical = float(signal.std(dim=-1).log().mean().exp())
    assert typical == pytest.approx(0.01 * (1 + 0.4**2 / 2) ** 0.5, rel=0.04)
    frequency, spectrum = power(signal, rate_hz)

    def at(low: float, high: float) -> float:
        return float(spectrum[(frequency >= low) & (frequency < high)].mean())

    assert at(1.0, 3.0) > 2.0 * at(8.0, 12.0) > 2.0 * at(30.0, 45.0)
    assert at(0.0, 0.2) < 0.05 * at(1.0, 3.0)


def test_leads_and_recordings_are_independent() -> None:
    generator = torch.Generator().manual_seed(3)
    for draw in (baseline_wander, muscle_noise):
        signal = draw(torch.full((60,), 0.03), 8, 1000, 100.0, generator)
        correlation = torch.stack([torch.corrcoef(one) for one in signal]).mean(dim=0)
        assert float((correlation - torch.eye(8)).abs().max()) < 0.2


def test_no_level_is_silence() -> None:
    generator = torch.Generator().manual_seed(4)
    for draw in (baseline_wander, muscle_noise):
        assert (draw(torch.zeros(2), 8, 100, 100.0, generator) == 0).all()
