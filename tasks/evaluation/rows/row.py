"""One row of the `evaluations` table: a metric, its interval and the same metric on real recordings."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.evaluation.metrics import Estimate

EvaluationRow = dict[str, Any]


def evaluation_row(
    aspect: str,
    metric: str,
    subject: str,
    estimate: Estimate,
    n: int | None,
    seed: int,
    unit: str = "",
    reference: float | None = None,
) -> EvaluationRow:
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
