"""The physics terms on decoded beats: a gradient that reaches the denoiser, and that works."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.architecture import AutoencoderArchitecture, BeatDecoderArchitecture, DenoiserArchitecture
from models.conditioning import ConditionTensors
from models.latent_diffusion.beat_decoder import BeatDecoder
from models.latent_diffusion.denoiser import Denoiser
from models.latent_diffusion.diffusion import DiffusionObjective
from models.latent_diffusion.ode_terms import BeatPhysics
from models.simulator.beat_equation import BeatEquation, angular_rate, beat_times
from tests.models.simulator.test_beat_equation import only_class, simulated_beat, wave_fit

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 25
"""Latent steps: recordings of 2 s."""


def objective_with(weights: dict[str, float] | None) -> DiffusionObjective:
    torch.manual_seed(1)
    autoencoder = AutoencoderArchitecture(latent_channels=4)
    denoiser = Denoiser(DenoiserArchitecture(width=16, token_width=16, blocks=1, multipliers=(1, 2)), 4)
    torch.nn.init.normal_(denoiser.head[-1].weight, std=0.1)  # type: ignore[arg-type]
    decoder = BeatDecoder(
        BeatDecoderArchitecture(width=16), autoencoder.latent_channels, autoencoder.downsampling, rate_hz=100
    )
    physics = None
    if weights is not None:
        physics = BeatPhysics(
            decoder, BeatEquation(wave_fit()), torch.zeros(4), torch.ones(4), torch.full((8,), 0.2), weights
        )
    return DiffusionObjective(denoiser, physics)


def batch(rows: int = 8) -> tuple[Tensor, ConditionTensors, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    condition = ConditionTensors(
        torch.randn(rows, 384, generator=generator) / 20,
        torch.randn(rows, 2, 384, generator=generator) / 20,
        torch.randn(rows, 2, 384, generator=generator) / 20,
        torch.tensor([[60.0, 1.0, 75.0]]).repeat(rows, 1),
        torch.ones(rows, 8, dtype=torch.bool),
    )
    return (
        torch.randn(rows, 4, STEPS, generator=generator),
        condition,
        only_class(rows),
        angular_rate(torch.full((rows,), 60.0)),
    )


@pytest.mark.parametrize("term", ["euler", "inter_lead"])
def test_gradient_of_each_term_reaches_every_layer_of_the_denoiser(term: str) -> None:
    objective = objective_with({term: 1.0})
    torch.manual_seed(5)
    losses = objective(*batch())
    losses[term].backward()
    gradients = {name: weight.grad for name, weight in objective.denoiser.named_parameters() if weight.grad is not None}
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    for part in ("stem", "down.0", "middle", "up.0", "head"):
        assert any(name.startswith(part) and float(gradient.abs().max()) > 0 for name, gradient in gradients.items()), (
            part
        )
    assert all(weight.grad is None for weight in objective.physics.beat_decoder.parameters())  # type: ignore[union-attr]


def teach_amplitude(decoder: BeatDecoder) -> float:
    """Teach the decoder that the latent's mean is how large the simulator's beat is; returns its error, in mV²."""
    generator = torch.Generator().manual_seed(4)
    beat = simulated_beat(wave_fit(), beat_times()) / 0.2
    optimiser = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for _ in range(100):
        amount = 3 * torch.rand(16, 1, 1, generator=generator) - 1
        latents = amount + 0.1 * torch.randn(16, 4, STEPS, generator=generator)
        loss = (decoder(latents).beat - amount * beat).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach()) * 0.2**2


def test_descending_the_term_lowers_the_residual() -> None:
    objective = objective_with({"euler": 1.0})
    assert objective.physics is not None
    decoder = objective.physics.beat_decoder.requires_grad_(True)
    assert teach_amplitude(decoder) < 0.005
    decoder.requires_grad_(False)
    optimiser = torch.optim.Adam(objective.denoiser.parameters(), lr=3e-3)
    course = []
    for _ in range(40):
        torch.manual_seed(5)
        loss = objective(*batch())["euler"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        course.append(float(loss.detach()))
    assert course[-1] < 0.5 * course[0], course


def test_switched_off_terms_contribute_nothing_at_all() -> None:
    results = []
    for weights in (None, {}):
        objective = objective_with(weights)
        torch.manual_seed(5)
        losses = objective(*batch())
        losses["loss"].backward()
        results.append((losses["loss"], [weight.grad for weight in objective.denoiser.parameters()]))
        assert not {"euler", "inter_lead"} & set(losses)
        assert torch.equal(losses["loss"], losses["denoising"])
    assert torch.equal(results[0][0], results[1][0])
    for ours, theirs in zip(results[0][1], results[1][1], strict=True):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)  # type: ignore[arg-type]


def test_rows_of_pure_noise_do_not_count() -> None:
    physics = objective_with({"euler": 1.0}).physics
    latents, _, wave_class, omega = batch(4)
    assert physics is not None
    silent = physics(latents, torch.zeros(4), wave_class, omega)["euler"]
    heard = physics(latents, torch.ones(4), wave_class, omega)["euler"]
    assert float(silent) == 0.0
    assert float(heard) > 0.0
