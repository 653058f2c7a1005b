"""Spectra of residuals: filters do what they say, and what a spectrum was made with is found again in it."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from models.latent_diffusion.residual_spectrum import LEADS, ResidualSpectrum, filtered, power_spectrum, stretches

RATE, SAMPLES = 100.0, 1000


def noise(rows: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, LEADS, SAMPLES, generator=torch.Generator().manual_seed(seed))


def tone(hertz: float) -> torch.Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(SAMPLES) / RATE).expand(1, LEADS, -1)


def pairs(rows: int = 300) -> tuple[torch.Tensor, torch.Tensor]:
    """Recordings and reconstructions: below 20 Hz right, above half invented; quiet and noisy recordings."""
    low = torch.tensor([1.0] * 20 + [0.0] * 31).expand(1, LEADS, -1)
    slow, fast, invented = filtered(noise(rows, 1), low, RATE), noise(rows, 2), noise(rows, 3)
    fast, invented = (filtered(each, 1 - low, RATE) for each in (fast, invented))
    loud = torch.linspace(-1, 1, rows).exp()[:, None, None]
    missing = 0.2 * loud * filtered(noise(rows, 4), low, RATE)
    return slow + missing + loud * fast, slow + loud * (fast + invented) / 2


def test_white_noise_has_power_one_and_a_tone_stays_in_its_place() -> None:
    power = power_spectrum(noise(50, 0), RATE).mean(dim=(0, 1))
    assert power.shape == (51,)
    assert torch.allclose(power[1:], torch.ones(50), atol=0.1)
    found = power_spectrum(tone(17.0), RATE)[0, 0]
    assert int(found.argmax()) == 17
    assert found[25:].max() < 1e-6 * found[17]


def test_filter_scales_each_frequency_and_leaves_ends_quiet() -> None:
    gain = torch.linspace(0, 5, 51).expand(1, LEADS, -1)
    assert torch.allclose(filtered(tone(20.0), gain, RATE)[..., 100:-100], 2 * tone(20.0)[..., 100:-100], atol=0.02)
    # A slope has no step and no kink at its ends; a filter that lifts high frequencies leaves it alone.
    slope = torch.linspace(-1, 1, SAMPLES).expand(1, LEADS, -1)
    steep = torch.cat([torch.ones(25), 100 * torch.ones(26)]).expand(1, LEADS, -1)
    assert (filtered(slope, steep, RATE) - slope).abs().max() < 0.05


def test_restoring_filter_keeps_what_is_right() -> None:
    signal, decoded = pairs()
    spectrum = ResidualSpectrum(RATE)
    spectrum.fit(signal, decoded)
    assert spectrum.restoring[:, 3:15].min() > 0.9
    assert spectrum.restoring[:, 25:45] == pytest.approx(1.0, abs=0.25)
    restored = spectrum.restored(
        decoded, spectrum.traits_of(signal, decoded, stretches(decoded, RATE)), stretches(decoded, RATE)
    )
    assert (signal - restored).square().mean() < (signal - decoded).square().mean() + 1e-3


def test_colouring_and_whitening_are_inverse_and_levels_hold() -> None:
    signal, decoded = pairs()
    spectrum = ResidualSpectrum(RATE)
    spectrum.fit(signal, decoded)
    traits = spectrum.traits_of(signal, decoded, stretches(decoded, RATE))
    residual = signal - spectrum.restored(decoded, traits, stretches(decoded, RATE))
    white = spectrum.whitened(residual, traits)
    assert white[..., 50:-50].square().mean() == pytest.approx(1.0, abs=0.15)
    again = spectrum.coloured(white, traits)
    assert (again - residual)[..., 70:-70].square().mean() < 1e-3 * residual.square().mean()
    # Whatever the amplitude of what is coloured, the levels asked for come out.
    loud = spectrum.matched(
        spectrum.coloured(3 * white, traits),
        spectrum.restored(decoded, traits, stretches(decoded, RATE)),
        stretches(decoded, RATE),
        traits,
    )
    levels = traits[:, spectrum.gains : spectrum.gains + spectrum.levels]
    assert torch.allclose(spectrum.levels_of(loud), levels, atol=0.05)


def beating(rows: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes every second; what is missing is fast and loud at them, and between them recordings differ. The decoder
    leaves as much ripple between them, none of it right."""
    spikes = torch.zeros(SAMPLES)
    spikes[50::100] = 1.0
    spikes = F.conv1d(spikes[None, None], torch.hann_window(9)[None, None], padding=4)[0]
    fast = 1 - torch.tensor([1.0] * 20 + [0.0] * 31).expand(1, LEADS, -1)
    beats = 5 * spikes * torch.linspace(0.5, 1.5, rows)[:, None, None] * torch.ones(1, LEADS, 1)
    between = 0.1 * torch.linspace(-1, 1, rows).exp()[torch.randperm(rows), None, None]
    missing = filtered(noise(rows, 5), fast, RATE) * (between + 0.5 * spikes)
    return beats + missing, beats + 0.2 * filtered(noise(rows, 6), fast, RATE)


