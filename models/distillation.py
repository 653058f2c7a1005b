"""Guidance distillation: a student whose one pass gives what guidance takes two for (Meng et al., CVPR 2023, stage 1).

Classifier-free guidance evaluates the denoiser with and without the condition at every step. The student starts as a
copy of the denoiser and learns the guided velocity of one guidance scale, for any subset of condition fields.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.conditioning import ConditionTensors
from models.denoiser import Denoiser
from models.diffusion import Denoise, noise_schedule, noised, stratified_timesteps


def guided(
    denoiser: Denoiser,
    condition: ConditionTensors,
    guide: Tensor | None,
    levels: Tensor | None,
    guidance: float,
) -> Denoise:
    """v_free + guidance (v_given − v_free) (Ho and Salimans 2022), both branches in one pass of twice the rows.

    Both see the same guide of the simulator and the same levels (see `models.generator.Generator.sample`).

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
    """Mean squared difference between the student's velocity and the teacher's guided one.

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

    def forward(
        self,
        latents: Tensor,
        condition: ConditionTensors,
        guide: Tensor | None = None,
        levels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            latents: (B, C, T) standardised clean latents.
            condition: of B rows.
            guide: (B, K, T) the simulator's guide, or None for denoisers without one.
            levels: (B, levels) coordinates, or None for denoisers that are told none.
        """
        steps = stratified_timesteps(len(latents), self.timesteps, latents.device)
        noisy, _ = noised(self.schedule, latents, torch.randn_like(latents), steps)
        shown = condition.dropped(self.condition_dropout, 0.0)
        with torch.no_grad():
            wanted = guided(self.teacher, shown, guide, levels, self.guidance)(noisy, steps)
        return {"loss": F.mse_loss(self.student(noisy, steps, shown, guide, levels).float(), wanted)}
