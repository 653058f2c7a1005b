"""Discriminators: they must not tell equal sets, must tell changed ones, and must not see a patient twice."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.ecg.r_peaks import locate_r_peaks
from models.evaluation.discriminators import (
    BEAT_RATE_HZ,
    DiscriminatorTraining,
    beats_to_tell,
    convolutional_scores,
    linear_scores,
    spectral_descriptors,
)
from tests.models.synthetic_hearts import RATE_HZ, ecgs

TRAINING = DiscriminatorTraining(steps=60, batch_size=32, seed=1)
COUNT = 80


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    return ecgs(2 * COUNT, 3)


def apart(first: np.ndarray, second: np.ndarray, rate_hz: int = RATE_HZ) -> float:
    """Area under the ROC curve of the convolutional discriminator."""
    groups = np.arange(len(first) + len(second))
    scores = convolutional_scores(first, second, groups, rate_hz, TRAINING)
    return float(roc_auc_score(np.repeat([0, 1], [len(first), len(second)]), scores))


def test_the_linear_one_cannot_tell_equal_sets_and_tells_smoothed_ones() -> None:
    rng = np.random.default_rng(5)
    walk = rng.normal(size=(120, 8, 500)).cumsum(axis=2) * 0.05 + rng.normal(size=(120, 8, 500)) * 0.05
    smooth = np.apply_along_axis(lambda each: np.convolve(each, np.ones(5) / 5, "same"), 2, walk[60:])
    described = [spectral_descriptors(each, 100) for each in (walk[:60], walk[60:], smooth)]
    described[0][3, 5] = np.nan
    target = np.repeat([0, 1], 60)
    same = linear_scores(described[0], described[1], np.arange(120), 1)
    other = linear_scores(described[0], described[2], np.arange(120), 1)
    assert 0.3 < roc_auc_score(target, same) < 0.7
    assert roc_auc_score(target, other) > 0.95


def test_the_convolutional_one_sees_the_direction_of_time_and_the_linear_one_does_not(real: np.ndarray) -> None:
    first, second = real[:COUNT], real[COUNT:]
    backwards = np.ascontiguousarray(second[:, :, ::-1])
    target = np.repeat([0, 1], COUNT)
    spectra = [spectral_descriptors(each, RATE_HZ) for each in (first, backwards)]
    assert roc_auc_score(target, linear_scores(*spectra, np.arange(2 * COUNT), 1)) < 0.7
    assert apart(first, backwards) > 0.95
    assert apart(first, second) < 0.65


def test_median_beats_are_told_by_their_shape(real: np.ndarray) -> None:
    first, second = real[:COUNT], real[COUNT:]
    beats = [beats_to_tell(each, locate_r_peaks(each, RATE_HZ), RATE_HZ)[1] for each in (first, second)]
    assert beats[0].shape[1:] == (8, 156)
    late = np.roll(beats[1], 6, axis=2)
    assert apart(beats[0], beats[1], BEAT_RATE_HZ) < 0.65
    assert apart(beats[0], late, BEAT_RATE_HZ) > 0.85


def test_rows_of_a_patient_are_never_in_both_halves(real: np.ndarray) -> None:
    # Every patient has one copy in either set, which a network that had seen it would tell by heart.
    first, copies = real[:20], real[:20] * 1.001
    groups = np.concatenate([np.arange(20), np.arange(20)])
    scores = convolutional_scores(first, copies, groups, RATE_HZ, TRAINING)
    assert abs(roc_auc_score(np.repeat([0, 1], 20), scores) - 0.5) < 0.2


def test_they_say_so_when_there_are_too_few_rows(real: np.ndarray) -> None:
    assert np.isnan(linear_scores(np.ones((3, 2)), np.ones((3, 2)), np.arange(6), 1)).all()
    assert np.isnan(convolutional_scores(real[:3], real[3:6], np.arange(6), RATE_HZ, TRAINING)).all()
