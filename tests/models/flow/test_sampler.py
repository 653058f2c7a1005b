"""Heun's method against a flow that is known, and the two guidance scales."""

from __future__ import annotations

import itertools

import pytest
import torch

from models.flow.guide import GUIDE_CHANNELS
from models.flow.sampler import guided_velocity, solve
from tests.models.flow.test_transformer import network
from tests.models.test_conditioning import conditions


def gaussian_velocity(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """E[ε − x | x_t] where x is normal with mean 2 and standard deviation 0.5."""
    t = time[:, None, None]
    variance = (0.5 * (1 - t)).square() + t.square()
    return -2.0 + (t - 0.25 * (1 - t)) / variance * (state - 2.0 * (1 - t))


def test_few_steps_reach_the_distribution() -> None:
    torch.manual_seed(0)
    noise = torch.randn(4, 8, 2000)
    exact = 2.0 + 0.5 * noise
    errors = [
        float((solve(gaussian_velocity, noise, steps) - exact).square().mean().sqrt()) for steps in (2, 4, 8, 16, 32)
    ]
    assert all(later < 0.5 * earlier for earlier, later in itertools.pairwise(errors))
    assert errors[-1] < 0.01


@torch.no_grad()
@pytest.mark.parametrize(
    ("of_condition", "of_guide", "passes"), [(1.0, 1.0, 1), (2.0, 1.0, 2), (1.5, 1.5, 2), (1.0, 2.0, 3), (2.0, 1.5, 3)]
)
def test_guidance_adds_what_condition_and_guide_change(of_condition: float, of_guide: float, passes: int) -> None:
    made, condition = network(), conditions(2)
    torch.manual_seed(0)
    state, time, guide = torch.randn(2, 8, 50), torch.tensor([0.4, 0.7]), torch.randn(2, GUIDE_CHANNELS, 50)
    free = made(state, time, condition.hidden(), torch.zeros_like(guide))
    guided = made(state, time, condition.hidden(), guide)
    both = made(state, time, condition, guide)
    rows: list[int] = []
    hook = made.stem.register_forward_hook(lambda module, given, found: rows.append(len(found)))
    found = guided_velocity(made, condition, guide, of_condition, of_guide)(state, time)
    hook.remove()
    expected = free + of_guide * (guided - free) + of_condition * (both - guided)
    assert torch.allclose(found, expected, atol=1e-4)
    assert rows == [2 * passes]
