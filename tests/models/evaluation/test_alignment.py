"""The alignment encoder is not punished for the truth, finds ECGs by their text, and keeps its best step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.architecture import AlignmentArchitecture
from models.conditioning import TEXT_SIZE
from models.evaluation.alignment import (
    AlignedEcgs,
    AlignmentEncoder,
    AlignmentTraining,
    contrastive_loss,
    embed_ecgs,
    embed_texts,
    train_alignment,
    validation_loss,
)
from tests.models.synthetic_hearts import RATE_HZ, ecgs

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = AlignmentArchitecture(width=8, stages=3, features=16, embedding=8, dropout=0.0)
QUICK = AlignmentTraining(steps=60, batch_size=24, learning_rate=5e-3, check_every_steps=10, patience=20, seed=1)


def pairs(count: int, seed: int, kinds: int = 3) -> AlignedEcgs:
    """ECGs of three kinds that show (small, large, upside down), each kind with a text of its own."""
    signal = ecgs(count, seed)
    same = np.arange(count) % kinds
    signal[same == 1] *= 3.0
    signal[same == 2] *= -1.0
    text = np.random.default_rng(7).normal(size=(kinds, TEXT_SIZE)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    return AlignedEcgs(signal, text[same], same.astype(np.int64))


def test_without_shared_texts_the_loss_is_that_of_clip() -> None:
    torch.manual_seed(1)
    first, second = (F.normalize(torch.randn(6, 8), dim=1) for _ in range(2))
    logits = 5.0 * first @ second.T
    clip = 0.5 * (F.cross_entropy(logits, torch.arange(6)) + F.cross_entropy(logits.T, torch.arange(6)))
    assert contrastive_loss(first, second, torch.arange(6), torch.tensor(5.0)) == pytest.approx(float(clip), abs=1e-6)


def test_no_ecg_is_pushed_away_from_its_own_text() -> None:
    # Three ECGs of one text, one of them much nearer to it than the others, and one of another text.
    same = torch.tensor([0, 0, 0, 1])
    texts = torch.eye(4)[same]
    angle = torch.tensor([0.0, 1.2, 1.2, 1.5])
    ecgs = torch.stack([angle.cos(), 0 * angle, angle.sin(), 0 * angle], dim=1)

    def pull(positives: torch.Tensor) -> torch.Tensor:
        found = ecgs.clone().requires_grad_(True)
        contrastive_loss(found, texts, positives, torch.tensor(10.0)).backward()
        assert found.grad is not None
        return -(found.grad * texts).sum(dim=1)

    assert (pull(same) >= 0).all()
    assert pull(torch.arange(4))[0] < 0, "were equal texts taken for different ones, the best ECG would be pushed away"


def test_a_batch_of_one_text_says_nothing() -> None:
    found = F.normalize(torch.randn(4, 8), dim=1).requires_grad_(True)
    loss = contrastive_loss(found, torch.eye(8)[:4], torch.zeros(4, dtype=torch.int64), torch.tensor(10.0))
    loss.backward()
    assert float(loss.detach()) == 0
    assert found.grad is not None and torch.equal(found.grad, torch.zeros(4, 8))


def test_the_loss_does_not_depend_on_the_order_of_rows() -> None:
    torch.manual_seed(1)
    same = torch.tensor([0, 1, 0, 2, 2, 2])
    found, texts = F.normalize(torch.randn(6, 8), dim=1), F.normalize(torch.randn(3, 8), dim=1)[same]
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    scale = torch.tensor(9.0)
    assert float(contrastive_loss(found, texts, same, scale)) == pytest.approx(
        float(contrastive_loss(found[order], texts[order], same[order], scale)), abs=1e-6
    )


def test_it_finds_unseen_ecgs_by_their_text() -> None:
    model, checks = train_alignment(pairs(90, 1), pairs(30, 2), SMALL, QUICK, RATE_HZ)
    unseen = pairs(45, 3)
    cosines = embed_ecgs(model, unseen.signal, RATE_HZ) @ embed_texts(model, unseen.text[:3]).T
    assert np.mean(cosines.argmax(axis=1) == unseen.same) > 0.9
    assert checks[-1].loss < checks[0].loss


def test_the_weights_of_the_lowest_validation_loss_are_kept_and_training_stops_when_it_no_longer_falls() -> None:
    # Validation texts dealt the wrong way round: the better it learns, the worse it validates.
    wrong = pairs(30, 2)
    wrong = AlignedEcgs(wrong.signal, np.roll(wrong.text, 1, axis=0), np.roll(wrong.same, 1))
    schedule = AlignmentTraining(60, 24, 5e-3, check_every_steps=5, patience=2, seed=1)
    model, checks = train_alignment(pairs(90, 1), wrong, SMALL, schedule, RATE_HZ)
    losses = [check.validation for check in checks]
    best = int(np.argmin(losses))
    assert len(checks) == best + 1 + schedule.patience
    assert checks[-1].step < schedule.steps
    assert validation_loss(model, wrong, RATE_HZ) == pytest.approx(losses[best], abs=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        schedule = AlignmentTraining(6, 12, 1e-3, 3, 9, seed)
        return train_alignment(pairs(30, 1), pairs(12, 2), SMALL, schedule, RATE_HZ)[0].state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["ecg_projection.1.weight"], other["ecg_projection.1.weight"])


def test_projections_have_length_one_and_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(1)
    model, some = AlignmentEncoder(SMALL).eval(), pairs(9, 3)
    whole = embed_ecgs(model, some.signal, RATE_HZ)
    assert np.linalg.norm(whole, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert whole == pytest.approx(embed_ecgs(model, some.signal, RATE_HZ, batch_size=4), abs=5e-3)
    assert embed_ecgs(model, some.signal[:0], RATE_HZ).shape == (0, 8)
    assert embed_texts(model, some.text[:0]).shape == (0, 8)


def test_the_temperature_stays_above_its_bound() -> None:
    model = AlignmentEncoder(SMALL)
    assert float(model.scale.detach()) == pytest.approx(1 / 0.07)
    with torch.no_grad():
        model.log_scale.fill_(20.0)
    assert float(model.scale.detach()) == pytest.approx(100.0)


def test_a_single_text_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two different texts among the 12 validation ECGs"):
        train_alignment(pairs(12, 1), pairs(12, 2, kinds=1), SMALL, QUICK, RATE_HZ)
