"""Data copying: whether synthetic ECGs lie nearer to training recordings than new recordings do.

Distances of fidelity fall when a generator repeats its training recordings, so this is read beside them. Meehan,
Chaudhuri and Dasgupta, "A non-parametric test to detect data-copying in generative models", AISTATS 2020.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from models.evaluation.metrics import UNKNOWN, Estimate, auc, wilson

CELLS: Final = 5
FEWEST_IN_CELL: Final = 20
"""Held-out and synthetic rows that a cell needs to be counted."""
NEAREST_SHARE: Final = 0.01
"""Share of held-out recordings that are nearest to training ones, whose distance counts as near."""


class Memorisation(NamedTuple):
    """What distances to the nearest training recording say.

    Attributes:
        statistic: C_T, the mean over cells, weighted by held-out rows, of the normal deviate of the Mann-Whitney U that
            compares synthetic with held-out distances; below -3 for copies, above 3 for ECGs unlike any recording. NaN
            where no cell has enough rows.
        closer: share of pairs in which the synthetic ECG is nearer to training than the held-out one; 0.5 for neither.
        near: share of synthetic ECGs nearer to training than the nearest 1 % of held-out recordings.
    """

    statistic: float
    closer: Estimate
    near: Estimate


def nearest_distances(rows: np.ndarray, training: np.ndarray) -> np.ndarray:
    """(n,) Euclidean distance of each row (n, dimensions) to the nearest of the training rows (m, dimensions)."""
    return NearestNeighbors(n_neighbors=1).fit(training).kneighbors(rows)[0][:, 0]


def mann_whitney_deviate(first: np.ndarray, second: np.ndarray) -> float:
    """(U − mn/2) / √(mn(m + n + 1)/12), U the pairs in which first exceeds second, ties half; no correction of ties.

    Mann and Whitney, Annals of Mathematical Statistics 18:50-60, 1947.
    """
    m, n = len(first), len(second)
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, "left") + np.searchsorted(ordered, first, "right")
    return float((below.sum() / 2 - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12))


def memorisation(
    synthetic: np.ndarray,
    held_out: np.ndarray,
    training: np.ndarray,
    patients: np.ndarray,
    samples: int,
    seed: int,
) -> Memorisation:
    """Compare synthetic with held-out rows by their distance to training rows.

    Args:
        synthetic, held_out, training: (n, dimensions) in one space.
        patients: (held_out + synthetic,) patient of each row.
    """
    if min(len(synthetic), len(held_out)) < FEWEST_IN_CELL or len(training) < CELLS:
        return Memorisation(float("nan"), UNKNOWN, UNKNOWN)
    cells = KMeans(CELLS, n_init=1, random_state=seed).fit(training)
    of_held_out, of_synthetic = (nearest_distances(each, training) for each in (held_out, synthetic))
    in_held_out, in_synthetic = (cells.predict(each) for each in (held_out, synthetic))
    deviates, weights = [], []
    for cell in range(CELLS):
        ours, theirs = of_synthetic[in_synthetic == cell], of_held_out[in_held_out == cell]
        if min(len(ours), len(theirs)) >= FEWEST_IN_CELL:
            deviates.append(mann_whitney_deviate(ours, theirs))
            weights.append(len(theirs))
    statistic = float(np.average(deviates, weights=weights)) if deviates else float("nan")
    is_synthetic = np.repeat([False, True], [len(held_out), len(synthetic)])
    closer = auc(is_synthetic, -np.concatenate([of_held_out, of_synthetic]), patients, samples, seed)
    limit = np.quantile(of_held_out, NEAREST_SHARE)
    return Memorisation(statistic, closer, wilson(int((of_synthetic < limit).sum()), len(of_synthetic)))
