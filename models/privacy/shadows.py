"""Who was in the training set of a model whose losses can be seen? Membership inference with shadow models.

Shadow models are trained like the model under attack, each on a random half of the people, so that for everybody there
are losses of models that learned from them and of models that did not. This attacks a model, and says nothing about
data that it generated: an adversary who has only these sees no loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from models.evaluation.metrics import patient_numbers
from models.privacy.membership import TINY

OWN_SPREAD_FROM: Final = 64
"""Shadows from which on a record's own spread is taken; with fewer, that of all is (Carlini et al., section VI)."""


class Learner(Protocol):
    """What shadows are trained from and judged on: a pool of recordings, and how a network learns from some of them."""

    def losses(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """Train a new network and judge it.

        Args:
            rows: indices into the pool, that it learns from.
            seed: of initialisation, batches and noise of the training.

        Returns:
            (n, levels) loss of every recording of the pool at each noise level; the noise that it is judged with is the
            same for every network.
        """


@dataclass(frozen=True)
class Shadows:
    """What shadow models say of a pool.

    Attributes:
        losses: (shadows, n, levels).
        inside: (shadows, n) bool: who was in the training set of each.
    """

    losses: np.ndarray
    inside: np.ndarray

    def without(self, shadow: int) -> Shadows:
        """All but one of them."""
        kept = np.arange(len(self.losses)) != shadow
        return Shadows(self.losses[kept], self.inside[kept])


def training_sets(patients: np.ndarray, shadows: int, seed: int) -> np.ndarray:
    """(shadows, n) bool: each patient, with all recordings, in the training set of half of the shadows, at random.

    Args:
        patients: (n,) patient of each recording.
        shadows: how many, an even number.

    Raises:
        ValueError: the number is odd.
    """
    if shadows % 2:
        raise ValueError(f"half of the shadows learn from a patient, so their number is even, got {shadows}")
    number = patient_numbers(patients)
    ranks = np.random.default_rng(seed).random((shadows, number.max(initial=-1) + 1)).argsort(axis=0).argsort(axis=0)
    return (ranks < shadows // 2)[:, number]


def shadow_scores(losses: np.ndarray, shadows: Shadows) -> dict[str, np.ndarray]:
    """Score of each attack, higher for suspected members.

    Args:
        losses: (n, levels) of the model under attack.
        shadows: at least two of which learned from each recording, and two did not.

    Returns:
        "likelihood ratio": LiRA, log N(ℓ; μ_in, σ_in²) − log N(ℓ; μ_out, σ_out²) of the log loss ℓ, summed over noise
        levels (Carlini et al., IEEE S&P 2022, section V); "loss difference": by how much the loss is below its mean
        over shadows that did not learn from the recording, relative to it (Watson et al., ICLR 2022).
    """
    observed, seen = np.log(losses + TINY), np.log(shadows.losses + TINY)
    inside, outside = (_normal(seen, chosen) for chosen in (shadows.inside, ~shadows.inside))
    ratio = (_log_density(observed, *inside) - _log_density(observed, *outside)).sum(axis=1)
    return {"likelihood ratio": ratio, "loss difference": (outside[0] - observed).mean(axis=1)}


def scores_among_shadows(shadows: Shadows) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Scores of each shadow, attacked by the others, and who it learned from, one after another: (shadows · n,).

    Here membership is known and drawn at random: it shows what the attack finds in models trained like this.
    """
    found = [shadow_scores(shadows.losses[one], shadows.without(one)) for one in range(len(shadows.losses))]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}, shadows.inside.ravel()


def _normal(losses: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread, both (n, levels), of log losses over the chosen shadows of each recording."""
    weight = chosen[:, :, None].astype(np.float64)
    count = weight.sum(axis=0)
    mean = (losses * weight).sum(axis=0) / count
    variance = (np.square(losses - mean) * weight).sum(axis=0) / np.maximum(count - 1, 1)
    if len(losses) < OWN_SPREAD_FROM:
        variance = np.broadcast_to(variance.mean(axis=0), variance.shape)
    return mean, np.sqrt(variance) + TINY


def _log_density(values: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return -0.5 * np.square((values - mean) / spread) - np.log(spread)
