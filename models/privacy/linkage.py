"""Whose beat is it? Verification of people, the beat gate, and linkage of synthetic ECGs to patients.

All of it happens in a space in which beats of one person lie close together (`models.privacy.beat_encoder`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.evaluation.metrics import Estimate, wilson
from models.privacy.neighbours import nearest

RADIUS_QUANTILE: Final = 0.001
"""Of held-out people's distances: nearer than that to a training beat is nearer than other people come."""
LINK_QUANTILE: Final = 0.01
"""Of held-out people's margins: an ECG with a smaller one is linked. Mixed beats lie too far off for the radius."""
FEWEST_OF_CLASS: Final = 20
NEAREST: Final = 12
"""Neighbours among which a second patient is looked for; who has more recordings is their own second."""


@dataclass(frozen=True)
class Verification:
    """How well a space recognises people on real recordings: of each recording with another one of its patient.

    Attributes:
        rank_one: share whose nearest recording of all is of the same patient.
        equal_error: rate at which as many pairs of one patient are missed as pairs of two are accepted.
        pairs: pairs of one patient.
        recordings: of all, those with another one of their patient.
        gallery: recordings that are searched.
    """

    rank_one: Estimate
    equal_error: float
    pairs: int
    recordings: int
    gallery: int


def verified(points: np.ndarray, patients: np.ndarray) -> Verification | None:
    """Recognise real people; None where no patient has two recordings.

    Args:
        points: (n, d) recordings.
        patients: (n,).
    """
    _, number = np.unique(patients, return_inverse=True)
    rows = np.flatnonzero(np.bincount(number)[number] > 1)
    if len(rows) == 0:
        return None
    distances = np.linalg.norm(points[rows, None] - points[None], axis=2) if len(points) < 300 else _all(points, rows)
    distances[np.arange(len(rows)), rows] = np.inf
    same = number[rows, None] == number[None]
    same[np.arange(len(rows)), rows] = False
    hits = number[distances.argmin(axis=1)] == number[rows]
    other = np.sort(distances[~same & np.isfinite(distances)])
    own = np.sort(distances[same])
    missed = 1 - np.arange(1, len(own) + 1) / len(own)
    accepted = np.searchsorted(other, own, side="right") / len(other)
    at = np.abs(missed - accepted).argmin()
    error = float((missed[at] + accepted[at]) / 2)
    return Verification(wilson(int(hits.sum()), len(hits)), error, int(same.sum()) // 2, len(rows), len(points))


def _all(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Distances (rows, n) by the expanded form."""
    squared = (points**2).sum(axis=1)
    return np.sqrt(np.maximum(squared[rows, None] + squared - 2 * points[rows] @ points.T, 0))


@dataclass(frozen=True)
class BeatGate:
    """Which beats lie nearer to a training beat than other people's do.

    Attributes:
        usual: class to the median distance of held-out people of it; "" is everyone.
        radius: distance over the usual one below which a beat counts as a training patient's.
        margin: ratio of the distances to the nearest and to the second nearest patient below which an ECG is linked.
    """

    usual: dict[str, float]
    radius: float
    margin: float

    @classmethod
    def fitted(cls, held_out: Nearest, classes: list[str]) -> BeatGate:
        """From held-out recordings and the class of each.

        A class with fewer than `FEWEST_OF_CLASS` held-out recordings is measured by everyone's usual distance.
        """
        named = np.array(classes)
        usual = {"": float(np.median(held_out.distance))}
        for name in sorted(set(classes)):
            if (named == name).sum() >= FEWEST_OF_CLASS:
                usual[name] = float(np.median(held_out.distance[named == name]))
        relative = held_out.distance / _usual(usual, classes)
        radius = low_quantile(relative, RADIUS_QUANTILE)
        return cls(usual, radius, float(np.quantile(held_out.margin, LINK_QUANTILE, method="lower")))

    def inside(self, found: Nearest, classes: list[str]) -> np.ndarray:
        """(n,) bool: which beats lie within the radius of a training beat."""
        return found.distance / _usual(self.usual, classes) < self.radius

    def linked(self, found: Nearest) -> np.ndarray:
        """(n,) bool: which ECGs are linked to one patient of the training set."""
        return found.margin < self.margin


def low_quantile(values: np.ndarray, share: float) -> float:
    """The value that a small share of others lies below.

    Where there are too few values for an order statistic, it is extrapolated from their smallest tenth, whose
    distribution is taken for a power of the distance (Weissman, JASA 73:812-815, 1978, with Hill's estimate of the
    exponent), and is at most their smallest one.
    """
    if len(values) * share >= 1:
        return float(np.quantile(values, share, method="lower"))
    lowest = np.maximum(np.sort(values)[: max(len(values) // 10, min(10, len(values)))], 1e-9)
    spread = float(np.log(lowest[-1] / lowest).sum() / max(len(lowest) - 1, 1))
    return float(min(lowest[0], lowest[-1] * (share * len(values) / len(lowest)) ** spread))


def _usual(usual: dict[str, float], classes: list[str]) -> np.ndarray:
    return np.maximum([usual.get(name, usual[""]) for name in classes], 1e-9)


@dataclass(frozen=True)
class Nearest:
    """The nearest training patient of each query.

    Attributes:
        distance: (n,) to the nearest recording.
        margin: (n,) that distance over the distance to the nearest recording of another patient.
        row: (n,) index of the nearest recording.
    """

    distance: np.ndarray
    margin: np.ndarray
    row: np.ndarray


def nearest_patient(queries: np.ndarray, training: np.ndarray, patients: np.ndarray) -> Nearest:
    """Search training recordings (m, d) of patients (m,) for queries (n, d)."""
    distances, rows = nearest(queries, training, NEAREST)
    other = patients[rows] != patients[rows[:, :1]]
    second = np.where(other.any(axis=1), other.argmax(axis=1), rows.shape[1] - 1)
    beyond = distances[np.arange(len(rows)), second]
    return Nearest(distances[:, 0], distances[:, 0] / np.maximum(beyond, 1e-9), rows[:, 0])
