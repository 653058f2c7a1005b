"""Rows of the `evaluations` table about single statements: does a classifier of real ECGs find them in generated ones?

AUC of a statement s = P(score of an ECG asked for with s > score of one without), by a classifier that learned from
real training recordings (Hanley and McNeil, Radiology 143:29-36, 1982). Beside it is the same of held-out recordings.
Guidance can raise it above the real value, by exaggeration; copies of training recordings have the classifier's value
on what it learned from. Only a value below the real one says that something is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from models.evaluation import metrics
from models.evaluation.delivery import LEAST_PATIENTS
from tasks.ecg_sets import EcgSet
from tasks.evaluation.networks.statement_classifier import statement_labels
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row

STATEMENT_AUC: Final = "statement AUC"
STATEMENT_MACRO_AUC: Final = "statement macro AUC"
STATEMENT_AUC_RATIO: Final = "statement macro AUC, generated / real"


def statement_rows(
    compared: Compared, codes: Sequence[str], of_synthetic: np.ndarray, of_real: np.ndarray
) -> Iterator[EvaluationRow]:
    """AUC of each statement, their mean and its ratio to that of held-out recordings.

    Statements enough synthetic and real ECGs hold and lack are compared; others that are asked for are flagged rows.

    Args:
        codes: statement of each score.
        of_synthetic, of_real: (n, codes) scores of the synthetic and of the held-out ECGs.
    """
    seed, samples = compared.seed, compared.samples
    labels = [statement_labels(ecgs, list(codes)) for ecgs in (compared.synthetic, compared.held_out)]
    enough = _enough(compared.synthetic, labels[0]) & _enough(compared.held_out, labels[1])
    areas = []
    for ecgs, of, scores, offset in (
        (compared.synthetic, labels[0], of_synthetic, 0),
        (compared.held_out, labels[1], of_real, 1),
    ):
        weights = np.vstack([np.ones(len(ecgs)), metrics.patient_weights(ecgs.patients, samples, seed + offset)])
        columns = [metrics.weighted_auc(of[:, one], scores[:, one], weights) for one in np.flatnonzero(enough)]
        areas.append(np.stack(columns, axis=1) if columns else np.full((len(weights), 1), np.nan))
    known = [int(place) for place in np.flatnonzero(enough)]
    for place, code in enumerate(codes):
        n = int(labels[0][:, place].sum())
        if not n:
            continue
        about: dict[str, Any] = {"n": n, "seed": seed, "condition": code}
        if enough[place]:
            synthetic, real = (each[:, known.index(place)] for each in areas)
            found = metrics.percentile_interval(float(synthetic[0]), synthetic[1:])
            yield evaluation_row("condition", STATEMENT_AUC, "synthetic", found, reference=float(real[0]), **about)
        else:
            yield evaluation_row("condition", STATEMENT_AUC, "synthetic", metrics.UNKNOWN, **about)
    mean, mean_real = (each.mean(axis=1) for each in areas)
    for metric, values, reference in (
        (STATEMENT_MACRO_AUC, mean, float(mean_real[0])),
        (STATEMENT_AUC_RATIO, mean / mean_real, 1.0 if known else None),
    ):
        found = metrics.percentile_interval(float(values[0]), values[1:])
        yield evaluation_row("condition", metric, "synthetic", found, len(known), seed, reference=reference)


def _enough(ecgs: EcgSet, labels: np.ndarray) -> np.ndarray:
    """(codes,) bool: statements that enough patients' ECGs hold, and enough lack."""
    counts = [
        (len(np.unique(ecgs.patients[held].astype(str))), len(np.unique(ecgs.patients[~held].astype(str))))
        for held in labels.T
    ]
    return np.array([min(pair) >= LEAST_PATIENTS for pair in counts], dtype=bool)
