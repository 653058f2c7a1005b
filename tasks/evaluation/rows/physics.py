"""Rows of the `evaluations` table about physics: limb-lead identities."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.evaluation.metrics import Estimate
from models.leads import einthoven_residual, to_twelve_leads
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row


def physics_rows(compared: Compared) -> Iterator[EvaluationRow]:
    """The largest violation of a limb-lead identity."""
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
