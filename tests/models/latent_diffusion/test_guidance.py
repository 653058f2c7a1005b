"""Classifier-free guidance of the denoiser."""

from __future__ import annotations

import torch

from models.architecture import DenoiserArchitecture
from models.latent_diffusion.denoiser import Denoiser
from models.latent_diffusion.guidance import guided
from tests.models.latent_diffusion.test_denoiser import denoiser
from tests.models.test_conditioning import conditions

SMALL = DenoiserArchitecture(width=16, token_width=16, blocks=1, multipliers=(1, 2))


def test_guidance_extrapolates_from_the_unconditional_velocity() -> None:
    network, noisy, steps, condition = denoiser(SMALL), torch.randn(2, 8, 32), torch.tensor([300, 700]), conditions(2)
    with torch.no_grad():
        given, free = network(noisy, steps, condition), network(noisy, steps, condition.hidden())
        found = guided(network, condition, None, None, 3.0)(noisy, steps)
        assert torch.allclose(found, free + 3 * (given - free), atol=1e-5)
        assert torch.equal(guided(network, condition, None, None, 1.0)(noisy, steps), given)


def test_both_branches_see_the_same_guide_and_levels() -> None:
    torch.manual_seed(0)
    network = Denoiser(SMALL, 8, guide_channels=3, levels=5)
    torch.nn.init.normal_(network.head[-1].weight, std=0.1)  # type: ignore[arg-type]
    noisy, steps, guide = torch.randn(2, 8, 32), torch.tensor([300, 700]), torch.randn(2, 3, 32)
    levels = torch.randn(2, 5)
    hidden = conditions(2).hidden()
    with torch.no_grad():
        # Nothing but the condition differs between branches, so guidance without a condition changes nothing.
        plain = network(noisy, steps, hidden, guide, levels)
        assert torch.allclose(guided(network, hidden, guide, levels, 5.0)(noisy, steps), plain, atol=1e-5)
