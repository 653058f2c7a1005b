"""Distances between distributions of features: closed forms, other implementations, and floors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.metrics.pairwise import polynomial_kernel

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


def test_kernel_distance_agrees_with_the_library_and_is_unbiased_where_frechet_distance_is_not(
    rng: np.random.Generator,
) -> None:
    first, second = rng.normal(size=(30, 4)), rng.normal(0.3, 1, size=(25, 4))
    kernel = lambda a, b: polynomial_kernel(a, b, degree=3, gamma=1 / 4, coef0=1)  # noqa: E731
    within = [
        (kernel(each, each).sum() - np.trace(kernel(each, each))) / (len(each) * (len(each) - 1))
        for each in (first, second)
    ]
    assert fidelity.kernel_distance(first, second) == pytest.approx(sum(within) - 2 * kernel(first, second).mean())
    pairs = [(rng.normal(size=(40, 4)), rng.normal(size=(40, 4))) for _ in range(100)]
    found = [fidelity.kernel_distance(*pair) for pair in pairs]
    assert abs(np.mean(found)) < 3 * np.std(found) / 10
    assert np.mean([fidelity.frechet_distance(*pair) for pair in pairs]) > 0.1
    assert fidelity.kernel_distance(pairs[0][0], pairs[0][1] + 2) > max(found)


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


def test_participation_ratio_counts_equal_directions(rng: np.random.Generator) -> None:
    corners = np.concatenate([np.eye(6), -np.eye(6)])  # covariance a multiple of the identity
    assert fidelity.participation_ratio(corners) == pytest.approx(6)
    assert fidelity.participation_ratio(np.outer(np.arange(9.0), [1, 2, 3])) == pytest.approx(1)
    # λ = 3 and 1: 4² / (9 + 1).
    assert fidelity.participation_ratio(corners[:, :2] * np.sqrt([3, 1])) == pytest.approx(1.6)
    assert np.isnan(fidelity.participation_ratio(corners[:1]))


def test_the_floor_is_what_two_samples_of_one_gaussian_are_apart(rng: np.random.Generator) -> None:
    mixing = rng.normal(size=(5, 5))
    real = rng.normal(3, 1, size=(5000, 5)) @ mixing
    floor = fidelity.gaussian_floor(real, 60, 200, 1)
    drawn = [fidelity.frechet_distance(*(rng.normal(3, 1, size=(2, 60, 5)) @ mixing)) for _ in range(200)]
    error = np.hypot(np.std(floor), np.std(drawn)) / np.sqrt(200)
    assert abs(floor.mean() - np.mean(drawn)) < 4 * error + 0.05 * np.mean(drawn)
    assert fidelity.gaussian_floor(real, 600, 20, 1).mean() < floor.mean() / 5  # falls as 1 / n


def test_the_floor_corrected_ratio_says_when_there_is_none() -> None:
    floor = np.array([0.9, 1.1])
    found, flag = fidelity.floor_corrected_ratio(np.array([4.0, 6.0]), np.array([3.0, 3.0]), floor)
    assert (found.value, found.low, found.high, flag) == (2.0, 1.5, 2.5, None)
    found, flag = fidelity.floor_corrected_ratio(np.array([4.0, 6.0]), np.array([0.9, 3.0]), floor)
    assert found.value == pytest.approx(4 / 0.95)
    assert np.isnan(found.high) and flag == "no upper end: in 1 of 2 draws real sets are at the floor"
    found, flag = fidelity.floor_corrected_ratio(np.array([4.0, 6.0]), np.array([1.05, 1.15]), floor)
    assert flag == "disjoint real sets are within the scatter of the floor" and found.value > 10
    found, flag = fidelity.floor_corrected_ratio(np.array([4.0, 6.0]), np.array([0.5, 0.6]), floor)
    assert np.isnan(found.value) and flag is not None


def test_subsets_are_drawn_without_replacement_and_those_of_the_first_set_for_every_other() -> None:
    pairs, others = (fidelity.drawn_pairs((30, size), 16, 5, 1) for size in (20, 25))
    for (first, second), (again, other) in zip(pairs, others, strict=True):
        assert len(set(first)) == len(set(second)) == 16 and max(second) < 20
        assert np.array_equal(first, again) and not np.array_equal(second, other)
