"""Rows of the `evaluations` table about physics: limb-lead identities and distributions of intervals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.evaluation import fidelity
from models.evaluation.metrics import Estimate
from models.leads import einthoven_residual, to_twelve_leads
from models.superclasses import SUPERCLASSES
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row

INTERVALS = ("pr_ms", "qrs_ms", "qt_ms")


def physics_rows(compared: Compared) -> Iterator[EvaluationRow]:
    """Limb-lead identities, and interval distributions over all ECGs and per superclass."""
    synthetic, seed = compared.synthetic, compared.seed
    residual = max(
        (
            einthoven_residual(to_twelve_leads(synthetic.signal[at : at + 256].astype(np.float64)))
            for at in range(0, len(synthetic), 256)
        ),
        default=0.0,
    )
    yield evaluation_row(
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
            yield evaluation_row(
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
