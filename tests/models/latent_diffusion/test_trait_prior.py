"""The prior of traits: the flow learns a distribution and follows its condition."""

from __future__ import annotations

import pytest
import torch

from models.architecture import PriorArchitecture
from models.conditioning import ConditionTensors
from models.latent_diffusion.residual_levels import Levels
from models.latent_diffusion.trait_prior import FURTHEST, PriorObjective, TraitPrior, Traits
from tests.models.simulator.test_beat_components import amplitudes
from tests.models.test_conditioning import conditions

SMALL = PriorArchitecture(components=3, width=32, blocks=2, token_width=16)
LEVELS = 4


def fitted() -> TraitPrior:
    """A prior that knows the beats of some people and has not learned anything."""
    prior = TraitPrior(SMALL, beat=True, levels=Levels(1, 12.5))
    assert prior.events is not None
    prior.events.fit(amplitudes())
    return prior


def coordinates(prior: TraitPrior, traits: Traits) -> torch.Tensor:
    assert prior.events is not None and traits.amplitude is not None
    return prior.events.coordinates(traits.amplitude)


def trained(steps: int = 500) -> TraitPrior:
    """A prior of two groups: males at −1 and females at +1 along the first component, with a tenth of the spread."""
    torch.manual_seed(0)
    prior = fitted()
    objective = PriorObjective(prior)
    optimiser = torch.optim.Adam(prior.parameters(), lr=3e-3)
    for _ in range(steps):
        condition = one_sex(torch.randint(0, 2, (128,)).float())
        traits = 0.3 * torch.randn(128, 3 + LEVELS)
        traits[:, 0] = 2 * condition.numbers[:, 1] - 1 + 0.1 * torch.randn(128)
        traits[:, 3] = traits[:, 0]
        loss = objective(traits, condition)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return prior.eval().requires_grad_(False)


def one_sex(female: torch.Tensor) -> ConditionTensors:
    """Conditions that say nothing but the sex."""
    condition = conditions(len(female)).hidden()
    condition.numbers[:, 1] = female
    condition.present[:, -2] = True
    return condition


def generators(rows: int, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + row) for row in range(rows)]


def test_the_prior_learns_what_people_of_a_condition_are_like() -> None:
    prior = trained()
    female = (torch.arange(400) % 2).float()
    traits = prior.draw(one_sex(female), generators(400))
    drawn = coordinates(prior, traits)
    for sex, place in ((0, -1.0), (1, 1.0)):
        group = drawn[female == sex]
        assert group[:, 0].mean() == pytest.approx(place, abs=0.15)
        assert group[:, 0].std() < 0.35
        assert torch.allclose(group[:, 1:].std(dim=0), torch.full((2,), 0.3), atol=0.1)
    # Without a condition both kinds of people are drawn.
    # Beat and levels are drawn together.
    assert traits.levels is not None
    assert torch.corrcoef(torch.stack([drawn[:, 0], traits.levels[:, 0]]))[0, 1] > 0.9
    anybody = coordinates(prior, prior.draw(one_sex(female).hidden(), generators(400)))
    assert 0.25 < (anybody[:, 0] > 0).float().mean() < 0.75


def test_guidance_draws_traits_more_typical_of_the_condition() -> None:
    prior = trained()
    female = (torch.arange(400) % 2).float()
    means = []
    for guidance in (1.0, 1.0 + 1e-6, 2.0):
        drawn = coordinates(prior, prior.draw(one_sex(female), generators(400), guidance))
        means.append(float((drawn[:, 0] * (2 * female - 1)).mean()))
    assert means[1] == pytest.approx(means[0], abs=1e-4)
    assert means[2] > means[0] + 0.03
    # Who has no condition is typical of none.
    nothing = one_sex(female).hidden()
    plain, guided = (prior.draw(nothing, generators(400), guidance).levels for guidance in (1.0, 2.0))
    assert plain is not None and guided is not None and torch.allclose(plain, guided, atol=1e-4)


def test_a_draw_follows_from_its_generator_and_lies_near_people() -> None:
    torch.manual_seed(1)
    prior = fitted().eval().requires_grad_(False)
    torch.nn.init.normal_(prior.head.weight, std=2.0)
    condition = conditions(6)
    drawn, other = (prior.draw(condition, generators(6, first=first)) for first in (0, 50))
    for name in ("amplitude", "levels"):
        assert not torch.equal(getattr(drawn, name), getattr(other, name))
    assert drawn.amplitude is not None and drawn.levels is not None and prior.events is not None
    assert drawn.levels.abs().max() <= FURTHEST
    vectors = prior.events._vectors(drawn.amplitude) - prior.events.mean
    assert float((vectors @ prior.events.axes.T / prior.events.spread).abs().max()) < FURTHEST + 1e-2


def test_a_prior_may_draw_beats_or_levels_alone() -> None:
    condition = conditions(2)
    levels = TraitPrior(SMALL, beat=False, levels=Levels(2, 12.5)).draw(condition, generators(2))
    assert levels.amplitude is None and levels.levels is not None and levels.levels.shape == (2, 8)
    prior = TraitPrior(SMALL, beat=True, levels=None)
    assert prior.events is not None
    prior.events.fit(amplitudes())
    beat = prior.draw(condition, generators(2))
    assert beat.levels is None and beat.amplitude is not None and beat.amplitude.shape[:2] == (2, 8)
