"""Rows of the `evaluations` table about fidelity: how synthetic ECGs are distributed beside real ones.

Every set is compared with held-out recordings: the cohort, training recordings through the autoencoder
("reconstruction"), which is what a perfect denoiser would come to, and real training recordings of patients that the
reference classifier did not see. None of them shares a patient with the held-out recordings. Two spaces are looked at:
the classifier's features, and what is measured on an ECG.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from models.evaluation import fidelity, metrics
from models.evaluation.measurement_space import MeasurementSpace
from models.evaluation.memorisation import memorisation
from models.evaluation.metrics import Estimate
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import REAL, Compared
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row

DRAWS = 20
"""Times that fidelity is measured on random subsets."""
DRAWN_SHARE = 0.8
"""Subset size relative to the smallest set, so that every set varies between draws."""
LARGEST_SUBSET = 2000
FEWEST_IN_CONDITION = 40
"""Rows of a statement that every set needs for its own distance: ten dimensions, at four rows each."""
FID, MEASURED = "FID", "Fréchet distance of measurements"
MEASUREMENTS = ("pr_ms", "qrs_ms", "qtc_ms", "heart_rate_bpm", "rr_irregularity")
AMPLITUDES = ("st_level_mv", "t_amplitude_mv", "r_amplitude_mv")


def fidelity_rows(compared: Compared) -> Iterator[EvaluationRow]:
    """FID, KID, precision, recall, density, coverage, distances of measurements, and data copying."""
    features = {subject: compared.features_of(subject) for subject in compared.subjects}
    held_out, training = compared.features["held_out"], compared.features["train"]
    yield from _distance_rows(compared, FID, features, held_out, training, overlap=True)
    measured = measurements(compared.train)
    space = MeasurementSpace.fit(measured) if len(measured) else None
    if space is None:
        return
    points = {subject: space.points(measurements(ecgs)) for subject, ecgs in compared.subjects.items()}
    of_held_out, of_training = space.points(measurements(compared.held_out)), space.points(measured)
    yield from _distance_rows(compared, MEASURED, points, of_held_out, of_training)
    for code in common_statements(compared.synthetic, FEWEST_IN_CONDITION):
        chosen = {subject: points[subject][with_statement(ecgs, code)] for subject, ecgs in compared.subjects.items()}
        of_real = of_held_out[with_statement(compared.held_out, code)]
        yield from _distance_rows(compared, MEASURED, chosen, of_real, of_training, code)
    yield from _memorisation_rows(compared)


def measurements(ecgs: EcgSet) -> np.ndarray:
    """(n, measurements) float64, NaN where missing; the axis, an angle, as its cosine and sine."""
    axis = np.deg2rad(ecgs.number("axis_deg"))
    scalars = [ecgs.number(name) for name in MEASUREMENTS]
    leads = [
        np.array([row or [None] * 12 for row in ecgs.table.column(name).to_pylist()], float) for name in AMPLITUDES
    ]
    return np.column_stack([*scalars, np.cos(axis), np.sin(axis), *(each.reshape(-1, 12) for each in leads)])


def with_statement(ecgs: EcgSet, code: str) -> np.ndarray:
    """(n,) bool: ECGs that have a statement."""
    return np.array([code in held for held in ecgs.statements], dtype=bool)


def common_statements(ecgs: EcgSet, fewest: int) -> list[str]:
    """Statements of at least so many ECGs, most frequent first."""
    codes, counts = np.unique([code for held in ecgs.statements for code in held], return_counts=True)
    found = [(int(count), str(code)) for code, count in zip(codes, counts, strict=True) if count >= fewest]
    return [code for _, code in sorted(found, key=lambda one: (-one[0], one[1]))]


def _distance_rows(
    compared: Compared,
    name: str,
    points: Mapping[str, np.ndarray],
    held_out: np.ndarray,
    training: np.ndarray,
    condition: str | None = None,
    overlap: bool = False,
) -> Iterator[EvaluationRow]:
    """Fréchet distances of every subject, the two floors beside them, and their ratio.

    Args:
        points: subject to (n, dimensions).
        held_out, training: (n, dimensions); principal components are those of training.
        condition: statement that all have.
        overlap: also the kernel distance, precision, recall, density, coverage and effective dimensions.
    """
    seed = compared.seed
    smallest = min(len(each) for each in (*points.values(), held_out))
    n, ratio = min(int(DRAWN_SHARE * smallest), LARGEST_SUBSET), f"{name}, floor-corrected, generated / real"
    if n < (2 if condition is None else DRAWN_SHARE * FEWEST_IN_CONDITION):
        few = f"fewer than {FEWEST_IN_CONDITION} real recordings" if condition else None
        size = len(points["synthetic"])
        yield evaluation_row("fidelity", name, "synthetic", metrics.UNKNOWN, size, seed, condition=condition, flag=few)
        return
    space = fidelity.fit_principal_components(training, n)
    real = space.transform(held_out)
    drawn = {subject: _drawn(real, space.transform(each), n, seed, overlap) for subject, each in points.items()}
    for metric in drawn["synthetic"]:
        label = name if metric == "Fréchet" else metric
        for subject, values in drawn.items():
            reference = None if subject == REAL else float(drawn[REAL][metric].mean())
            found = _estimate(values[metric])
            yield evaluation_row("fidelity", label, subject, found, n, seed, reference=reference, condition=condition)
    floor = fidelity.gaussian_floor(real, n, DRAWS, seed)
    yield evaluation_row("fidelity", name, "two Gaussian samples", _estimate(floor), n, seed, condition=condition)
    for subject, values in drawn.items():
        if subject != REAL:
            found, flag = fidelity.floor_corrected_ratio(values["Fréchet"], drawn[REAL]["Fréchet"], floor)
            yield evaluation_row(
                "fidelity", ratio, subject, found, n, seed, reference=1.0, condition=condition, flag=flag
            )
    if overlap:
        for subject, each in {**points, "held-out recordings": held_out}.items():
            dimension = fidelity.participation_ratio(each)
            only = Estimate(dimension, float("nan"), float("nan"))
            yield evaluation_row("fidelity", "effective dimension", subject, only, len(each), seed)


def _drawn(real: np.ndarray, other: np.ndarray, n: int, seed: int, overlap: bool) -> dict[str, np.ndarray]:
    """Each measure on random subsets of size n: name to (draws,)."""
    found: list[dict[str, float]] = []
    for one, two in fidelity.drawn_pairs((len(real), len(other)), n, DRAWS, seed):
        values = {"Fréchet": fidelity.frechet_distance(real[one], other[two])}
        if overlap:
            values |= {"KID": fidelity.kernel_distance(real[one], other[two])}
            values |= fidelity.manifold_overlap(real[one], other[two])
        found.append(values)
    return {metric: np.array([each[metric] for each in found]) for metric in found[0]}


def _estimate(values: np.ndarray) -> Estimate:
    """Mean and 2.5-97.5 % range over draws."""
    return metrics.percentile_interval(float(values.mean()), values)


def _memorisation_rows(compared: Compared) -> Iterator[EvaluationRow]:
    """Whether the cohort lies nearer to training recordings than held-out recordings do, in classifier features."""
    training, held_out = compared.features["train"], compared.features["held_out"]
    n, seed, synthetic = len(compared.synthetic), compared.seed, compared.features["synthetic"]
    space = fidelity.fit_principal_components(training, len(training)) if len(training) else None
    if space is None:
        return
    patients = np.concatenate([compared.held_out.patients, compared.synthetic.patients])
    points = [space.transform(each) for each in (synthetic, held_out, training)]
    found = memorisation(points[0], points[1], points[2], patients, compared.samples, seed)
    statistic = Estimate(found.statistic, float("nan"), float("nan"))
    for metric, estimate, reference in (
        ("data-copying statistic C_T", statistic, 0.0),
        ("nearer to training than held-out recordings are", found.closer, 0.5),
        ("nearer to training than the nearest 1 % held out", found.near, 0.01),
    ):
        yield evaluation_row("fidelity", metric, "synthetic", estimate, n, seed, reference=reference)
