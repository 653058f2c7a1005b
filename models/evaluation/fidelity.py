"""Whether synthetic ECGs are distributed like real ones: distances between feature distributions, and a discriminator.

Features come from a classifier trained on real training data only, reduced to the principal components of the real
training set: a few hundred recordings cannot estimate the covariance of a hundred features (science notes on FID).
"""

from __future__ import annotations

import contextlib
import io
import itertools

import numpy as np
from scipy.linalg import eigh
from scipy.stats import wasserstein_distance
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

NEIGHBOURS = 5
"""k of precision, recall, density and coverage."""
LARGEST_DIMENSIONS = 64
RECORDINGS_PER_DIMENSION = 4
SPECTRAL_EDGES_HZ = (0.5, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 35, 40, 45, 50)
FEWEST_FOR_DISTANCE = 10
"""A distance between two one-dimensional distributions needs this many values in each."""


def fit_principal_components(training: np.ndarray, recordings: int) -> PCA:
    """Principal components of real training features; as many as `recordings` can support, at most 64.

    Args:
        training: (n, features).
        recordings: size of the smallest set that will be compared.
    """
    dimensions = min(LARGEST_DIMENSIONS, max(2, recordings // RECORDINGS_PER_DIMENSION), *training.shape)
    return PCA(dimensions, svd_solver="full").fit(training)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """FID: ‖μ1 − μ2‖² + tr(Σ1 + Σ2 − 2(Σ1Σ2)^½) (Heusel et al., NeurIPS 2017).

    tr (Σ1Σ2)^½ is the sum of the square roots of the eigenvalues of the symmetric Σ1^½ Σ2 Σ1^½, which stays real and
    stable where a general matrix square root of a near-singular product does not.

    Args:
        first, second: (n, dimensions), at least two rows each.
    """
    if min(len(first), len(second)) < 2:
        return float("nan")
    mean = first.mean(axis=0, dtype=np.float64) - second.mean(axis=0, dtype=np.float64)
    one, two = (np.atleast_2d(np.cov(each.astype(np.float64), rowvar=False)) for each in (first, second))
    values, vectors = eigh(one)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(eigh(root @ two @ root, eigvals_only=True), 0, None)).sum()
    return max(0.0, float(mean @ mean + np.trace(one) + np.trace(two) - 2 * cross))


def kernel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """KID: unbiased squared MMD with the kernel (xᵀy/d + 1)³ (Bińkowski et al., ICLR 2018, eq. 3); may be below 0.

    Args:
        first, second: (n, dimensions), at least two rows each.
    """
    if min(len(first), len(second)) < 2:
        return float("nan")
    kernel = lambda a, b: (a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1) ** 3  # noqa: E731
    m, n = len(first), len(second)
    within_first, within_second = kernel(first, first), kernel(second, second)
    return float(
        (within_first.sum() - np.trace(within_first)) / (m * (m - 1))
        + (within_second.sum() - np.trace(within_second)) / (n * (n - 1))
        - 2 * kernel(first, second).mean()
    )


def manifold_overlap(real: np.ndarray, synthetic: np.ndarray) -> dict[str, float]:
    """Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020) by the library `prdc`.

    Args:
        real, synthetic: (n, dimensions).

    Returns:
        Four numbers; NaN where a set holds no more than `NEIGHBOURS` rows.
    """
    if min(len(real), len(synthetic)) <= NEIGHBOURS:
        return dict.fromkeys(("precision", "recall", "density", "coverage"), float("nan"))
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):  # the library prints its sample sizes
        found = compute_prdc(real, synthetic, NEIGHBOURS)
    return {name: float(value) for name, value in found.items()}


def spectral_descriptors(signal: np.ndarray, rate_hz: int) -> np.ndarray:
    """Log power per lead and frequency band, and log amplitude per lead: what a discriminator sees first.

    Args:
        signal: (n, 8, samples), mV.

    Returns:
        (n, 8 × (bands + 2)) float64.
    """
    centred = signal - signal.mean(axis=2, keepdims=True)
    power = np.abs(np.fft.rfft(centred, axis=2)) ** 2
    frequency = np.fft.rfftfreq(signal.shape[2], 1 / rate_hz)
    edges = [edge for edge in SPECTRAL_EDGES_HZ if edge <= rate_hz / 2]
    bands = [
        power[:, :, (frequency >= low) & (frequency < high)].mean(axis=2) for low, high in itertools.pairwise(edges)
    ]
    spread = [centred.std(axis=2), np.abs(np.diff(signal, axis=2)).mean(axis=2)]
    return np.log(np.concatenate([*bands, *spread], axis=1).astype(np.float64) + 1e-8)


def discriminator_scores(real: np.ndarray, synthetic: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Out-of-fold probability of being synthetic, by logistic regression; five folds, patients never shared.

    A classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017): an AUC of 0.5 means it cannot tell.

    Args:
        real, synthetic: (n, descriptors); missing values are replaced by the median and marked.
        groups: (real + synthetic,) patient of each row.

    Returns:
        (real + synthetic,) scores; NaN where there are too few rows for five folds.
    """
    rows = np.concatenate([real, synthetic]).astype(np.float64)
    target = np.repeat([0, 1], [len(real), len(synthetic)])
    scores = np.full(len(rows), np.nan)
    if min(len(real), len(synthetic)) < 10:
        return scores
    missing = ~np.isfinite(rows)
    rows = np.concatenate([np.where(missing, np.nan, rows), missing[:, missing.any(axis=0)]], axis=1)
    for train, test in StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(rows, target, groups):
        with np.errstate(all="ignore"):
            fill = np.nan_to_num(np.nanmedian(rows[train], axis=0))
        filled = np.where(np.isnan(rows), fill, rows)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        scores[test] = model.fit(filled[train], target[train]).predict_proba(filled[test])[:, 1]
    return scores


def distribution_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Wasserstein-1 distance between two samples of a number, in its unit; NaN for fewer than ten values in either."""
    first, second = first[np.isfinite(first)], second[np.isfinite(second)]
    if min(len(first), len(second)) < FEWEST_FOR_DISTANCE:
        return float("nan")
    return float(wasserstein_distance(first, second))
