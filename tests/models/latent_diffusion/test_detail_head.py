"""The detail head: it learns where and how large the missing part is; a row depends on its signal and seed alone."""

from __future__ import annotations

import math

import pytest
import torch

from models.architecture import DetailArchitecture
from models.latent_diffusion.detail_head import DetailHead, DetailObjective, folded, unfolded
from models.latent_diffusion.residual_spectrum import LEADS, ResidualSpectrum, filtered
from models.row_seeds import row_generator

RATE, SAMPLES = 100.0, 500
SMALL = DetailArchitecture(width=32, blocks=4)


def pairs(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstructions with a bump each second, and recordings with noise beside it that is five times larger there.

    The noise of neighbouring leads goes together.
    """
    generator = torch.Generator().manual_seed(seed)
    seconds = torch.arange(SAMPLES) / RATE
    start = torch.rand(rows, 1, 1, generator=generator)
    bump = torch.exp(-0.5 * (((seconds - start + 0.5) % 1 - 0.5) / 0.04) ** 2)
    decoded = bump * (1 + torch.rand(rows, LEADS, 1, generator=generator))
    decoded = decoded + 0.002 * torch.randn(decoded.shape, generator=generator)
    noise = torch.randn(rows, LEADS, SAMPLES, generator=generator)
    noise = 0.8 * noise.roll(1, dims=1) + 0.6 * noise
    smooth = torch.cat([torch.ones(30), torch.zeros(21)]).expand(1, LEADS, -1)
    return decoded + filtered(0.05 * noise * (1 + 4 * bump), smooth, RATE), decoded


def envelope_loss(objective: DetailObjective, signal: torch.Tensor, decoded: torch.Tensor) -> float:
    """Of all pairs at one place and with one noise, so that two values can be compared."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        return float(objective(signal, decoded)["envelope"])


@pytest.fixture(scope="module")
def trained() -> DetailHead:
    torch.manual_seed(0)
    head, (signal, decoded) = DetailHead(SMALL, RATE), pairs(128, 0)
    head.spectrum.fit(signal, decoded)
    objective = DetailObjective(head)
    optimiser = torch.optim.AdamW(head.parameters(), 3e-3)
    untrained = envelope_loss(objective, signal, decoded)
    for step in range(250):
        rows = torch.arange(16) + 16 * (step % 8)
        loss = objective(signal[rows], decoded[rows])
        optimiser.zero_grad()
        loss["loss"].backward()
        optimiser.step()
    assert envelope_loss(objective, signal, decoded) < untrained
    return head.eval().requires_grad_(False)


def detail(
    head: DetailHead, decoded: torch.Tensor, first_seed: int = 0, offset: torch.Tensor | float = 0.0
) -> torch.Tensor:
    generators = [row_generator(first_seed + row, "detail") for row in range(len(decoded))]
    with torch.inference_mode():
        return head.detailed(decoded, generators, torch.float32, offset)


def test_folding_is_undone_for_any_length() -> None:
    for samples in (16, 17, 19):
        signal = torch.randn(2, 3, samples)
        assert torch.equal(unfolded(folded(signal), samples), signal)


def test_detail_has_the_level_place_and_lead_correlation_of_what_was_missing(trained: DetailHead) -> None:
    signal, decoded = pairs(64, 9)
    missing, made = signal - decoded, detail(trained, decoded) - decoded
    assert made.square().mean() == pytest.approx(float(missing.square().mean()), rel=0.25)
    beats = decoded > 0.5
    contrast = [float(each[beats].std() / each[~beats].std()) for each in (missing, made)]
    assert contrast[0] > 3
    assert contrast[1] > 0.6 * contrast[0]
    neighbours = [float((each[:, 3] * each[:, 4]).mean() / each[:, 4].square().mean()) for each in (missing, made)]
    assert neighbours[0] > 0.4
    assert neighbours[1] > 0.5 * neighbours[0]
    # No high frequencies where recordings have none.
    assert (made.diff(n=2).square().mean() / made.square().mean()) < 1.3 * (
        missing.diff(n=2).square().mean() / missing.square().mean()
    )


def test_a_row_follows_from_its_signal_and_seed(trained: DetailHead) -> None:
    _, decoded = pairs(4, 5)
    made = detail(trained, decoded)
    assert not torch.equal(made, detail(trained, decoded, first_seed=1))
    other = decoded.clone()
    other[0] *= 2
    changed = detail(trained, other)
    assert torch.equal(changed[1:], made[1:])
    assert not torch.equal(changed[0], made[0])


def test_an_untrained_head_is_the_spectrum_alone() -> None:
    signal, decoded = pairs(64, 3)
    head = DetailHead(SMALL, RATE)
    head.spectrum.fit(signal, decoded)
    made = detail(head, decoded) - decoded
    assert made.square().mean() == pytest.approx(float((signal - decoded).square().mean()), rel=0.25)


def test_what_sampling_does_to_signals_is_not_taken_for_what_they_lack(
    trained: DetailHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, decoded = pairs(64, 3)
    generated, draw_traits, seen = decoded * 1.5, ResidualSpectrum.draw_traits, list[torch.Tensor]()

    def spied(self: ResidualSpectrum, given: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        seen.append(given)
        return draw_traits(self, given, noise)

    monkeypatch.setattr(ResidualSpectrum, "draw_traits", spied)
    offset = trained.unlike_recordings(generated)
    assert offset.median() == pytest.approx(math.log(1.5), abs=0.1)
    plain = detail(trained, generated)
    corrected = detail(trained, generated, offset=offset)
    assert not torch.equal(plain, corrected)
    assert torch.allclose(seen[1].mean(dim=0), trained.spectrum.given_mean, atol=1e-4)
    assert torch.allclose(seen[1], seen[0] - offset)
