"""Distances between distributions of ECGs: closed forms, other implementations, and what they must notice."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from models.evaluation import fidelity


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_frechet_distance_agrees_with_the_matrix_square_root(rng: np.random.Generator) -> None:
    first = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6))
    second = rng.normal(0.5, 1.0, size=(300, 6)) @ rng.normal(size=(6, 6))
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    shift = first.mean(axis=0) - second.mean(axis=0)
    expected = shift @ shift + np.trace(one + two - 2 * sqrtm(one @ two).real)
    assert fidelity.frechet_distance(first, second) == pytest.approx(expected)


def test_frechet_distance_stays_sound_with_fewer_recordings_than_features(rng: np.random.Generator) -> None:
    first, second = rng.normal(size=(2, 20, 50))
    assert fidelity.frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    assert 0 < fidelity.frechet_distance(first, second) < 200


def test_kernel_distance_is_unbiased_where_frechet_distance_is_not(rng: np.random.Generator) -> None:
    pairs = [(rng.normal(size=(40, 4)), rng.normal(size=(40, 4))) for _ in range(100)]
    kernel = [fidelity.kernel_distance(*pair) for pair in pairs]
    assert abs(np.mean(kernel)) < 3 * np.std(kernel) / 10
    assert np.mean([fidelity.frechet_distance(*pair) for pair in pairs]) > 0.1
    assert fidelity.kernel_distance(pairs[0][0], pairs[0][1] + 2) > max(kernel)


def test_manifold_overlap_tells_missing_modes_from_wrong_ones(rng: np.random.Generator) -> None:
    real = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(20, 1, (100, 2))])
    one_mode = rng.normal(0, 1, (200, 2))
    elsewhere = rng.normal(100, 1, (200, 2))
    found = fidelity.manifold_overlap(real, one_mode)
    assert found["precision"] > 0.9
    assert found["recall"] < 0.6
    assert fidelity.manifold_overlap(real, elsewhere)["precision"] == 0
    assert np.isnan(list(fidelity.manifold_overlap(real, one_mode[:4]).values())).all()


def test_no_more_principal_components_than_recordings_can_support(rng: np.random.Generator) -> None:
    training = rng.normal(size=(300, 128))
    assert fidelity.fit_principal_components(training, 2000).n_components_ == 64
    assert fidelity.fit_principal_components(training, 100).n_components_ == 25
    assert fidelity.fit_principal_components(training[:7], 100).n_components_ == 7


def test_discriminator_cannot_tell_equal_sets_and_tells_smoothed_ones(rng: np.random.Generator) -> None:
    walk = rng.normal(size=(120, 8, 500)).cumsum(axis=2) * 0.05 + rng.normal(size=(120, 8, 500)) * 0.05
    smooth = np.apply_along_axis(lambda each: np.convolve(each, np.ones(5) / 5, "same"), 2, walk[60:])
    described = [fidelity.spectral_descriptors(each, 100) for each in (walk[:60], walk[60:], smooth)]
    described[0][3, 5] = np.nan
    target = np.repeat([0, 1], 60)
    same = fidelity.discriminator_scores(described[0], described[1], np.arange(120), 1)
    told = fidelity.discriminator_scores(described[0], described[2], np.arange(120), 1)
    assert 0.3 < _auc(target, same) < 0.7
    assert _auc(target, told) > 0.95


def test_discriminator_says_so_when_there_are_too_few_rows() -> None:
    assert np.isnan(fidelity.discriminator_scores(np.ones((3, 2)), np.ones((3, 2)), np.arange(6), 1)).all()


def test_distribution_distance_is_the_shift_and_needs_ten_values(rng: np.random.Generator) -> None:
    values = rng.normal(90, 10, 200)
    assert fidelity.distribution_distance(values, np.append(values + 12, np.nan)) == pytest.approx(12)
    assert np.isnan(fidelity.distribution_distance(values, values[:9]))


def _auc(target: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(target, scores))
