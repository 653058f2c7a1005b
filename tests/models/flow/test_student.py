"""A student of a small flow: what its teacher needs many evaluations for, it does in one to four."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from models.architecture import FlowArchitecture
from models.conditioning import ConditionTensors
from models.flow.generator import FlowGenerator
from models.flow.guide import GUIDE_CHANNELS
from models.flow.objective import FlowObjective
from models.flow.sampler import guided_velocity, solve
from models.flow.student import MOST_STEPS, StudentObjective, follow, solve_by_student, student_of
from models.flow.transformer import FlowTransformer, of_white_data
from tests.models.flow.test_generator import generator
from tests.models.flow.test_sampler import gaussian_velocity
from tests.models.flow.test_transformer import network
from tests.models.test_conditioning import conditions

SHAPE = FlowArchitecture(width=32, depth=1, heads=2, statement_tokens=3, knowledge_tokens=2)
ROWS, SAMPLES = 64, 10
PATTERN = 1.5 * torch.linspace(0, 20, 8 * SAMPLES).sin().view(1, 8, SAMPLES)


def batch() -> dict[str, Tensor | ConditionTensors]:
    """One pattern times a normal number whose spread the guide shows; which one a row gets, its noise alone can say."""
    drawn, size = torch.randn(ROWS, 1, 1), 0.5 + torch.rand(ROWS, 1, 1)
    shown = size.expand(-1, GUIDE_CHANNELS, SAMPLES)
    return {
        "signal": drawn * size * PATTERN,
        "guide": shown,
        "condition": conditions(ROWS),
        "guided": torch.ones(ROWS, dtype=torch.bool),
    }


def learn(objective: FlowObjective | StudentObjective, learner: FlowTransformer, rate: float, steps: int = 150) -> None:
    optimiser = torch.optim.Adam(learner.parameters(), lr=rate)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
        optimiser.zero_grad()
        objective(**batch())["loss"].backward()
        optimiser.step()


@pytest.fixture(scope="module")
def taught() -> Iterator[tuple[FlowTransformer, FlowTransformer]]:
    """A teacher and its student."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    teacher = FlowTransformer(SHAPE, 100)
    learn(FlowObjective(teacher), teacher, 4e-3)
    student = student_of(teacher)
    learn(StudentObjective(student, teacher), student, 1e-3)
    yield teacher, student
    torch.set_num_threads(threads)


@torch.no_grad()
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_student_ends_where_its_teacher_does_in_far_fewer_evaluations(
    taught: tuple[FlowTransformer, FlowTransformer], guidance: float
) -> None:
    teacher, student = taught
    torch.manual_seed(1)
    given, noise = batch(), torch.randn(ROWS, 8, SAMPLES)
    of_teacher = guided_velocity(teacher, given["condition"], given["guide"], guidance, 1.0)
    exact = solve(of_teacher, noise, 32)

    def error(made: Tensor) -> float:
        return float((made - exact).square().mean().sqrt())

    for evaluations in range(1, MOST_STEPS + 1):
        by_student = solve_by_student(student, given["condition"], given["guide"], guidance, noise, evaluations)
        by_teacher = solve(of_teacher, noise, (evaluations + 1) // 2)
        assert error(by_student) < (0.4 if evaluations < 3 else 0.8) * error(by_teacher), evaluations
        assert error(by_student) < 0.3 * float(exact.square().mean().sqrt()), evaluations


def test_a_teacher_is_left_as_it_was(taught: tuple[FlowTransformer, FlowTransformer]) -> None:
    teacher, student = taught
    before = {name: weight.clone() for name, weight in teacher.state_dict().items()}
    loss = StudentObjective(student, teacher)(**batch())["loss"]
    loss.backward()
    assert all(torch.equal(weight, before[name]) for name, weight in teacher.state_dict().items())
    assert not any(weight.requires_grad for weight in teacher.parameters())
    assert all(weight.grad is not None and weight.grad.any() for weight in student.parameters())


@torch.no_grad()
def test_a_new_student_is_its_teacher_at_the_start_of_a_step() -> None:
    teacher = network()
    student = student_of(teacher)
    torch.manual_seed(0)
    state, time, guide = torch.randn(3, 8, 50), torch.tensor([0.2, 0.5, 0.9]), torch.randn(3, GUIDE_CHANNELS, 50)
    found = student(state, time, conditions(3), guide, end=time - 1e-3, guidance=torch.full((3,), 2.0))
    assert torch.allclose(found, teacher(state, time, conditions(3), guide), atol=0.02)


def test_mean_velocity_of_white_data_is_exact() -> None:
    start, end, noise = torch.tensor([1.0, 0.8, 0.4]), torch.tensor([0.5, 0.1, 0.0]), torch.randn(3, 8, 100)

    def velocity(state: Tensor, time: Tensor) -> Tensor:
        return of_white_data(time, None)[:, None, None] * state

    followed = follow(velocity, noise, start, end, 200)
    at_once = noise + ((end - start) * of_white_data(start, end))[:, None, None] * noise
    assert torch.allclose(followed, at_once, atol=0.01)


def test_a_path_is_followed_from_any_time_to_any_other() -> None:
    torch.manual_seed(0)
    noise = torch.randn(2, 8, 500)
    start, middle = torch.ones(2), torch.tensor([0.4, 0.6])
    halfway = follow(gaussian_velocity, noise, start, middle, 40)
    assert torch.allclose(
        halfway,
        2 * (1 - middle)[:, None, None]
        + noise * (middle.square() + (0.5 * (1 - middle)).square()).sqrt()[:, None, None],
        atol=0.01,
    )
    assert torch.allclose(follow(gaussian_velocity, halfway, middle, torch.zeros(2), 40), 2 + 0.5 * noise, atol=0.05)


@pytest.mark.parametrize(("steps", "guidance", "evaluations"), [(1, 1.0, 1), (4, 2.0, 4), (5, 1.0, 9), (2, 3.5, 3)])
def test_a_generator_leaves_few_steps_to_its_student(steps: int, guidance: float, evaluations: int) -> None:
    made, condition = FlowGenerator(generator().config.model_copy(update={"student": True})), conditions(2)
    made.load_state_dict(generator().state_dict(), strict=False)
    rows: list[str] = []
    for name in ("student", "denoiser"):
        used = made._for_sampling(name)
        used.stem.register_forward_hook(lambda module, given, found, name=name: rows.append(name))
    signal = made.sample(condition, [1, 2], steps=steps, guidance=guidance, trait_guidance=1.0)
    assert signal.shape == (2, 8, 405) and torch.isfinite(signal).all()
    by_student = evaluations == steps
    assert rows == ["student" if by_student else "denoiser"] * evaluations
    assert torch.equal(
        made.sample(condition[[1]], [2], steps=steps, guidance=guidance, trait_guidance=1.0)[0], signal[1]
    )
