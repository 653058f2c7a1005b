"""Can an adversary who holds the released ECGs tell who was in the training set?

Both attacks see released data only. They are judged on training recordings (members) against recordings of other
patients (non-members). Distance to the closest record and its ratio are alarms, not proof: sets that pass them still
leak membership (Yao et al., arXiv 2505.01524).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from models.evaluation.metrics import Estimate, patient_weights, percentile_interval, weighted_auc, wilson

BEFORE_R_S, AFTER_R_S = 0.25, 0.45
"""Window of the mean beat around the R peak; it holds P, QRS and T at ordinary rates."""
RHYTHM_WEIGHT = 0.5
"""Spread of each rhythm number relative to the first principal component of the mean beats."""
DIMENSIONS = 12
FALSE_POSITIVE_RATE = 0.01


def mean_beats(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean beat and rhythm of recordings.

    Args:
        signal: (n, 8, samples), mV.
        r_peaks: positions in samples per recording, from `models.ecg.r_peaks.locate_r_peaks`.

    Returns:
        Mean beats (n, 8, beat samples) in mV without their own mean, and rhythm (n, 2): log RR in seconds and RR spread
        over RR. A recording without a whole beat is represented by its first window and the rhythm (0, 0).
    """
    before, after = round(BEFORE_R_S * rate_hz), round(AFTER_R_S * rate_hz)
    window = np.arange(-before, after)
    beats = np.empty((len(signal), signal.shape[1], len(window)), np.float32)
    rhythm = np.zeros((len(signal), 2))
    for row, located in enumerate(r_peaks):
        peaks = np.rint(located).astype(np.int64)
        whole = peaks[(peaks >= before) & (peaks + after <= signal.shape[2])]
        centres = whole if len(whole) else np.array([before])
        beats[row] = signal[row][:, centres[:, None] + window].mean(axis=1)
        if len(peaks) > 2:
            rr = np.diff(peaks) / rate_hz
            rhythm[row] = np.log(np.median(rr)), rr.std() / rr.mean()
    return beats - beats.mean(axis=2, keepdims=True), rhythm


def representation(
    sets: Sequence[tuple[np.ndarray, Sequence[np.ndarray]]], fitted_on: list[int], rate_hz: int
) -> list[np.ndarray]:
    """Where recordings lie in a space in which near means alike: principal components of mean beats, and rhythm.

    Args:
        sets: of recordings, each the signal (n, 8, samples) in mV and the R peaks in samples.
        fitted_on: which of the sets an adversary could fit the space on (the released one and reference data).

    Returns:
        One (n, dimensions) array per set.
    """
    found = [mean_beats(signal, r_peaks, rate_hz) for signal, r_peaks in sets]
    known = np.concatenate([found[one][0].reshape(len(found[one][0]), -1) for one in fitted_on])
    components = PCA(min(DIMENSIONS, *known.shape), svd_solver="full").fit(known)
    scale = float(np.sqrt(components.explained_variance_[0])) or 1.0
    rhythm = StandardScaler().fit(np.concatenate([found[one][1] for one in fitted_on]))
    return [
        np.concatenate(
            [components.transform(beats.reshape(len(beats), -1)) / scale, RHYTHM_WEIGHT * rhythm.transform(pace)],
            axis=1,
        )
        for beats, pace in found
    ]


def neighbour_distances(queries: np.ndarray, pool: np.ndarray, neighbours: int) -> np.ndarray:
    """Distances (n, neighbours) from each query to its nearest rows of a pool, ascending; at most the pool's size."""
    count = min(neighbours, len(pool))
    return NearestNeighbors(n_neighbors=count).fit(pool).kneighbors(queries)[0]


def nearest_distance(queries: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """DCR: distance to the closest record of a pool, (n,)."""
    return neighbour_distances(queries, pool, 1)[:, 0]


def nearest_ratio(queries: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """NNDR: distance to the nearest over that to the second nearest record of a pool, (n,); near 0 for a copy."""
    distances = neighbour_distances(queries, pool, 2)
    return distances[:, 0] / np.maximum(distances[:, -1], 1e-12)


def distance_score(queries: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Distance attack: minus the distance to the nearest synthetic ECG (GAN-Leaks, Chen et al., CCS 2020)."""
    return -nearest_distance(queries, synthetic)


def density_ratio_score(
    queries: np.ndarray, synthetic: np.ndarray, reference: np.ndarray, neighbours: int = 5
) -> np.ndarray:
    """DOMIAS: log p_synthetic(x) − log p_reference(x) (van Breugel et al., AISTATS 2023, eq. 2).

    Densities are k-nearest-neighbour estimates, p ∝ 1 / distance_k^d; constants cancel in a ranking. A record that the
    generator memorised is dense in synthetic ECGs while the population around it is not.

    Args:
        queries, synthetic, reference: (n, d); the reference holds neither members nor the queried non-members.
    """
    usable = max(1, min(neighbours, len(synthetic), len(reference)))
    to_reference = neighbour_distances(queries, reference, usable)[:, -1]
    # The nearest synthetic ECG alone: a single memorised copy must be enough to be found.
    to_synthetic = nearest_distance(queries, synthetic)
    return queries.shape[1] * (np.log(to_reference + 1e-9) - np.log(to_synthetic + 1e-9))


@dataclass(frozen=True)
class Attack:
    """How well an attack tells members from non-members; 0.5 and 0.01 are chance.

    Attributes:
        auc: area under the ROC curve, interval over patients.
        true_positive_rate: share of members found at 1 % false positives, Wilson interval.
        members, non_members: recordings attacked.
    """

    auc: Estimate
    true_positive_rate: Estimate
    members: int
    non_members: int


@dataclass(frozen=True)
class Suspects:
    """Recordings under attack: scores (n,), whether each is a member (n,), and its patient (n,)."""

    scores: np.ndarray
    member: np.ndarray
    patients: np.ndarray


def judge(rounds: list[Suspects], samples: int, seed: int) -> Attack:
    """Success of an attack, averaged over rounds that had different reference data.

    Args:
        rounds: scores are compared within a round only; rounds share their members, their non-members are disjoint.
        samples: bootstrap resamples.
    """
    everyone = np.concatenate([one.patients for one in rounds])
    weights = np.vstack([np.ones(len(everyone)), patient_weights(everyone, samples, seed)])
    areas, found, first = [], [], 0
    for one in rounds:
        columns = weights[:, first : first + len(one.scores)]
        areas.append(weighted_auc(one.member, one.scores, columns))
        bound = np.quantile(one.scores[~one.member], 1 - FALSE_POSITIVE_RATE, method="higher")
        found.append(one.scores[one.member] > bound)
        first += len(one.scores)
    mean = np.mean(areas, axis=0)
    members = len(found[0])
    return Attack(
        auc=percentile_interval(mean[0], mean[1:]),
        true_positive_rate=wilson(round(float(np.mean([hits.sum() for hits in found]))), members),
        members=members,
        non_members=sum(int((~one.member).sum()) for one in rounds),
    )
