"""Rejection: draws keep out of the neighbourhood of training beats, the same way every time."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load, save

from models.architecture import BeatEncoderArchitecture
from models.beats.beats import Beats
from models.beats.identifying_space import coordinate_space, encoder_space, nearest_distance
from models.beats.prior import BeatPrior
from models.beats.rejection import Neighbourhood, Rejection, draw_with_rejection
from models.privacy.beat_encoder import BeatEncoder
from tests.models.beats.people import SMALL, people

pytestmark = pytest.mark.usefixtures("one_thread")


def fitted() -> tuple[BeatPrior, Rejection]:
    """An untrained prior, whose draws are anything, and the neighbourhood of some people's beats."""
    torch.manual_seed(0)
    prior, training = BeatPrior(SMALL).eval(), people(400).beats
    prior.fit_components(training)
    spaces = coordinate_space(prior.usual), coordinate_space(prior.ectopic)
    return prior, Rejection.fitted(*spaces, training, people(200, first=1).beats)


def test_copies_are_rejected_and_other_people_are_not() -> None:
    _, rejection = fitted()
    training, others = people(400).beats, people(400, first=2).beats
    assert rejection.rejected(training).all()
    assert rejection.rejected(others).float().mean() < 0.03
    ectopic_copied = Beats(others.usual, training.ectopic, training.has_ectopic)
    assert rejection.rejected(ectopic_copied)[training.has_ectopic].all()


def test_the_radius_is_the_quantile_of_held_out_people() -> None:
    training, held_out = torch.randn(500, 3), torch.randn(4000, 3)
    found = Neighbourhood.fitted(lambda points: points, training, held_out)
    distance = torch.cdist(held_out, training).amin(dim=1).sort().values
    assert distance[2] <= found.radius <= distance[4]
    assert Neighbourhood.fitted(lambda points: points, training, held_out[:10]).radius == 0.0


def test_rows_are_drawn_again_until_they_are_outside_and_refused_after_the_last_redraw() -> None:
    prior, rejection = fitted()
    wide = Rejection(
        Neighbourhood(rejection.usual.space, rejection.usual.training, 1.6 * median_distance(prior, rejection)),
        rejection.ectopic,
    )
    condition, seeds = people(300, first=3).condition, torch.arange(300)
    first = prior.draw(condition, seeds)
    inside = wide.rejected(first)
    drawn = draw_with_rejection(prior, wide, condition, seeds, most_redraws=1)
    assert 0 < drawn.refused.sum() < inside.sum() < 300
    assert torch.equal(drawn.redraws > 0, inside)
    assert torch.equal(drawn.beats.usual[~inside], first.usual[~inside])
    kept = drawn.beats[~drawn.refused]
    assert not wide.rejected(kept).any()
    assert drawn.beats.usual[drawn.refused].isnan().all()
    longer = draw_with_rejection(prior, wide, condition, seeds, most_redraws=16)
    assert longer.refused.sum() < drawn.refused.sum()
    some = torch.nonzero(longer.redraws > 0)[:3, 0]
    alone = draw_with_rejection(prior, wide, condition[some], seeds[some], most_redraws=16)
    assert torch.equal(alone.beats.usual.nan_to_num(), longer.beats.usual[some].nan_to_num())
    assert torch.equal(alone.redraws, longer.redraws[some])


def median_distance(prior: BeatPrior, rejection: Rejection) -> float:
    drawn = prior.draw(people(200, first=4).condition, torch.arange(200))
    return float(nearest_distance(prior.usual.coordinates(drawn.usual), rejection.usual.training).median())


def test_an_encoder_makes_a_space_of_beats_of_events() -> None:
    torch.manual_seed(0)
    space = encoder_space(BeatEncoder(BeatEncoderArchitecture(width=8, embedding=16)).eval())
    beats = people(6).beats
    points = space(beats.usual)
    assert points.shape == (6, 16)
    assert torch.allclose(points.norm(dim=1), torch.ones(6), atol=1e-5)
    assert torch.allclose(points[0], points[1], atol=1e-6)  # of one patient, with one beat
    assert (points[0] - points[2]).norm() > 1e-3


def test_distances_are_those_of_all_pairs() -> None:
    points, pool = torch.randn(3000, 5), torch.randn(70, 5)
    assert torch.allclose(nearest_distance(points, pool), torch.cdist(points, pool).amin(dim=1), atol=1e-5)
    assert math.isclose(float(nearest_distance(pool, pool).max()), 0.0, abs_tol=1e-6)


def test_what_was_saved_rejects_the_same() -> None:
    prior, rejection = fitted()
    found = Rejection.of_tensors(load(save(rejection.tensors())), prior)
    assert (found.usual.radius, found.ectopic.radius) == (rejection.usual.radius, rejection.ectopic.radius)
    some = Beats.stack([people(400).beats[slice(100)], people(400, first=2).beats])
    assert 100 <= rejection.rejected(some).sum() < 150
    assert torch.equal(found.rejected(some), rejection.rejected(some))
