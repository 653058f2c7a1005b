"""Classifier-free guidance (Ho and Salimans 2022): what a condition changes, amplified."""

from __future__ import annotations

import torch
from torch import Tensor

from models.conditioning import ConditionTensors
from models.latent_diffusion.denoiser import Denoiser
from models.latent_diffusion.diffusion import Denoise


def extrapolate(given: Tensor, free: Tensor, guidance: float) -> Tensor:
    """v_free + guidance (v_given − v_free).

    Args:
        given: velocity under the condition.
        free: velocity without one, of the same shape.
        guidance: scale; 1 leaves `given`.
    """
    return free + guidance * (given - free)


def guided(
    denoiser: Denoiser,
    condition: ConditionTensors,
    guide: Tensor | None,
    levels: Tensor | None,
    guidance: float,
) -> Denoise:
    """The denoiser with guidance, both branches in one pass of twice the rows.

    Both see the same guide of the simulator and the same levels (see
    `models.latent_diffusion.generator.Generator.sample`).

    Args:
        denoiser: predicts v.
        condition: of B rows; the free branch sees none of its fields.
        guide: (B, K, T) the simulator's guide, or None.
        levels: (B, levels) coordinates, or None.
        guidance: scale; 1 for none, at the cost of one branch.

    Returns:
        A function of noisy latents (B, C, T) and time steps (B,).
    """
    if guidance == 1.0:
        context = denoiser.context(condition, guide, levels)
        return lambda noisy, steps: denoiser.velocity(noisy, steps, context).float()
    twice = lambda one: None if one is None else torch.cat([one, one])  # noqa: E731
    both = denoiser.context(ConditionTensors.stack([condition, condition.hidden()]), twice(guide), twice(levels))

    def velocity(noisy: Tensor, steps: Tensor) -> Tensor:
        given, free = denoiser.velocity(noisy.repeat(2, 1, 1), steps.repeat(2), both).float().chunk(2)
        return extrapolate(given, free, guidance)

    return velocity
