"""Adding up beats: cutting waves off and evaluating them together changes nothing that a recording could show."""

from __future__ import annotations

import torch
from torch import Tensor

from models.simulator.beat_sum import BeatWaves, sum_of_beats

RATE_HZ, SAMPLES = 100.0, 400


def some_beats(seed: int) -> tuple[BeatWaves, Tensor, Tensor, Tensor, Tensor]:
    """Six recordings of narrow and wide waves; beats before, on the edges of and after each."""
    draw = torch.Generator().manual_seed(seed)
    batch, count, waves = 6, 9, 7
    width_s = torch.tensor([0.005, 0.008, 0.012, 0.03, 0.05, 0.09, 0.12]).repeat(batch, 1)
    centre_s = torch.tensor([0.0, -0.03, 0.05, -0.17, 0.1, 0.25, 0.17]) + 0.01 * torch.randn(
        batch, waves, generator=draw
    )
    amplitude = torch.randn(batch, waves, 3, generator=draw)
    exponent = torch.tensor([0.0, 0.0, 0.0, 0.2, 1 / 3, 1 / 3, 1 / 3]).repeat(batch, 1)
    pace_s = 0.4 + torch.rand(batch, count, generator=draw)
    r_time_s = torch.cumsum(pace_s, dim=1) - 1.7
    chosen = torch.rand(batch, count, generator=draw) < 0.8
    size = 1.0 + 0.1 * torch.randn(batch, count, generator=draw)
    return BeatWaves(amplitude, centre_s, width_s, exponent), chosen, r_time_s, pace_s, size


def directly(waves: BeatWaves, chosen: Tensor, r_time_s: Tensor, pace_s: Tensor, size: Tensor) -> Tensor:
    """Every wave of every beat at every sample."""
    seconds = torch.arange(SAMPLES) / RATE_HZ
    scale = pace_s[..., None] ** waves.exponent[:, None]
    centre = r_time_s[..., None] + waves.centre_s[:, None] * scale
    shape = torch.exp(-0.5 * ((seconds - centre[..., None]) / (waves.width_s[:, None] * scale)[..., None]) ** 2)
    return torch.einsum("bk,bwa,bkws->bas", size * chosen, waves.amplitude, shape)


def test_beats_are_the_sum_of_their_waves() -> None:
    found = sum_of_beats(*some_beats(seed=1), RATE_HZ, SAMPLES)
    expected = directly(*some_beats(seed=1))
    assert found.shape == (6, 3, SAMPLES)
    # Each wave is cut off where it is below 1e-4 of its amplitude.
    reach = some_beats(seed=1)[0].amplitude.abs().sum(dim=1)[..., None]
    assert ((found - expected).abs() <= 2e-4 * reach).all()


def test_a_recording_is_the_same_in_any_batch() -> None:
    waves, *timing = some_beats(seed=2)
    together = sum_of_beats(waves, *timing, RATE_HZ, SAMPLES)
    for row in range(6):
        rows = slice(row, row + 1)
        alone = sum_of_beats(
            waves[rows],
            *(each[rows] for each in timing),
            RATE_HZ,
            SAMPLES,
        )
        # Stretches are chosen for a batch, so the last digits may differ.
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-3)


def test_gradients_are_those_of_the_waves() -> None:
    waves, chosen, *timing = some_beats(seed=3)
    # A grid so fine that no wave's cut moves by a sample when a parameter moves by a millionth.
    inputs = tuple(
        each.double().requires_grad_()
        for each in (waves.amplitude, waves.centre_s, waves.width_s, waves.exponent, *timing)
    )
    weight = torch.randn(6, 3, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(4))

    def summed(*values: Tensor) -> Tensor:
        return (sum_of_beats(BeatWaves(*values[:4]), chosen, *values[4:], 10.0, 40) * weight).sum()

    assert torch.autograd.gradcheck(summed, inputs, atol=2e-3, fast_mode=True)


def test_no_beat_at_all_is_silence() -> None:
    waves, chosen, *timing = some_beats(seed=5)
    assert (sum_of_beats(waves, torch.zeros_like(chosen), *timing, RATE_HZ, SAMPLES) == 0).all()
