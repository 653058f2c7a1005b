"""Who a model learned from is found where it overfits, and not where it has seen nobody."""

from __future__ import annotations

import numpy as np
import pytest

from models.privacy.membership import success
from models.privacy.shadows import Shadows, scores_among_shadows, shadow_scores, training_sets

PEOPLE, FEATURES, LEVELS = 80, 75, 3


class RidgeRegression:
    """Learns noisy answers of a pool by ridge regression; judged by its squared error under noises of the input."""

    def __init__(self, ridge: float) -> None:
        rng = np.random.default_rng(1)
        self.ridge, self.x = ridge, rng.normal(size=(2 * PEOPLE, FEATURES))
        self.y = self.x @ rng.normal(size=FEATURES) / FEATURES**0.5 + rng.normal(size=2 * PEOPLE)
        self.noise = 0.05 * rng.normal(size=(LEVELS, *self.x.shape))

    def losses(self, rows: np.ndarray, seed: int) -> np.ndarray:
        x, y = self.x[rows], self.y[rows]
        weights = np.linalg.solve(x.T @ x + self.ridge * np.eye(FEATURES), x.T @ y)
        return np.square((self.x + self.noise) @ weights - self.y).T


def attacked(learner: RidgeRegression, shadows: int) -> Shadows:
    inside = training_sets(np.arange(2 * PEOPLE), shadows, seed=3)
    return Shadows(np.stack([learner.losses(np.flatnonzero(chosen), 0) for chosen in inside]), inside)


@pytest.mark.parametrize("attack", ["likelihood ratio", "loss difference"])
def test_an_overfitted_model_is_found_and_one_that_saw_nobody_is_not(attack: str) -> None:
    learner = RidgeRegression(ridge=0.1)
    shadows, member = attacked(learner, 32), np.arange(2 * PEOPLE) < PEOPLE
    overfitted = shadow_scores(learner.losses(np.flatnonzero(member), 0), shadows)[attack]
    assert success(overfitted, member).auc[0] > 0.9
    among, inside = scores_among_shadows(shadows)
    assert success(among[attack], inside).auc[0] > 0.9
    saw_nobody = np.square(learner.x @ np.zeros(FEATURES) - learner.y)[:, None].repeat(LEVELS, axis=1)
    assert 0.35 < success(shadow_scores(saw_nobody, shadows)[attack], member).auc[0] < 0.65


def test_a_model_that_hardly_learns_gives_little_away() -> None:
    scores, inside = scores_among_shadows(attacked(RidgeRegression(ridge=1e5), 16))
    assert success(scores["likelihood ratio"], inside).auc[0] < 0.6


def test_the_likelihood_ratio_is_that_of_two_normal_distributions() -> None:
    inside = np.array([[True], [True], [False], [False]])
    shadows = Shadows(np.exp(np.array([0.0, 2.0, 4.0, 8.0]))[:, None, None], inside)
    found = shadow_scores(np.exp(np.array([[1.0]])), shadows)
    # μ_in = 1, σ_in² = 2; μ_out = 6, σ_out² = 8
    expected = 0 - 0.5 * np.log(2) + 0.5 * 25 / 8 + 0.5 * np.log(8)
    assert found["likelihood ratio"] == pytest.approx([expected], abs=1e-6)
    assert found["loss difference"] == pytest.approx([5.0], abs=1e-6)


def test_every_patient_is_in_half_of_the_training_sets_with_all_recordings() -> None:
    patients = np.array(["b", "a", "b", "c", "a"])
    inside = training_sets(patients, 8, seed=1)
    assert (inside.sum(axis=0) == 4).all()
    assert (inside[:, 0] == inside[:, 2]).all() and (inside[:, 1] == inside[:, 4]).all()
    assert len({tuple(column) for column in inside.T}) == 3
    with pytest.raises(ValueError, match="even"):
        training_sets(patients, 5, seed=1)
