"""From noise to a filtered ECG: guidance with two scales, and Heun's method in a few steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from models.conditioning import ConditionTensors
from models.flow.transformer import FlowTransformer

Velocity = Callable[[Tensor, Tensor], Tensor]
"""x_t (B, 8, samples) and times (B,) to dx/dt (B, 8, samples)."""


def solve(velocity: Velocity, noise: Tensor, steps: int) -> Tensor:
    """Filtered ECGs (B, 8, samples) by Heun's method in even steps: two evaluations each, one in the last.

    Args:
        velocity: guidance included.
        noise: (B, 8, samples) standard normal.
        steps: at least 1.
    """
    state = noise
    for now, then in itertools.pairwise(torch.linspace(1, 0, steps + 1).tolist()):
        first = velocity(state, state.new_full((len(state),), now))
        reached = state + (then - now) * first
        if then > 0:
            second = velocity(reached, state.new_full((len(state),), then))
            reached = state + (then - now) * 0.5 * (first + second)
        state = reached
    return state


def guided_velocity(
    network: FlowTransformer,
    condition: ConditionTensors,
    guide: Tensor,
    condition_guidance: float,
    guide_guidance: float,
    first: int = 0,
) -> Velocity:
    """The velocity with classifier-free guidance (Ho and Salimans 2022) by condition and by guide (Brooks et al. 2023):

        v = v(∅, ∅) + w_g (v(∅, guide) − v(∅, ∅)) + w_c (v(condition, guide) − v(∅, guide))

    Branches that weigh nothing are not computed; the others share one pass.

    Args:
        network: predicts the velocity.
        condition: of B rows.
        guide: (B, GUIDE_CHANNELS, samples).
        condition_guidance: w_c.
        guide_guidance: w_g.
        first: position of the first patch.
    """
    hidden, without = condition.hidden(), torch.zeros_like(guide)
    branches = [
        (condition_guidance, condition, guide),
        (guide_guidance - condition_guidance, hidden, guide),
        (1 - guide_guidance, hidden, without),
    ]
    weighing = [one for one in branches if one[0] != 0]
    context = network.context(
        ConditionTensors.stack([one for _, one, _ in weighing]), torch.cat([one for *_, one in weighing])
    )
    count = len(weighing)

    def velocity(state: Tensor, time: Tensor) -> Tensor:
        found = network.velocity(state.repeat(count, 1, 1), time.repeat(count), context, first).float()
        return torch.stack([weight * one for (weight, *_), one in zip(weighing, found.chunk(count), strict=True)]).sum(
            dim=0
        )

    return velocity
