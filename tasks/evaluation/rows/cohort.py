"""Rows of the `evaluations` table: fidelity, physics, condition and downstream use, each beside its real value.

Real means held out: validation and test recordings, whose patients neither generator nor reference classifier has seen.
The real-vs-real value is that of training recordings against held-out ones, at the same n; it holds what the reference
classifier overfits on the training recordings, so it is not quite the best value that synthetic ECGs could reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from models.evaluation import fidelity, metrics
from models.evaluation.metrics import Estimate
from models.leads import einthoven_residual, to_twelve_leads
from models.superclasses import SUPERCLASSES
from tasks.ecg_sets import EcgSet
from tasks.settings import EvaluationSettings

DRAWS = 20
"""Times that fidelity is measured on random subsets."""
DRAWN_SHARE = 0.8
"""Subset size relative to the smallest set, so that every set varies between draws."""
INTERVALS = ("pr_ms", "qrs_ms", "qt_ms")
IRREGULAR = 0.12
"""Standard deviation of RR over its mean from which a rhythm counts as irregular."""
FIBRILLATION = "AFIB"

Row = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """The sets to compare, with classifier features (n, features) and probabilities (n, 5) of each.

    `reconstructed` are training recordings through the autoencoder of the cohort's model; None where there is no model.
    """

    train: EcgSet
    held_out: EcgSet
    synthetic: EcgSet
    features: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    rate_hz: int
    settings: EvaluationSettings
    reconstructed: EcgSet | None = None

    @property
    def seed(self) -> int:
        """Seed of every draw."""
        return self.settings.seed

    @property
    def samples(self) -> int:
        """Bootstrap resamples."""
        return self.settings.bootstrap_samples


def row(
    aspect: str,
    metric: str,
    subject: str,
    estimate: Estimate,
    n: int | None,
    seed: int,
    unit: str = "",
    reference: float | None = None,
) -> Row:
    """One row; what cannot be computed is null."""
    known = lambda number: None if number is None or not np.isfinite(number) else float(number)  # noqa: E731
    return {
        "aspect": aspect,
        "metric": metric,
        "subject": subject,
        "value": known(estimate.value),
        "low": known(estimate.low),
        "high": known(estimate.high),
        "reference": known(reference),
        "unit": unit,
        "n": n,
        "seed": seed,
    }


def fidelity_rows(compared: Compared) -> Iterator[Row]:
    """FID, KID, precision, recall, density, coverage and discriminator AUC against held-out recordings.

    Of synthetic ECGs; of training recordings through the autoencoder ("reconstruction"), which is what a perfect
    denoiser would come to; and of the training recordings themselves. None of the three shares a patient with the
    held-out recordings; reconstructions of these themselves would seem closer than any generator can come.
    """
    sizes = [len(compared.features[name]) for name in ("train", "held_out", "synthetic")]
    n, seed = int(DRAWN_SHARE * min(sizes)), compared.seed
    if n < 2:
        return
    space = fidelity.fit_principal_components(compared.features["train"], n)
    real, synthetic = (_distances(compared, space, name, n) for name in ("train", "synthetic"))
    floor = {} if compared.reconstructed is None else _distances(compared, space, "reconstructed", n)
    for metric, found in synthetic.items():
        yield row("fidelity", metric, "synthetic", found, n, seed, reference=real[metric].value)
        if metric in floor:
            yield row("fidelity", metric, "reconstruction", floor[metric], n, seed, reference=real[metric].value)
        yield row("fidelity", metric, "real training recordings", real[metric], n, seed)
    real_auc = _discriminator(compared, compared.train).value
    for subject, other in (("synthetic", compared.synthetic), ("reconstruction", compared.reconstructed)):
        if other is not None:
            found, n = _discriminator(compared, other), 2 * min(len(compared.held_out), len(other))
            yield row("fidelity", "discriminator AUC", subject, found, n, seed, reference=real_auc)


def _distances(compared: Compared, space: PCA, name: str, n: int) -> dict[str, Estimate]:
    """Each measure as mean and 2.5-97.5 % range over random subsets of size n, drawn without replacement.

    Drawing with replacement, as a bootstrap does, would bias FID and KID upwards: repeats shrink a covariance.
    """
    rng = np.random.default_rng(compared.seed)
    real, other = space.transform(compared.features["held_out"]), space.transform(compared.features[name])
    found: list[dict[str, float]] = []
    for _ in range(DRAWS):
        one, two = (rng.choice(len(each), n, replace=False) for each in (real, other))
        first, second = real[one], other[two]
        found.append(
            {
                "FID": fidelity.frechet_distance(first, second),
                "KID": fidelity.kernel_distance(first, second),
                **fidelity.manifold_overlap(first, second, compared.settings.neighbours),
            }
        )
    values = {metric: np.array([each[metric] for each in found]) for metric in found[0]}
    return {metric: metrics.percentile_interval(float(each.mean()), each) for metric, each in values.items()}


def _discriminator(compared: Compared, other: EcgSet) -> Estimate:
    """How well spectra and measurements tell a set from held-out recordings, equally many of each."""
    rng = np.random.default_rng(compared.seed)
    n = min(len(compared.held_out), len(other))
    first, second = (each.take(rng.choice(len(each), n, replace=False)) for each in (compared.held_out, other))
    described = [
        np.concatenate([fidelity.spectral_descriptors(each.signal, compared.rate_hz), each.measurements], axis=1)
        for each in (first, second)
    ]
    patients = metrics.patient_numbers(np.concatenate([first.patients, second.patients]))
    scores = fidelity.discriminator_scores(described[0], described[1], patients, compared.seed)
    if not np.isfinite(scores).all():
        return metrics.UNKNOWN
    return metrics.auc(np.repeat([False, True], n), scores, patients, compared.samples, compared.seed)


def physics_rows(compared: Compared) -> Iterator[Row]:
    """Limb-lead identities, and interval distributions over all ECGs and per superclass."""
    synthetic, seed = compared.synthetic, compared.seed
    residual = max(
        (
            einthoven_residual(to_twelve_leads(synthetic.signal[at : at + 256].astype(np.float64)))
            for at in range(0, len(synthetic), 256)
        ),
        default=0.0,
    )
    yield row(
        "physics",
        "Einthoven residual",
        "synthetic",
        Estimate(residual, residual, residual),
        len(synthetic),
        seed,
        "mV",
        0.0,
    )
    everyone = "all"
    for interval in INTERVALS:
        name = f"{interval.removesuffix('_ms').upper()} distribution distance"
        for superclass in (everyone, *SUPERCLASSES):
            chosen = [
                each if superclass == everyone else each.take(each.labels[:, SUPERCLASSES.index(superclass)])
                for each in (compared.held_out, synthetic, compared.train)
            ]
            real, generated, training = (each.number(interval) for each in chosen)
            distance = fidelity.distribution_distance(real, generated)
            spread = _distance_interval(real, generated, compared)
            subject = "synthetic" if superclass == everyone else f"synthetic {superclass}"
            yield row(
                "physics",
                name,
                subject,
                Estimate(distance, *spread),
                int(np.isfinite(generated).sum()),
                seed,
                "ms",
                fidelity.distribution_distance(real, training),
            )


def _distance_interval(real: np.ndarray, generated: np.ndarray, compared: Compared) -> tuple[float, float]:
    rng = np.random.default_rng(compared.seed)
    real, generated = real[np.isfinite(real)], generated[np.isfinite(generated)]
    if min(len(real), len(generated)) < fidelity.FEWEST_FOR_DISTANCE:
        return float("nan"), float("nan")
    resampled = [
        fidelity.distribution_distance(rng.choice(real, len(real)), rng.choice(generated, len(generated)))
        for _ in range(compared.samples)
    ]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(low), float(high)


def condition_rows(compared: Compared) -> Iterator[Row]:
    """Whether ECGs show what was asked for: superclasses, and irregular rhythm in atrial fibrillation."""
    synthetic, seed, samples = compared.synthetic, compared.seed, compared.samples
    asked, real = synthetic.labelled, compared.held_out.labelled
    of_asked = compared.probabilities["synthetic"][synthetic.labels.any(axis=1)]
    of_real = compared.probabilities["held_out"][compared.held_out.labels.any(axis=1)]
    found = metrics.macro_auc(asked.labels, of_asked, asked.patients, samples, seed)
    reference = metrics.macro_auc(real.labels, of_real, real.patients, samples, seed).value
    yield row("condition", "asked superclass macro AUC", "synthetic", found, len(asked), seed, reference=reference)

    fibrillating, real_fibrillating = (fibrillation(each) for each in (synthetic, compared.held_out))
    for subject, mask, real_mask in (
        ("synthetic, atrial fibrillation", fibrillating, real_fibrillating),
        ("synthetic, other rhythms", ~fibrillating, ~real_fibrillating),
    ):
        share, real_share = (
            _irregular_share(each, of) for each, of in ((synthetic, mask), (compared.held_out, real_mask))
        )
        yield row("condition", "irregular RR share", subject, share, int(mask.sum()), seed, reference=real_share.value)


def fibrillation(ecgs: EcgSet) -> np.ndarray:
    """(n,) bool: whose statements name atrial fibrillation, whose rhythm is irregular by nature."""
    return np.array([FIBRILLATION in held for held in ecgs.statements], dtype=bool)


def _irregular_share(ecgs: EcgSet, chosen: np.ndarray) -> Estimate:
    irregularity = ecgs.number("rr_irregularity")[chosen]
    known = irregularity[np.isfinite(irregularity)]
    return metrics.wilson(int((known > IRREGULAR).sum()), len(known))


def downstream_rows(
    validation: EcgSet, test: EcgSet, predictions: dict[str, dict[str, np.ndarray]], settings: EvaluationSettings
) -> Iterator[Row]:
    """How well classifiers trained on each kind of data read real test recordings.

    Args:
        predictions: training data to split to (n, 5) probabilities, "real" among them.
    """
    seed, samples = settings.seed, settings.bootstrap_samples
    kept_validation, kept = validation.labels.any(axis=1), test.labels.any(axis=1)
    labels, patients = test.labels[kept], test.patients[kept]
    n = int(kept.sum())
    found: dict[str, list[Row]] = {}
    for trained_on, of_split in predictions.items():
        scores = of_split["test"][kept]
        # Thresholds come from real validation recordings, for every training set alike.
        thresholds = metrics.best_thresholds(
            validation.labels[kept_validation], of_split["validation"][kept_validation]
        )
        called = scores >= thresholds
        rows = [
            row(
                "downstream",
                "macro AUC",
                trained_on,
                metrics.macro_auc(labels, scores, patients, samples, seed),
                n,
                seed,
            )
        ]
        f1 = metrics.bootstrap(partial(metrics.macro_f1, labels, called), patients, samples, seed)
        rows.append(row("downstream", "macro F1", trained_on, f1, n, seed))
        balanced = metrics.bootstrap(partial(metrics.macro_balanced_accuracy, labels, called), patients, samples, seed)
        rows.append(row("downstream", "balanced accuracy", trained_on, balanced, n, seed))
        for index, name in enumerate(SUPERCLASSES):
            estimate = metrics.auc(labels[:, index], scores[:, index], patients, samples, seed)
            rows.append(row("downstream", f"AUC {name}", trained_on, estimate, n, seed))
        found[trained_on] = rows
    for trained_on, rows in found.items():
        for one, real in zip(rows, found["real"], strict=True):
            yield {**one, "reference": None if trained_on == "real" else real["value"]}
    baseline = predictions["real"]["test"][kept]
    for trained_on, of_split in predictions.items():
        if trained_on != "real":
            gain = metrics.macro_auc_gain(labels, of_split["test"][kept], baseline, patients, samples, seed)
            yield row("downstream", "macro AUC gain over real", trained_on, gain, n, seed, reference=0.0)
