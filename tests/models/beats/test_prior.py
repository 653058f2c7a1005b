"""The prior of beats: it follows its condition, and a row's beats depend on nothing but the row."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.architecture import BeatPriorArchitecture
from models.beats.beats import Beats
from models.beats.coarse_keys import with_coarse_keys
from models.beats.prior import BeatPrior
from models.beats.training import Prevention, TrainedPrior, train_prior
from models.simulator.beat_components import FURTHEST
from tests.models.beats.people import SHORT, SMALL, asked, people

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained() -> TrainedPrior:
    """A prior that has seen some people."""
    return train_prior(people(400), people(100, first=1), SMALL, SHORT, Prevention())


def test_a_prior_draws_the_beats_of_its_condition(trained: TrainedPrior) -> None:
    female = (torch.arange(200) % 2).float()
    beats = trained.prior.draw(asked(female, torch.Generator().manual_seed(5)), torch.arange(200))
    real = people(200, first=2)
    component = trained.prior.usual.coordinates(real.beats.usual)[:, 0]
    side = torch.sign(component[real.condition.numbers[:, 1] == 1].mean())
    drawn = side * trained.prior.usual.coordinates(beats.usual)[:, 0]
    assert ((drawn > 0) == (female == 1)).float().mean() > 0.95


def test_ectopic_beats_are_drawn_as_often_as_people_have_them_or_where_they_are_asked_for(
    trained: TrainedPrior,
) -> None:
    condition = people(400, first=3).condition
    beats = trained.prior.draw(condition, torch.arange(400))
    assert 0.15 < beats.has_ectopic.float().mean() < 0.35
    assert (beats.ectopic[~beats.has_ectopic] == 0).all()
    assert (beats.ectopic[beats.has_ectopic].abs().sum(dim=(1, 2)) > 0).all()
    there = torch.arange(400) % 2 == 0
    given = trained.prior.draw(condition, torch.arange(400), has_ectopic=there)
    assert torch.equal(given.has_ectopic, there)


def test_both_beats_are_of_one_person(trained: TrainedPrior) -> None:
    condition = people(200, first=4).condition
    beats = trained.prior.draw(condition, torch.arange(200), has_ectopic=torch.ones(200, dtype=torch.bool))
    expected = trained.prior.ectopic.coordinates(2.0 * beats.usual.flip(1))[:, 0]
    drawn = trained.prior.ectopic.coordinates(beats.ectopic)[:, 0]
    assert torch.corrcoef(torch.stack([expected, drawn]))[0, 1] > 0.8


def test_a_row_depends_on_its_seed_condition_and_attempt_only(trained: TrainedPrior) -> None:
    condition, seeds = people(300, first=5).condition, torch.arange(300) * 7
    whole = trained.prior.draw(condition, seeds)
    part = trained.prior.draw(condition[[299, 3]], seeds[[299, 3]])
    assert torch.equal(whole.usual[[299, 3]], part.usual)
    assert torch.equal(whole.ectopic[[299, 3]], part.ectopic)
    again = trained.prior.draw(condition, seeds, attempt=1)
    assert torch.equal(again.has_ectopic, whole.has_ectopic)
    assert (again.usual != whole.usual).any(dim=2).any(dim=1).all()
    assert len(trained.prior.draw(condition[[]], seeds[:0])) == 0


def test_guidance_makes_beats_more_typical_of_their_condition(trained: TrainedPrior) -> None:
    condition, seeds = asked((torch.arange(200) % 2).float(), torch.Generator().manual_seed(5)), torch.arange(200)
    none, some = (
        trained.prior.usual.coordinates(trained.prior.draw(condition, seeds, guidance=scale).usual)[:, 0]
        for scale in (1.0, 2.0)
    )
    female = condition.numbers[:, 1] == 1
    apart = [(one[female].mean() - one[~female].mean()).abs() for one in (some, none)]
    assert apart[0] > 1.05 * apart[1]


def test_coordinates_and_beats_are_each_others_inverse() -> None:
    prior, beats = BeatPrior(SMALL), people(100).beats
    prior.fit_components(beats)
    coordinates = prior.coordinates(beats)
    assert coordinates.abs().max() <= FURTHEST
    back = prior.beats(coordinates, beats.has_ectopic)
    assert (back.usual - beats.usual).abs().max() < 0.01 * beats.usual.abs().max()
    assert (back.ectopic - beats.ectopic).abs().max() < 0.01 * beats.ectopic.abs().max()


def test_a_single_ectopic_beat_among_those_learned_is_never_drawn() -> None:
    prior, usual = BeatPrior(SMALL), people(30).beats.usual
    one = torch.arange(30) == 4
    recorded = Beats(usual, torch.where(one[:, None, None], -2 * usual, 0.0), one)
    prior.fit_components(recorded)
    shown = prior.beats(prior.coordinates(recorded), recorded.has_ectopic)
    assert torch.isfinite(shown.usual).all()
    assert not shown.has_ectopic.any() and (shown.ectopic == 0).all()


def test_coarse_keys_hide_what_singles_people_out() -> None:
    condition = people(2).condition
    condition.numbers[:] = torch.tensor([[61.0, 1.0, 72.4], [78.0, 1.0, 70.0]])
    coarse = with_coarse_keys(condition)
    assert torch.equal(coarse.numbers[0], coarse.numbers[1])
    assert condition.numbers[0, 0] == 61.0
    condition.numbers[:, 0] = torch.tensor([80.0, 79.9])
    assert with_coarse_keys(condition).numbers[:, 0].tolist() == [85.0, 70.0]
    fine, hidden = (BeatPrior(replace_keys(coarse)).eval() for coarse in (False, True))
    hidden.load_state_dict(fine.state_dict())
    assert torch.equal(*hidden.read(replace(condition, numbers=torch.tensor([[61.0, 1, 72.4], [78.0, 1, 70.0]]))))
    assert not torch.equal(*fine.read(replace(condition, numbers=torch.tensor([[61.0, 1, 72.4], [78.0, 1, 70.0]]))))


def replace_keys(coarse: bool) -> BeatPriorArchitecture:
    return SMALL.model_copy(update={"coarse_keys": coarse})
