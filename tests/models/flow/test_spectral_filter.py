"""The spectral filter: exactly invertible, flat where ECGs are not, and without a jump at the recording's ends."""

from __future__ import annotations

import pytest
import torch

from models.flow.spectral_filter import SpectralFilter


def wandering(samples: int, rows: int = 40) -> torch.Tensor:
    """Signals whose power falls with the square of frequency, as an ECG's does."""
    torch.manual_seed(0)
    steps = torch.randn(rows, 8, samples) * torch.linspace(0.01, 0.1, 8)[:, None]
    return steps.cumsum(dim=-1)


def fitted(signal: torch.Tensor) -> SpectralFilter:
    found = SpectralFilter(signal.shape[-1])
    found.fit(found.power(signal) / len(signal))
    return found


@pytest.mark.parametrize("samples", [1000, 2500, 5000, 401])
def test_inverse_gives_the_recording_back(samples: int) -> None:
    signal = wandering(samples)
    spectral_filter = fitted(signal)
    restored = spectral_filter.inverse(spectral_filter(signal))
    assert (restored - signal).abs().max() < 1e-5 * signal.abs().max()


def test_filtered_leads_have_unit_variance_and_a_flatter_spectrum() -> None:
    signal = wandering(1000)
    filtered = fitted(signal)(signal)
    assert torch.allclose(filtered.square().mean(dim=(0, 2)), torch.ones(8), atol=0.01)

    def steepness(one: torch.Tensor) -> float:
        power = SpectralFilter(1000).power(one).mean(dim=0)
        return float((power[5:50].mean() / power[400:900].mean()).log10())

    # What is left of the logarithm of the power ratio is 1 − 2 · 0.35 of it.
    assert steepness(filtered) == pytest.approx(0.3 * steepness(signal), abs=0.15)


def test_a_recording_that_ends_elsewhere_than_it_begins_has_no_jump() -> None:
    spectral_filter = fitted(wandering(1000))
    ramp = torch.linspace(-1, 1, 1000).expand(1, 8, -1)
    circular = torch.fft.irfft(torch.fft.rfft(ramp) * spectral_filter.gain[:, ::2], n=1000)

    def jump(filtered: torch.Tensor) -> float:
        """The end of the recording beside its inside."""
        return float(filtered[..., -1].abs().max() / filtered[..., 600:900].abs().max())

    assert jump(spectral_filter(ramp)) < 0.5 * jump(circular)
