"""Whether synthetic ECGs are distributed like real ones: distances between feature distributions.

Features come from a classifier trained on real training data only, or are measurements, reduced to the principal
components of the real training set: a few hundred recordings cannot estimate the covariance of a hundred features.
Fréchet distances between samples are biased upwards by an amount that depends on the covariance and on n. They are
therefore read beside two floors: disjoint sets of real recordings, and two samples of one Gaussian.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
from scipy.linalg import eigh
from sklearn.decomposition import PCA

from models.evaluation.metrics import UNKNOWN, Estimate

NEIGHBOURS = 5
"""k of precision, recall, density and coverage."""
LARGEST_DIMENSIONS = 64
RECORDINGS_PER_DIMENSION = 4


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


def participation_ratio(features: np.ndarray) -> float:
    """Effective dimension (tr Σ)² / tr Σ² of a set: d where d directions vary alike, 1 on a line.

    Participation ratio of the eigenvalues of the covariance Σ (Gao et al., bioRxiv 214262, 2017). NaN for one row, or
    where nothing varies.

    Args:
        features: (n, dimensions).
    """
    if len(features) < 2:
        return float("nan")
    covariance = np.atleast_2d(np.cov(features.astype(np.float64), rowvar=False))
    squares = float((covariance**2).sum())
    return float(np.trace(covariance)) ** 2 / squares if squares > 0 else float("nan")


def gaussian_floor(real: np.ndarray, n: int, draws: int, seed: int) -> np.ndarray:
    """FID between two samples of n rows of one Gaussian that has the covariance of `real`: what finite samples cost.

    The expected value of FID falls with n and is above 0 for equal distributions (Chong and Forsyth, "Effectively
    unbiased FID", CVPR 2020). FID does not change under rotation, so the samples are drawn along the eigenvectors.

    Args:
        real: (rows, dimensions), at least two rows.
        n: rows of each sample, at least two.

    Returns:
        (draws,) distances.
    """
    variances = eigh(np.atleast_2d(np.cov(real.astype(np.float64), rowvar=False)), eigvals_only=True)
    scale, rng = np.sqrt(np.clip(variances, 0, None)), np.random.default_rng(seed)
    return np.array([frechet_distance(*(scale * rng.standard_normal((2, n, len(scale))))) for _ in range(draws)])


def floor_corrected_ratio(
    generated: np.ndarray, disjoint: np.ndarray, floor: np.ndarray
) -> tuple[Estimate, str | None]:
    """(generated − floor) / (disjoint − floor): 1 where generated sets are as far from real ones as these from others.

    The value is the ratio of means, the interval the 2.5 to 97.5 % range of the draws' own ratios. A draw in which
    disjoint real sets are no farther apart than the floor counts as infinite, so the interval may have no upper end;
    where this is so on average, there is no ratio.

    Args:
        generated, disjoint: (draws,) distances of generated and of other real sets from the same real sets.
        floor: (floor draws,) distances of two samples of one Gaussian, at the same n; their mean is taken off. They
            are independent, so they also say how far distances of finite samples scatter, which subsets of the same
            recordings do not: a denominator within two of their standard deviations is flagged.

    Returns:
        The ratio, and a flag that says what is uncertain or missing; None where nothing is.
    """
    above, between = generated - floor.mean(), disjoint - floor.mean()
    if not np.isfinite(between.mean()) or between.mean() <= 0:
        return UNKNOWN, "disjoint real sets are no farther apart than two Gaussian samples"
    ratios = np.full(len(above), np.inf)
    np.divide(above, between, out=ratios, where=between > 0)
    value = float(above.mean() / between.mean())
    low = float(np.percentile(ratios, 2.5, method="lower"))
    high = float(np.percentile(ratios, 97.5, method="higher"))
    if not np.isfinite(high):
        at_floor = f"{int((between <= 0).sum())} of {len(between)}"
        return Estimate(value, low, float("nan")), f"no upper end: in {at_floor} draws real sets are at the floor"
    near = between.mean() < 2 * floor.std()
    return Estimate(value, low, high), "disjoint real sets are within the scatter of the floor" if near else None


def drawn_pairs(sizes: tuple[int, int], n: int, draws: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers of random subsets of n rows of two sets, without replacement.

    With replacement, as a bootstrap draws, repeats would shrink covariances and bias distances upwards. Subsets of the
    first set do not depend on the second, so that several sets are compared with the same subsets of one.
    """
    drawn = [
        [rng.choice(size, n, replace=False) for _ in range(draws)]
        for size, rng in zip(sizes, np.random.default_rng(seed).spawn(2), strict=True)
    ]
    return list(zip(*drawn, strict=True))


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
