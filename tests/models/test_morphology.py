"""The prior of beats: coordinates are a change of basis, the flow learns a distribution and follows its condition."""

from __future__ import annotations

import pytest
import torch

from models.architecture import MorphologyArchitecture
from models.beat_events import EVENTS, event_shapes
from models.conditioning import ConditionTensors
from models.morphology import FURTHEST, EventComponents, MorphologyObjective, MorphologyPrior
from tests.models.test_conditioning import conditions

SMALL = MorphologyArchitecture(components=3, width=32, blocks=2, dropout=0.0, token_width=16, steps=12)


def amplitudes(rows: int = 200, directions: int = 3) -> torch.Tensor:
    """(rows, 8, events) mV that differ between people in a few directions."""
    generator = torch.Generator().manual_seed(2)
    axes = 0.1 * torch.randn(directions, 8, len(EVENTS), generator=generator)
    mean = 0.2 * torch.randn(8, len(EVENTS), generator=generator)
    return mean + torch.einsum("nd,dle->nle", torch.randn(rows, directions, generator=generator), axes)


def test_coordinates_have_unit_variance_and_lead_back() -> None:
    amplitude, events = amplitudes(), EventComponents(3)
    events.fit(amplitude)
    coordinates = events.coordinates(amplitude)
    assert torch.allclose(coordinates.mean(dim=0), torch.zeros(3), atol=0.05)
    assert torch.allclose(coordinates.std(dim=0), torch.ones(3), atol=0.05)
    assert torch.allclose(torch.corrcoef(coordinates.T), torch.eye(3), atol=0.05)
    assert torch.allclose(events.nearest(amplitude), amplitude, atol=1e-3)


def test_components_are_those_of_the_beat_not_of_the_amplitudes() -> None:
    # Two neighbouring events that cancel are a large amplitude and a small beat.
    amplitude = torch.zeros(100, 8, len(EVENTS))
    generator = torch.Generator().manual_seed(3)
    cancelling, plain = torch.randn(2, 100, 1, generator=generator)
    amplitude[..., 14], amplitude[..., 15] = cancelling, -cancelling
    amplitude[..., 30] = plain
    events = EventComponents(1)
    events.fit(amplitude)
    shapes = event_shapes(torch.arange(-0.5, 0.75, 0.004), torch.tensor([0.8]))[0]
    kept = (events.nearest(amplitude) @ shapes).var() / (amplitude @ shapes).var()
    assert kept > 0.8
    assert torch.corrcoef(torch.stack([events.coordinates(amplitude)[:, 0], plain[:, 0]])).abs()[0, 1] > 0.95


def test_fewer_recordings_than_components_are_no_problem() -> None:
    amplitude, events = amplitudes(rows=5), EventComponents(16)
    events.fit(amplitude)
    assert torch.allclose(events.nearest(amplitude), amplitude, atol=1e-2)


def trained(steps: int = 500) -> MorphologyPrior:
    """A prior of two groups: males at −1 and females at +1 along the first component, with a tenth of the spread."""
    torch.manual_seed(0)
    prior = MorphologyPrior(SMALL)
    prior.events.fit(amplitudes())
    objective = MorphologyObjective(prior, condition_dropout=0.0, unconditional=0.1)
    optimiser = torch.optim.Adam(prior.parameters(), lr=3e-3)
    for _ in range(steps):
        condition = one_sex(torch.randint(0, 2, (128,)).float())
        coordinates = 0.3 * torch.randn(128, 3)
        coordinates[:, 0] = 2 * condition.numbers[:, 1] - 1 + 0.1 * torch.randn(128)
        loss = objective(coordinates, condition)["loss"]
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
    drawn = prior.events.coordinates(prior.draw(one_sex(female), generators(400)))
    for sex, place in ((0, -1.0), (1, 1.0)):
        group = drawn[female == sex]
        assert group[:, 0].mean() == pytest.approx(place, abs=0.15)
        assert group[:, 0].std() < 0.35
        assert torch.allclose(group[:, 1:].std(dim=0), torch.full((2,), 0.3), atol=0.1)
    # Without a condition both kinds of people are drawn.
    anybody = prior.events.coordinates(prior.draw(one_sex(female).hidden(), generators(400)))
    assert 0.25 < (anybody[:, 0] > 0).float().mean() < 0.75


def test_a_draw_follows_from_its_generator_and_lies_near_people() -> None:
    torch.manual_seed(1)
    prior = MorphologyPrior(SMALL).eval().requires_grad_(False)
    prior.events.fit(amplitudes())
    torch.nn.init.normal_(prior.head.weight, std=2.0)
    condition = conditions(6)
    drawn = prior.draw(condition, generators(6))
    assert torch.equal(drawn, prior.draw(condition, generators(6)))
    assert not torch.equal(drawn, prior.draw(condition, generators(6, first=50)))
    vectors = prior.events._vectors(drawn) - prior.events.mean
    assert float((vectors @ prior.events.axes.T / prior.events.spread).abs().max()) < FURTHEST + 1e-2