def test_stretches_find_the_beats_and_cover_every_sample() -> None:
    _, decoded = beating(5)
    calm, waves, active = stretches(decoded, RATE).unbind(dim=1)
    assert torch.equal(calm.int() + waves.int() + active.int(), torch.ones(5, SAMPLES, dtype=torch.int32))
    assert active[:, 50::100].all()
    assert calm[:, 0::100].float().mean() > 0.4


def test_ripple_between_beats_is_taken_back_and_the_noise_there_is_each_recordings_own() -> None:
    torch.manual_seed(0)
    signal, decoded = beating()
    spectrum = ResidualSpectrum(RATE)
    spectrum.fit(signal, decoded)
    traits = spectrum.traits_of(signal, decoded, stretches(decoded, RATE))
    gains = traits[:, spectrum.levels : spectrum.gains].unflatten(1, (LEADS, -1))
    assert gains[..., -1].mean() == pytest.approx(1.0, abs=0.1)
    assert gains[..., 0].mean() < 0.6
    white = torch.randn(signal.shape)
    restored = spectrum.restored(decoded, traits, stretches(decoded, RATE))
    made = restored + spectrum.matched(spectrum.coloured(white, traits), restored, stretches(decoded, RATE), traits)
    calm = stretches(decoded, RATE)[:, :1]
    level = [
        (each.diff(dim=-1, append=each[..., -1:]).square() * calm).mean(dim=(1, 2)).log() for each in (signal, made)
    ]
    assert torch.corrcoef(torch.stack(level))[0, 1] > 0.9
    assert float((level[1] - level[0]).mean()) == pytest.approx(0.0, abs=0.2)


def test_traits_follow_the_decoded_signal_and_scatter_like_the_recordings() -> None:
    signal, decoded = pairs()
    spectrum = ResidualSpectrum(RATE)
    spectrum.fit(signal, decoded)
    given, traits = (
        spectrum.given(decoded, stretches(decoded, RATE)),
        spectrum.traits_of(signal, decoded, stretches(decoded, RATE)),
    )
    expected = spectrum.draw_traits(given, torch.zeros_like(traits))
    # The level of the missing part goes with that of the decoded signal.
    level = spectrum.gains + 4
    assert torch.corrcoef(torch.stack([traits[:, level], expected[:, level]]))[0, 1] > 0.9
    generator = torch.Generator().manual_seed(5)
    drawn = spectrum.draw_traits(given, torch.randn(traits.shape, generator=generator))
    assert torch.allclose(drawn.mean(dim=0), traits.mean(dim=0), atol=0.15)
    assert torch.allclose(drawn.std(dim=0), traits.std(dim=0), rtol=0.25, atol=0.02)


def test_other_sampling_rates_have_other_bands() -> None:
    assert ResidualSpectrum(500.0).levels > ResidualSpectrum(100.0).levels
    spectrum = ResidualSpectrum(500.0)
    signal, decoded = pairs(40)
    spectrum.fit(signal, decoded)
    assert torch.isfinite(spectrum.traits_of(signal, decoded, stretches(decoded, RATE))).all()


def test_a_flat_lead_stays_finite() -> None:
    signal, decoded = pairs(30)
    signal[0, 3] = decoded[0, 3] = 0.0
    spectrum = ResidualSpectrum(RATE)
    spectrum.fit(signal, decoded)
    traits = spectrum.traits_of(signal, decoded, stretches(decoded, RATE))
    assert torch.isfinite(traits).all()
    assert torch.isfinite(spectrum.whitened(signal, traits)).all()


def test_noise_that_is_steadier_than_peoples_gets_bursts() -> None:
    generator = torch.Generator().manual_seed(8)
    decoded = filtered(torch.randn(48, LEADS, 1000, generator=generator), torch.ones(1, LEADS, 51) * 0.5, 100.0)
    course = torch.nn.functional.avg_pool1d(torch.randn(48, LEADS, 1000, generator=generator), 9, 1, 4) * 3
    noise = torch.randn(48, LEADS, 1000, generator=generator)
    bursting = 0.1 * noise * (0.35 * course - 0.1225).exp()
    spectrum = ResidualSpectrum(100.0)
    spectrum.fit(decoded + bursting, decoded)
    where, drawn = stretches(decoded, 100.0), torch.randn(48, LEADS + 1, 1000, generator=generator)
    factors = spectrum.bursts(0.1 * noise, where, drawn)
    # Bursts change when it is loud, not how loud it is.
    assert factors.square().mean() == pytest.approx(1, abs=0.15)
    steady, made = (tails(one) for one in (noise, noise * factors))
    assert made > steady + 1
    # What comes in bursts already gets fewer.
    fewer = spectrum.bursts(bursting, where, drawn)
    assert (fewer - 1).square().mean() < 0.3 * (factors - 1).square().mean()


def tails(noise: torch.Tensor) -> float:
    """Kurtosis: 3 for Gaussian noise."""
    return float(noise.pow(4).mean() / noise.square().mean().square())
