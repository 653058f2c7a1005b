"""Recipes and the examples that they draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.augmentation.data import AugmentationError
from benchmarks.augmentation.examples import examples_of
from benchmarks.augmentation.labelling import Labelling, imbalanced_tasks, statements_with
from benchmarks.augmentation.network import known_loss
from benchmarks.augmentation.recipes import (
    IMBALANCED_RECIPES,
    LARGEST_CLASS_WEIGHT,
    RECIPES,
    class_weights,
    jittered,
    mixed,
    rarity,
)
from tests.benchmarks.augmentation.made_up_ecgs import LABELLING, made_up

RARE = np.array([[1, 0]] * 90 + [[0, 1]] * 10, dtype=float)


def test_rare_labels_are_drawn_as_often_as_frequent_ones() -> None:
    probability = rarity(RARE)
    assert probability.sum() == pytest.approx(1)
    assert probability[:90].sum() == pytest.approx(0.5) and probability[90:].sum() == pytest.approx(0.5)


def test_positives_of_rare_labels_weigh_more() -> None:
    labels = np.zeros((1000, 3))
    labels[:5, 0], labels[:250, 1] = 1, 1
    assert list(class_weights(labels)) == [LARGEST_CLASS_WEIGHT, 3.0, 1.0]


def test_mixup_mixes_signals_and_labels_alike() -> None:
    labels = torch.tensor([[0.0], [1.0], [2.0], [torch.nan]])
    signal = labels.nan_to_num(3.0)[:, :, None].expand(4, 8, 10)
    found, of_found = mixed(signal, labels, torch.Generator().manual_seed(5))
    there = of_found.isfinite()
    assert torch.allclose(found[:, 0, 0][there[:, 0]], of_found[there]) and 1 <= (~there).sum() <= 2
    assert not torch.equal(found, signal)


def test_jitter_disturbs_each_lead_a_little() -> None:
    signal = torch.ones(64, 8, 500)
    found = jittered(signal, 100, torch.Generator().manual_seed(1))
    assert 0.05 < float((found - signal).abs().mean()) < 0.2
    assert float(found.mean()) == pytest.approx(1.0, abs=0.02)


def test_the_loss_ignores_what_is_unknown() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]], requires_grad=True)
    known_loss(logits, torch.tensor([[1.0, torch.nan], [torch.nan, 0.0]]), torch.ones(2)).backward()
    assert logits.grad is not None
    assert (logits.grad[0, 1], logits.grad[1, 0]) == (0, 0) and logits.grad[0, 0] < 0 < logits.grad[1, 1]


def test_an_ecg_without_superclass_says_nothing_about_them() -> None:
    ecgs = made_up(30, 1)
    ecgs.superclasses[4] = False
    labels = LABELLING.of(ecgs)
    assert np.isnan(labels[4, :5]).all() and np.isfinite(labels[4, 5]) and np.isfinite(labels[5]).all()
    assert LABELLING.groups == {"superclasses": slice(0, 5), "statements": slice(5, 6)}


def test_statements_are_those_with_enough_positives() -> None:
    ecgs = made_up(200, 1)
    counts = dict(zip(ecgs.codes, ecgs.statements.sum(axis=0), strict=True))
    assert statements_with(ecgs, int(counts["SR"])) == ("SR",)
    assert statements_with(ecgs, 1) == ecgs.codes


def test_real_ecgs_are_those_of_the_share() -> None:
    train = made_up(200, 1)
    (part,) = examples_of(RECIPES["real only"], LABELLING, train, None, 0.1, 7)
    assert len(np.unique(part.ecgs.patients)) == 10 and part.real
    generator = torch.Generator().manual_seed(1)
    drawn = torch.cat(list(part.batches(64, 5, generator)))
    assert len(drawn) == 320 and set(np.bincount(drawn)) == {16}


def test_half_of_a_batch_is_synthetic() -> None:
    parts = examples_of(RECIPES["half synthetic"], LABELLING, made_up(200, 1), made_up(40, 2), 0.1, 7)
    assert [(part.real, part.share) for part in parts] == [(True, 0.5), (False, 0.5)]


def test_balanced_synthetic_ecgs_fill_rare_labels() -> None:
    made = made_up(400, 2)
    made = made.take(~made.superclasses[:, 3] | (np.arange(400) < 50))
    parts = examples_of(RECIPES["half balanced synthetic"], LABELLING, made_up(200, 1), made, 0.1, 7)
    drawn = next(iter(parts[1].batches(5000, 1, torch.Generator().manual_seed(1))))
    rare = made.superclasses[:, 3]
    assert rare.mean() < 0.06 and 0.17 < rare[drawn.numpy()].mean() < 0.23


def test_synthetic_positives_fill_a_two_sided_task() -> None:
    task = Labelling(name="AF", kind="statements", positive=("AFIB",), negative=("SR",), ratio=10)
    train, made = made_up(600, 1), made_up(3000, 2)
    real, filled = examples_of(IMBALANCED_RECIPES["filled with synthetic"], task, train, made, 1.0, 1)
    negatives = int((real.labels == 0).sum())
    assert (real.labels == 1).sum() * 10 == negatives
    assert (filled.labels == 1).all() and len(filled.labels) + (real.labels == 1).sum() == negatives
    assert filled.share / real.share == pytest.approx(len(filled.labels) / len(real.labels))


def test_recipes_without_what_they_need_are_refused() -> None:
    with pytest.raises(AugmentationError, match="'half synthetic' needs synthetic"):
        examples_of(RECIPES["half synthetic"], LABELLING, made_up(20, 1), None, 1.0, 1)
    task = next(one for one in imbalanced_tasks((10,)) if one.name.startswith("SVT"))
    with pytest.raises(AugmentationError, match="SVT against sinus rhythm"):
        examples_of(IMBALANCED_RECIPES["real only"], task, made_up(20, 1), None, 1.0, 1)
