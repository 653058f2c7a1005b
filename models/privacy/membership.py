"""Can an adversary who holds the released ECGs tell who was in the training set?

Attacks see released data only, through the distance of a suspect to the nearest released ECG: a single memorised copy
must be enough to be found. Each is calibrated per suspect by reference data that the adversary has of other people, so
that what is ordinary for the suspect does not count. They are judged on training recordings (members) against
recordings of other patients (non-members), none of whom is in the reference data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from models.evaluation.metrics import (
    Estimate,
    patient_numbers,
    patient_weights,
    percentile_interval,
    weighted_auc,
)
from models.privacy.neighbours import nearest, nearest_distance

FALSE_POSITIVE_RATES: Final = (0.001, 0.01, 0.1)
NEIGHBOURS: Final = 5
PARTS: Final = 8
"""Disjoint parts of the reference data, each of which stands for a release without the suspect."""
TINY: Final = 1e-9


@dataclass(frozen=True)
class Suspects:
    """Recordings under attack in one space.

    Attributes:
        points: (n, d).
        member: (n,) bool.
        patients: (n,) patient of each.
    """

    points: np.ndarray
    member: np.ndarray
    patients: np.ndarray

    @cached_property
    def by_patient(self) -> tuple[np.ndarray, np.ndarray]:
        """Order that sorts recordings by patient, those who come first first, and where each patient begins in it."""
        number = patient_numbers(self.patients)
        order = np.argsort(number, kind="stable")
        return order, np.flatnonzero(np.diff(number[order], prepend=-1))


class Calibration:
    """What distances to ordinary ECGs each suspect has, from reference data.

    Args:
        points: (n, d) suspects.
        reference: (m, d) ECGs of people who are neither members nor suspects.
        seed: of the parts.
    """

    def __init__(self, points: np.ndarray, reference: np.ndarray, seed: int) -> None:
        self.to_neighbours = np.log(nearest(points, reference, NEIGHBOURS)[0][:, -1] + TINY)
        parts = np.array_split(np.random.default_rng(seed).permutation(len(reference)), min(PARTS, len(reference)))
        log_distances = np.log(np.stack([nearest_distance(points, reference[part]) for part in parts]) + TINY)
        self.mean = log_distances.mean(axis=0)
        spread = log_distances.std(axis=0)
        # Few parts say little about one suspect's spread; half of it is that of all suspects.
        self.spread = 0.5 * (spread + spread.mean()) + TINY

    def density_ratio(self, to_released: np.ndarray) -> np.ndarray:
        """DOMIAS: log p_released − log p_reference up to a factor (van Breugel et al., AISTATS 2023, eq. 2).

        Densities are nearest-neighbour estimates, p ∝ 1 / distance^d.
        """
        return self.to_neighbours - np.log(to_released + TINY)

    def likelihood_ratio(self, to_released: np.ndarray) -> np.ndarray:
        """Offline LiRA (Carlini et al., IEEE S&P 2022, eq. 4) of the log distance, normal for releases without them."""
        return (self.mean - np.log(to_released + TINY)) / self.spread

    def scores(self, to_released: np.ndarray) -> dict[str, np.ndarray]:
        """Score of each attack, higher for suspected members, from distances (n,) to the nearest released ECG."""
        return {
            "density ratio": self.density_ratio(to_released),
            "calibrated distance": self.likelihood_ratio(to_released),
        }


def of_patients(scores: np.ndarray, suspects: Suspects) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, membership and name of each patient, who is as suspicious as the most suspicious of their recordings."""
    order, starts = suspects.by_patient
    highest = np.maximum.reduceat(scores[order], starts)
    return highest, suspects.member[order][starts], suspects.patients[order][starts]


@dataclass(frozen=True)
class Success:
    """How well scores tell members from non-members, for each of many weightings of them.

    Attributes:
        auc: (weightings,) area under the ROC curve.
        found: false positive rate to (weightings,) share of members found at it.
    """

    auc: np.ndarray
    found: dict[float, np.ndarray]


def success(scores: np.ndarray, member: np.ndarray, weights: np.ndarray | None = None) -> Success:
    """AUC and the share of members found at `FALSE_POSITIVE_RATES`.

    Args:
        scores: (n,).
        member: (n,) bool; both kinds are there.
        weights: (weightings, n); None for one in which everyone counts once.
    """
    weights = np.ones((1, len(scores))) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    ranked, of_member = scores[order], member[order]
    positive, negative = weights[:, order] * of_member, weights[:, order] * ~of_member
    true, false = positive.cumsum(axis=1), negative.cumsum(axis=1)
    # Equal scores are passed together.
    last = np.flatnonzero(np.diff(ranked, append=np.nan) != 0)
    true, false = true[:, last], false[:, last]
    all_true, all_false = (np.maximum(each[:, -1:], TINY) for each in (true, false))
    found = {}
    for rate in FALSE_POSITIVE_RATES:
        passed = (false <= rate * all_false + TINY).sum(axis=1)
        with_none = np.concatenate([np.zeros((len(true), 1)), true / all_true], axis=1)
        found[rate] = np.take_along_axis(with_none, passed[:, None], axis=1)[:, 0]
    return Success(weighted_auc(member, scores, weights), found)


def judged(
    scores: np.ndarray, member: np.ndarray, patients: np.ndarray, samples: int, seed: int
) -> tuple[Estimate, dict[float, Estimate]]:
    """AUC and shares found, each with its interval over patients; thresholds are found anew in each resample."""
    weights = np.vstack([np.ones(len(scores)), patient_weights(patients, samples, seed)])
    found = success(scores, member, weights)
    return (
        percentile_interval(found.auc[0], found.auc[1:]),
        {rate: percentile_interval(each[0], each[1:]) for rate, each in found.found.items()},
    )


def most_at_risk(scores: Sequence[np.ndarray], members: np.ndarray, count: int) -> np.ndarray:
    """Indices of the members whose mean rank over several attacks is highest, the first being most at risk.

    Args:
        scores: of each attack, (n,).
        members: (n,) bool.
    """
    ranks = np.mean([each.argsort().argsort() for each in scores], axis=0)
    suspects = np.flatnonzero(members)
    return suspects[np.argsort(-ranks[suspects], kind="stable")[:count]]
