"""The classifier learns real superclasses, repeats itself for a seed, and reads recordings of any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from models.architecture import ClassifierArchitecture
from models.evaluation.classifier import ClassifierTraining, EcgClassifier, classify, train_classifier
from models.evaluation.ecg_encoder import random_crops
from models.superclasses import SUPERCLASSES
from tests.models.synthetic_hearts import RATE_HZ, ecgs
from warehouse.sources.registry import open_source

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ClassifierArchitecture(width=8, stages=3, features=16)


def labelled(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """ECGs whose class shows: T waves of class STTC are inverted, QRS of class HYP doubled."""
    signal = ecgs(count, seed)
    labels = np.zeros((count, len(SUPERCLASSES)), bool)
    labels[:, 0] = np.arange(count) % 2 == 0
    labels[:, 4] = ~labels[:, 0]
    signal[labels[:, 4]] *= 2.5
    return signal, labels


def test_it_learns_what_can_be_seen_and_says_nothing_of_what_cannot() -> None:
    signal, labels = labelled(80, 1)
    model = train_classifier(signal, labels, SMALL, ClassifierTraining(60, 32, 5e-3, 1), RATE_HZ)
    unseen, truth = labelled(40, 2)
    probabilities, features = classify(model, unseen, RATE_HZ)
    assert ((probabilities[:, 4] > probabilities[:, 0]) == truth[:, 4]).mean() > 0.9
    assert probabilities[:, 1].max() < 0.5
    assert features.shape == (40, 16)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    signal, labels = labelled(20, 1)
    first, again, other = (
        train_classifier(signal, labels, SMALL, ClassifierTraining(5, 8, 1e-3, seed), RATE_HZ).state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.1.weight"], other["head.1.weight"])


def test_validation_keeps_the_weights_that_read_other_ecgs_best() -> None:
    rng, count = np.random.default_rng(1), 24
    (signal, others), steps = (ecgs(count, seed) for seed in (1, 2)), ClassifierTraining(80, 12, 1e-2, 1)
    # Nothing to be learned but by heart, so reading others only gets worse.
    labels, of_others = rng.random((2, count, 5)) < 0.5
    last = train_classifier(signal, labels, SMALL, steps, RATE_HZ)
    kept = train_classifier(signal, labels, SMALL, steps, RATE_HZ, validation=(others, of_others))
    on_others = [log_loss(of_others.ravel(), classify(model, others, RATE_HZ)[0].ravel()) for model in (last, kept)]
    on_training = [log_loss(labels.ravel(), classify(model, signal, RATE_HZ)[0].ravel()) for model in (last, kept)]
    assert on_others[1] < on_others[0] and on_training[1] > on_training[0]


def test_reading_out_does_not_depend_on_the_batch() -> None:
    signal, _ = labelled(9, 3)
    model = EcgClassifier(SMALL).eval()
    whole, _ = classify(model, signal, RATE_HZ)
    pieces, _ = classify(model, signal, RATE_HZ, batch_size=4)
    assert whole == pytest.approx(pieces, abs=5e-3)
    assert classify(model, signal[:, :, :200], RATE_HZ)[0].shape == (9, 5)
    assert classify(model, signal[:0], RATE_HZ)[0].shape == (0, 5)


def test_a_crop_is_a_scaled_piece_of_its_own_recording() -> None:
    signal = torch.from_numpy(ecgs(4, 1))
    crops = random_crops(signal, 250, torch.Generator().manual_seed(1))
    for row in range(4):
        errors = []
        for start in range(751):
            piece = signal[row, :, start : start + 250]
            gain = (crops[row] * piece).sum() / piece.square().sum()
            errors.append(float((crops[row] - gain * piece).abs().max()))
        assert min(errors) < 1e-5


def test_training_without_ecgs_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        train_classifier(
            np.empty((0, 8, 1000), np.float32), np.empty((0, 5)), SMALL, ClassifierTraining(1, 1, 1e-3, 1), 100
        )


@pytest.mark.slow
def test_it_reads_real_ecgs(shared_data: Path) -> None:
    source = open_source("ptbxl", shared_data / "ptbxl")
    records = [record for record in source.records() if record.superclasses]
    signal = np.stack([source.read(record, RATE_HZ, 10.0) for record in records])
    labels = np.array([[name in record.superclasses for name in SUPERCLASSES] for record in records])
    training = np.array([record.strat_fold <= 8 for record in records])
    steps = ClassifierTraining(150, 64, 3e-3, 1)
    model = train_classifier(signal[training], labels[training], ClassifierArchitecture(width=16), steps, RATE_HZ)
    probabilities, _ = classify(model, signal[~training], RATE_HZ)
    assert roc_auc_score(labels[~training], probabilities, average="macro") > 0.8
