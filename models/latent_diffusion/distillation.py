"""Guidance, and a student that samples in two network passes what the denoiser takes a solver and many for.

Classifier-free guidance evaluates the denoiser with and without the condition at every step. The student starts as a
copy of the denoiser and learns where its guided trajectories lead: from pure noise to a noise level in between, and
from there to clean latents (progressive distillation, Salimans and Ho, ICLR 2022, in one stage instead of many).
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.conditioning import ConditionTensors
from models.latent_diffusion.denoiser import Denoiser
from models.latent_diffusion.diffusion import (
    Denoise,
    clean_estimate,
    noise_schedule,
    noise_to_signal,
    signal_share,
    solver_times,
    trajectory,
)

PASSES: Final = 2
"""Network passes of a student."""
BETWEEN: Final = 1.77
"""Noise over signal at its second pass."""
TEACHER_STEPS: Final = 5
"""Steps of the trajectories that it learns, beside the one at its second pass."""


def student_times(timesteps: int) -> Tensor:
    """The time steps (PASSES,) at which a student looks: pure noise, and one in between."""
    distance = (noise_to_signal(noise_schedule(timesteps).alphas_cumprod).log() - torch.tensor(BETWEEN).log()).abs()
    return torch.stack([torch.tensor(timesteps - 1), distance.argmin()])


def leap(denoise: Denoise, noise: Tensor, timesteps: int) -> Tensor:
    """Clean latents (B, C, T) in a student's two passes, by the first-order rule of DDIM (Song et al., ICLR 2021).

    Args:
        denoise: the student's v.
        noise: (B, C, T) standard normal.
        timesteps: diffusion time steps of training.
    """
    schedule, clean = noise_schedule(timesteps), noise
    for step in student_times(timesteps):
        steps = step.to(noise.device).expand(len(noise))
        share = signal_share(schedule, steps)[:, None, None]
        # To the noise level of this pass, the first of which has no signal; the noise is still that of the start.
        noisy = share.sqrt() * clean + (1 - share).sqrt() * noise
        clean = clean_estimate(schedule, noisy, denoise(noisy, steps), steps)
    return clean


def guided(
    denoiser: Denoiser,
    condition: ConditionTensors,
    guide: Tensor | None,
    levels: Tensor | None,
    guidance: float,
) -> Denoise:
    """v_free + guidance (v_given − v_free) (Ho and Salimans 2022), both branches in one pass of twice the rows.

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
        return free + guidance * (given - free)

    return velocity


class DistillationObjective(nn.Module):
    """Mean squared difference between the clean latents that the student sees and those that lead where the teacher's
    trajectories do.

    Args:
        student: what learns; same shape as the teacher.
        teacher: the trained denoiser; nothing in it learns.
        timesteps: diffusion time steps of training.
        guidance: guidance scale that the student learns.
        condition_dropout: chance that a condition field is hidden from both, per field and row.
    """

    def __init__(
        self, student: Denoiser, teacher: Denoiser, timesteps: int, guidance: float, condition_dropout: float
    ) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher.requires_grad_(False)
        self.timesteps, self.schedule = timesteps, noise_schedule(timesteps)
        self.guidance, self.condition_dropout = guidance, condition_dropout
        own = student_times(timesteps)
        self.times = torch.cat([own, solver_times(self.schedule.alphas_cumprod, TEACHER_STEPS)]).unique().flip(0)
        self.second = int((self.times == own[1]).nonzero())

    def forward(
        self,
        latents: Tensor,
        condition: ConditionTensors,
        guide: Tensor | None = None,
        levels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss of a batch, on trajectories from new noise.

        Args:
            latents: (B, C, T) whose shape counts.
            condition: of B rows.
            guide: (B, K, T) the simulator's guide, or None for denoisers without one.
            levels: (B, levels) coordinates as in sampling, or None for denoisers that are told none.
        """
        noise, shown = torch.randn_like(latents), condition.dropped(self.condition_dropout, 0.0)
        with torch.no_grad():
            denoise = guided(self.teacher, shown, guide, levels, self.guidance)
            passed = trajectory(denoise, noise, self.timesteps, self.times)
            between = passed[self.second]
            share = signal_share(self.schedule, self.times[self.second]).to(noise.device)
            wanted = torch.cat([(between - (1 - share).sqrt() * noise) / share.sqrt(), passed[-1]])
        twice = lambda one: None if one is None else torch.cat([one, one])  # noqa: E731
        noisy, both = torch.cat([noise, between]), ConditionTensors.stack([shown, shown])
        steps = self.times[[0, self.second]].to(noise.device).repeat_interleave(len(noise))
        predicted = self.student(noisy, steps, both, twice(guide), twice(levels)).float()
        return {"loss": F.mse_loss(clean_estimate(self.schedule, noisy, predicted, steps), wanted)}
