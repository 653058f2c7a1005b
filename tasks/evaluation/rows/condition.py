"""Rows of the `evaluations` table about conditions: whether ECGs show what was asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.ecg.measurements import IRREGULAR_RR
from models.evaluation import metrics
from models.evaluation.metrics import Estimate
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row

FIBRILLATION = "AFIB"


def condition_rows(compared: Compared) -> Iterator[EvaluationRow]:
    """Whether ECGs show what was asked for: superclasses, and irregular rhythm in atrial fibrillation."""
    synthetic, seed, samples = compared.synthetic, compared.seed, compared.samples
    asked, real = synthetic.labelled, compared.held_out.labelled
    of_asked = compared.probabilities["synthetic"][synthetic.labels.any(axis=1)]
    of_real = compared.probabilities["held_out"][compared.held_out.labels.any(axis=1)]
    found = metrics.macro_auc(asked.labels, of_asked, asked.patients, samples, seed)
    reference = metrics.macro_auc(real.labels, of_real, real.patients, samples, seed).value
    yield evaluation_row(
        "condition", "asked superclass macro AUC", "synthetic", found, len(asked), seed, reference=reference
    )

    fibrillating, real_fibrillating = (fibrillation(each) for each in (synthetic, compared.held_out))
    for subject, mask, real_mask in (
        ("synthetic, atrial fibrillation", fibrillating, real_fibrillating),
        ("synthetic, other rhythms", ~fibrillating, ~real_fibrillating),
    ):
        share, real_share = (
            _irregular_share(each, of) for each, of in ((synthetic, mask), (compared.held_out, real_mask))
        )
        yield evaluation_row(
            "condition", "irregular RR share", subject, share, int(mask.sum()), seed, reference=real_share.value
        )


def fibrillation(ecgs: EcgSet) -> np.ndarray:
    """(n,) bool: whose statements name atrial fibrillation, whose rhythm is irregular by nature."""
    return np.array([FIBRILLATION in held for held in ecgs.statements], dtype=bool)


def _irregular_share(ecgs: EcgSet, chosen: np.ndarray) -> Estimate:
    irregularity = ecgs.number("rr_irregularity")[chosen]
    known = irregularity[np.isfinite(irregularity)]
    return metrics.wilson(int((known > IRREGULAR_RR).sum()), len(known))
