"""A student of the flow: the same transformer, which goes from noise to an ECG in one to four evaluations.

It predicts the mean velocity u(x_t, t, s) of its teacher's path from a time t to an earlier one s, so that
x_s = x_t + (s − t) u has no solver's error (flow maps: Boffi, Albergo and Vanden-Eijnden 2024; MeanFlow, Geng et al.
2025). It learns u on the even grids of one to four steps. Steps of a third or a quarter are those of the teacher's
guided path, which two steps of Heun's method follow (Salimans and Ho 2022; with guidance, Meng et al. 2023); a longer
step is that which two of its own halves make (shortcut models, Frans et al. 2025).
"""

from __future__ import annotations

import itertools
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.conditioning import ConditionTensors
from models.flow.sampler import Velocity, guided_velocity
from models.flow.transformer import LARGEST_GUIDANCE, PATCH_S, FlowTransformer

MOST_STEPS: Final = 4
TEACHER_STEPS: Final = 2
"""Steps of Heun's method along one step of the student."""
UNGUIDED: Final = 0.5
"""Share of training steps without guidance; scales of the others are spread evenly up to the largest."""


def student_of(teacher: FlowTransformer) -> FlowTransformer:
    """A student that begins with its teacher's weights; it learns without dropout, as its targets are made."""
    shape = teacher.shape.model_copy(update={"dropout": 0.0})
    made = FlowTransformer(shape, teacher.samples / PATCH_S, student=True)
    made.load_state_dict(teacher.state_dict(), strict=False)
    return made


def solve_by_student(
    student: FlowTransformer,
    condition: ConditionTensors,
    guide: Tensor,
    guidance: float,
    noise: Tensor,
    steps: int,
) -> Tensor:
    """Filtered ECGs (B, 8, samples) in as many evaluations as steps.

    Args:
        student: predicts the mean velocity.
        condition: of B rows.
        guide: (B, GUIDE_CHANNELS, samples).
        guidance: scale of the condition, 1 to `LARGEST_GUIDANCE`.
        noise: (B, 8, samples) standard normal.
        steps: 1 to `MOST_STEPS`.
    """
    context, scale, state = student.context(condition, guide), noise.new_full((len(noise),), guidance), noise
    for now, then in itertools.pairwise(torch.linspace(1, 0, steps + 1).tolist()):
        time, end = (torch.full_like(scale, value) for value in (now, then))
        state = state + (then - now) * student.velocity(state, time, context, end=end, guidance=scale).float()
    return state


def follow(velocity: Velocity, state: Tensor, start: Tensor, end: Tensor, steps: int) -> Tensor:
    """The state (B, 8, samples) at each row's end of a path that it is on at the row's start, by Heun's method.

    As in `models.flow.sampler.solve`, a step that ends at an ECG has one evaluation: velocities there are not learned.
    """
    for now, then in itertools.pairwise(torch.lerp(start, end, at / steps) for at in range(steps + 1)):
        span = (then - now)[:, None, None]
        first = velocity(state, now)
        second = velocity(state + span * first, then)
        state = state + span * torch.where(then[:, None, None] > 0, 0.5 * (first + second), first)
    return state


class StudentObjective(nn.Module):
    """Mean square error of the student's mean velocity; the forward pass returns it as the loss.

    Args:
        student: what learns.
        teacher: what it learns from.
    """

    def __init__(self, student: FlowTransformer, teacher: FlowTransformer) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher.eval().requires_grad_(False)

    def forward(
        self, signal: Tensor, guide: Tensor, condition: ConditionTensors, guided: Tensor, first: int = 0
    ) -> dict[str, Tensor]:
        """Loss of a batch; arguments as of `models.flow.objective.FlowObjective`."""
        rows, device = len(signal), signal.device
        scale = 1.0 if torch.rand(()) < UNGUIDED else 1.0 + (LARGEST_GUIDANCE - 1.0) * float(torch.rand(()))
        # The first half of the rows learns from the teacher, the others from the student itself.
        taught = (rows + 1) // 2
        number = torch.arange(rows, device=device)
        steps = torch.where(number < taught, MOST_STEPS - number % 2, 1 + number % 2)
        place = (torch.rand(rows, device=device) * steps).floor()
        start, end = (place + 1) / steps, place / steps
        noisy = torch.lerp(signal, torch.randn_like(signal), start[:, None, None])
        seen, shown = condition.dropped(), guide * guided[:, None, None]
        guidance = torch.full((rows,), scale, device=device)

        with torch.no_grad():
            velocity = guided_velocity(self.teacher, seen[:taught], shown[:taught], scale, 1.0, first)
            by_teacher = follow(velocity, noisy[:taught], start[:taught], end[:taught], TEACHER_STEPS)
            context, by_itself = self.student.context(seen[taught:], shown[taught:]), noisy[taught:]
            for now, then in itertools.pairwise((start[taught:], 0.5 * (start + end)[taught:], end[taught:])):
                mean = self.student.velocity(by_itself, now, context, first, then, guidance[taught:]).float()
                by_itself = by_itself + (then - now)[:, None, None] * mean
            target = (torch.cat([by_teacher, by_itself]) - noisy) / (end - start)[:, None, None]
        found = self.student(noisy, start, seen, shown, first, end, guidance)
        return {"loss": F.mse_loss(found.float(), target)}
