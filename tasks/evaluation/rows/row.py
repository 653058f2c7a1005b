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
    condition: str | None = None,
    flag: str | None = None,
) -> EvaluationRow:
    """One row; what cannot be computed is null and flagged.

    Args:
        aspect: group of metrics, as the schema lists them.
        metric: name of the metric.
        subject: what was measured.
        estimate: value with its 95 % interval.
        n: recordings or rows behind it.
        seed: seed of the computation.
        unit: of value, interval and reference.
        reference: the same metric on real recordings, or the value of chance.
        condition: statement that the measured ECGs were asked for; None for all ECGs.
        flag: why the value is missing or uncertain; a missing value without a reason is flagged as too few rows.
    """
    known = lambda number: None if number is None or not np.isfinite(number) else float(number)  # noqa: E731
    return {
        "aspect": aspect,
        "metric": metric,
        "subject": subject,
        "condition": condition,
        "value": known(estimate.value),
        "low": known(estimate.low),
        "high": known(estimate.high),
        "reference": known(reference),
        "unit": unit,
        "n": n,
        "seed": seed,
        "flag": flag or ("too few rows" if known(estimate.value) is None else None),
    }
