"""Fitted solvers, against data whose trajectories are known in closed form."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from models.architecture import SolverRule
from models.latent_diffusion.diffusion import initial_noise, solve
from models.latent_diffusion.fitted_solver import FITTED_STEPS, fit_rules, solve_by
from tests.models.exact_denoisers import gaussian, one_point

SPREADS = torch.tensor([0.2, 0.5, 1.0, 2.0])[:, None]


def noise(first_seed: int) -> Tensor:
    return initial_noise(list(range(first_seed, first_seed + 16)), (4, 50))


@pytest.fixture(scope="module")
def rules() -> dict[int, SolverRule]:
    problems = [(gaussian(SPREADS), noise(first)) for first in (0, 16)]
    return {len(rule.times): rule for rule, _ in fit_rules(problems)}


def test_there_is_a_rule_for_every_number_of_steps_and_its_weights_sum_to_one(rules: dict[int, SolverRule]) -> None:
    assert list(rules) == list(FITTED_STEPS)
    for steps, rule in rules.items():
        assert len(rule.times) == steps and rule.times[0] == 999
        assert all(before > after for before, after in zip(rule.times, rule.times[1:], strict=False))
        assert [sum(weights) for weights in rule.weights] == pytest.approx([1.0] * steps, abs=1e-9)


@pytest.mark.parametrize("steps", FITTED_STEPS)
def test_of_other_noise_it_comes_nearer_to_where_trajectories_lead_than_a_solver_for_all(
    rules: dict[int, SolverRule], steps: int
) -> None:
    other = noise(100)
    # From pure noise N(0, 1) the trajectory of data N(0, s²) leads to s times that noise.
    fitted, general = (
        found / other - SPREADS
        for found in (
            solve_by(rules[steps], gaussian(SPREADS), other),
            solve(gaussian(SPREADS), other, steps),
        )
    )
    assert fitted.square().mean() < 0.5 * general.square().mean()


def test_data_that_is_one_point_is_reached_exactly_by_any_weights(rules: dict[int, SolverRule]) -> None:
    point = torch.full((16, 4, 50), 0.7)
    for rule in rules.values():
        assert torch.allclose(solve_by(rule, one_point(point), noise(0)), point, atol=1e-3)


def test_fitting_in_other_groups_gives_the_same_rules_and_says_where_they_lead(rules: dict[int, SolverRule]) -> None:
    one = [(gaussian(SPREADS), torch.cat([noise(0), noise(16)]))]
    for rule, (latents,) in fit_rules(one):
        assert rule == rules[len(rule.times)]
        assert torch.equal(latents, solve_by(rule, *one[0]))


def test_a_network_that_has_learned_nothing_has_rules_too() -> None:
    for rule, _ in fit_rules([(lambda noisy, _: torch.zeros_like(noisy), noise(0))]):
        assert torch.isfinite(solve_by(rule, lambda noisy, _: torch.zeros_like(noisy), noise(0))).all()


def test_a_rule_without_all_its_weights_is_refused() -> None:
    with pytest.raises(ValidationError, match="step k of a solver has k weights"):
        SolverRule(times=(999, 500), weights=((1.0,), (1.0,)))
