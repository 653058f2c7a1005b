"""Guidance, and the student that comes to say in two passes where guided trajectories lead."""

from __future__ import annotations

import copy

import pytest
import torch

from models.architecture import DenoiserArchitecture
from models.latent_diffusion.denoiser import Denoiser
from models.latent_diffusion.diffusion import initial_noise, noise_schedule, signal_share, solve
from models.latent_diffusion.distillation import BETWEEN, PASSES, DistillationObjective, guided, leap, student_times
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


def test_a_student_of_an_exact_denoiser_leaps_to_its_data() -> None:
    # For data that is one point, v = √ᾱ ε − √(1−ᾱ) m at every noise level, so that any rule of first order is exact.
    schedule, point = noise_schedule(1000), torch.full((3, 2, 5), 0.7)

    def exact(noisy: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        share = signal_share(schedule, steps)[:, None, None]
        seen.append(noisy)
        return share.sqrt() * (noisy - share.sqrt() * point) / (1 - share).sqrt() - (1 - share).sqrt() * point

    seen = list[torch.Tensor]()
    noise = initial_noise([1, 2, 3], (2, 5))
    assert torch.allclose(leap(exact, noise, 1000), point, atol=1e-4)
    share = signal_share(schedule, student_times(1000)[1:])
    assert len(seen) == PASSES and torch.equal(seen[0], noise)
    assert torch.allclose(seen[1], share.sqrt() * point + (1 - share).sqrt() * noise, atol=1e-4)
    assert float(((1 - share) / share).sqrt()) == pytest.approx(BETWEEN, rel=0.01)


def test_the_student_learns_where_guided_trajectories_lead_and_the_teacher_stays() -> None:
    torch.manual_seed(0)
    teacher = denoiser(SMALL)
    student, before = copy.deepcopy(teacher), copy.deepcopy(teacher.state_dict())
    objective = DistillationObjective(student, teacher, 1000, guidance=2.0, condition_dropout=0.0)
    optimiser = torch.optim.Adam(student.parameters(), 3e-3)
    condition, noise = conditions(16), initial_noise(list(range(16)), (8, 32))
    with torch.no_grad():
        led = solve(guided(teacher, condition, None, None, 2.0), noise, 1000, 30)

    def missed() -> float:
        with torch.no_grad():
            found = leap(guided(student, condition, None, None, 1.0), noise, 1000)
        return float((found - led).square().mean())

    untaught = missed()
    for _ in range(120):
        loss = objective(torch.empty(16, 8, 32), condition)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert missed() < 0.5 * untaught
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not any(weight.requires_grad for weight in objective.teacher.parameters())
