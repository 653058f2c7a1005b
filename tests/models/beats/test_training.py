"""Training of the prior: held-out patients choose the weights, and the same arguments give the same ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.beats.training import Prevention, held_out_losses, train_prior
from tests.models.beats.people import SHORT, SMALL, people

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_weights_with_the_smallest_held_out_loss_are_kept() -> None:
    few, held_out = people(24), people(200, first=1)
    long = replace(SHORT, steps=900, batch=24, check_every=60, patience=3)
    stopped = train_prior(few, held_out, SMALL, long, Prevention(rejection=False))
    losses = dict(stopped.losses)
    assert losses[stopped.step] == min(losses.values())
    assert stopped.step < max(losses) < 900  # few people are soon learned by heart
    assert float(held_out_losses(stopped.prior, held_out).mean()) == pytest.approx(losses[stopped.step])
    assert stopped.rejection is None and stopped.privacy is None


def test_the_same_arguments_give_the_same_weights() -> None:
    short = replace(SHORT, steps=12, check_every=6)
    one, other = (train_prior(people(60), people(60, first=1), SMALL, short, Prevention()) for _ in range(2))
    torch.rand(3)
    for first, second in zip(one.prior.state_dict().values(), other.prior.state_dict().values(), strict=True):
        assert torch.equal(first, second)
    assert one.losses == other.losses


def test_without_early_stopping_the_last_weights_are_kept() -> None:
    found = train_prior(
        people(60),
        people(60, first=1),
        SMALL,
        replace(SHORT, steps=20, check_every=5),
        Prevention(early_stopping=False),
    )
    assert found.step == 20 and len(found.losses) == 4
