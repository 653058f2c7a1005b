"""One row of the `audits` table: how well an attack did, and the bound that its success is held to."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from models.evaluation.metrics import Estimate
from tasks.settings import PrivacySettings

AuditRow = dict[str, Any]


def audit_row(
    attack: str,
    metric: str,
    estimate: Estimate,
    n: int,
    settings: PrivacySettings,
    *,
    unit: str = "",
    reference: float | None = None,
    at_most: float | None = None,
    at_least: float | None = None,
    bounded: Literal["value", "high"] = "high",
) -> AuditRow:
    """One row. What cannot be computed is null, and fails a bound if there is one.

    Args:
        at_most: bound on the interval's upper end, or on the value.
        at_least: bound on the value. With neither, the row is only reported.
        bounded: which number `at_most` bounds. An attack's success is inferred, so its upper end is bounded; what is
            counted in the released rows themselves is exact.
    """

    def known(number: float | None) -> float | None:
        return None if number is None or not np.isfinite(number) else float(number)

    passed = None
    if at_most is not None:
        passed = bool((estimate.high if bounded == "high" else estimate.value) <= at_most)
    if at_least is not None:
        passed = bool(estimate.value >= at_least)
    return {
        "attack": attack,
        "metric": metric,
        "value": known(estimate.value),
        "low": known(estimate.low),
        "high": known(estimate.high),
        "reference": known(reference),
        "unit": unit,
        "n": n,
        "seed": settings.seed,
        "threshold": at_least if at_most is None else at_most,
        "passed": passed,
    }


def exactly(value: float) -> Estimate:
    """A number that was counted, not estimated."""
    return Estimate(float(value), float(value), float(value))
