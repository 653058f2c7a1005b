"""Autoencoder, beat decoder and the beats they are trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.architecture import AutoencoderArchitecture, BeatDecoderArchitecture
from models.ecg.beats import beats_on_grid, cut_windows, spectral_distance, upsample, whole_beats
from models.latent_diffusion.autoencoder import Autoencoder, AutoencoderObjective
from models.latent_diffusion.beat_decoder import BeatDecoder

SMALL = AutoencoderArchitecture(width=16)
BEAT = BeatDecoderArchitecture(width=32)


def beating(rows: int, samples: int = 1000, rate_hz: int = 100, seed: int = 0) -> tuple[Tensor, list[np.ndarray]]:
    """Gaussian QRS and T at a random rate and start per row, in about unit variance, and where the R peaks are."""
    rng = np.random.default_rng(seed)
    gain = np.array([0.6, 0.9, -0.5, 0.4, 0.8, 1.2, 1.1, 0.8])[:, None] * rng.uniform(0.7, 1.3, (rows, 8, 1))
    peaks = []
    signal = np.zeros((rows, 8, samples))
    time = np.arange(samples)
    for row in range(rows):
        interval, start = (int(one) * rate_hz // 100 for one in (rng.integers(60, 110), rng.integers(5, 60)))
        peaks.append(np.arange(start, samples, interval))
        for peak in range(start - interval, samples + interval, interval):
            qrs = np.exp(-0.5 * ((time - peak) / (0.02 * rate_hz)) ** 2)
            t_wave = 0.3 * np.exp(-0.5 * ((time - peak - 0.28 * rate_hz) / (0.05 * rate_hz)) ** 2)
            signal[row] += gain[row] * (4 * qrs + t_wave)
    return torch.from_numpy(signal).float(), peaks


def networks() -> AutoencoderObjective:
    torch.manual_seed(0)
    autoencoder = Autoencoder(SMALL)
    decoder = BeatDecoder(BEAT, SMALL.latent_channels, SMALL.downsampling, rate_hz=100)
    return AutoencoderObjective(autoencoder, decoder, kl_weight=1e-4, beat_weight=1.0, spectral_weight=0.05)


@pytest.mark.parametrize("samples", [1000, 997, 1024, 250])
def test_any_length_is_padded_inside_and_cropped_after(samples: int) -> None:
    autoencoder = Autoencoder(SMALL)
    mean, log_variance = autoencoder.encode(torch.randn(2, 8, samples))
    assert mean.shape == log_variance.shape == (2, SMALL.latent_channels, -(-samples // 8))
    assert autoencoder.decode(mean, samples).shape == (2, 8, samples)


def test_inside_the_networks_signals_and_latents_go_on_at_both_ends() -> None:
    autoencoder, seen = Autoencoder(SMALL), list[Tensor]()
    for network in (autoencoder.encoder, autoencoder.decoder):
        network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    signal, latent = torch.randn(2, 8, 80), torch.randn(2, SMALL.latent_channels, 10)
    autoencoder.encode(signal)
    decoded = autoencoder.decode(latent, 80)
    assert decoded.shape == signal.shape
    for inside, whole in zip(seen, (signal, latent), strict=True):
        margin = (inside.shape[-1] - whole.shape[-1]) // 2
        assert margin >= 2
        assert torch.equal(inside[..., margin:-margin], whole)
        # Not zeros, which would pull the ends of a recording to the baseline.
        assert (inside[..., :margin] == whole[..., :1]).all() and (inside[..., -margin:] == whole[..., -1:]).all()


def test_downsampling_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        Autoencoder(AutoencoderArchitecture(downsampling=6))


def test_upsampling_is_exact_for_band_limited_signals_and_keeps_samples() -> None:
    time = torch.arange(200) / 200
    fine = torch.arange(1000) / 1000
    wave = lambda t: torch.sin(2 * torch.pi * 7 * t) + 0.5 * torch.cos(2 * torch.pi * 31 * t + 1)  # noqa: E731
    up = upsample(wave(time), 5)
    assert torch.allclose(up, wave(fine), atol=1e-4)
    assert torch.allclose(up[::5], wave(time), atol=1e-4)


def test_beat_on_the_grid_has_its_r_peak_where_promised() -> None:
    signal, peaks = beating(6)
    first = torch.tensor([int(whole_beats(found, 1000, 20, 40)[0]) for found in peaks])
    beats = beats_on_grid(signal, first, 100)
    assert beats.shape == (6, 8, 300)
    assert (beats[:, 5].argmax(dim=-1) - 100).abs().max() <= 1
    exact = cut_windows(signal, torch.stack([torch.arange(6), first - 20], dim=1), 60)
    assert torch.allclose(beats[..., ::5], exact, atol=0.02)


def test_slopes_see_ripple_between_beats_that_squares_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, (signal, peaks) = networks(), beating(4)
    first = torch.tensor([int(whole_beats(found, 1000, 20, 40)[0]) for found in peaks])
    windows = torch.stack([torch.arange(4), first - 20], dim=1)
    beat = beats_on_grid(signal, first, 100)
    ripple = 0.05 * (-1.0) ** torch.arange(1000)
    parts = {}
    for name, restored in (("exact", signal), ("rippled", signal + ripple)):
        monkeypatch.setattr(objective.autoencoder, "decode", lambda latent, samples, restored=restored: restored)
        torch.manual_seed(0)
        parts[name] = objective(signal, beat, first, windows)
    assert float(parts["exact"]["slope"]) == 0.0
    assert float(parts["rippled"]["slope"]) == pytest.approx(0.1, rel=1e-3)
    assert float(parts["rippled"]["full"]) == pytest.approx(0.0025, rel=1e-3)
    others = ("full", "kl", "beat", "place", "spectral")
    weights = dict(zip(others, (1.0, objective.kl_weight, objective.beat_weight, 0.1, 0.05), strict=True))
    expected = sum(weights[name] * parts["rippled"][name] for name in others) + 0.3 * parts["rippled"]["slope"]
    assert float(parts["rippled"]["loss"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_spectral_distance_is_zero_for_itself_blind_to_offsets_and_sees_lost_detail() -> None:
    signal, peaks = beating(4)
    starts = [(row, peak - 20) for row in range(4) for peak in whole_beats(peaks[row], 1000, 20, 40)]
    windows = torch.tensor(starts)
    blurred = torch.nn.functional.avg_pool1d(signal, 5, stride=1, padding=2)
    assert float(spectral_distance(signal, signal, windows, 60)) == 0.0
    assert float(spectral_distance(signal + 3.0, signal, windows, 60)) < 1e-6
    assert float(spectral_distance(blurred, signal, windows, 60)) > 0.1
    assert float(spectral_distance(blurred, signal, torch.zeros(0, 2, dtype=torch.long), 60)) == 0.0


def test_training_teaches_reconstruction_and_where_and_what_the_beat_is() -> None:
    signal, peaks = beating(256)
    held_out, held_out_peaks = beating(32, seed=9)
    objective = networks()
    optimiser = torch.optim.Adam(objective.parameters(), lr=2e-3)

    def arguments(x: Tensor, found: list[np.ndarray]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        whole = [whole_beats(each, 1000, 20, 40) for each in found]
        first = torch.tensor([int(each[0]) for each in whole])
        windows = torch.tensor([(row, peak - 20) for row, each in enumerate(whole) for peak in each])
        return x, beats_on_grid(x, first, 100), first, windows

    generator = torch.Generator().manual_seed(1)
    for _ in range(100):
        rows = torch.randint(0, 256, (16,), generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            losses = objective(*arguments(signal[rows], [peaks[row] for row in rows]))
        optimiser.zero_grad()
        losses["loss"].backward()
        optimiser.step()
    with torch.no_grad():
        x, beat, first, windows = arguments(held_out, held_out_peaks)
        losses = objective(x, beat, first, windows)
        decoded = objective.beat_decoder(objective.autoencoder.encode(x)[0])
    assert float(losses["full"]) < 0.1 * float(x.square().mean())
    assert float(losses["beat"]) < 0.25 * float(beat.square().mean())
    assert float(((decoded.place.argmax(dim=1) - first).abs() <= 2).float().mean()) > 0.8
