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
    at_most: str | float | None = None,
    at_least: str | None = None,
    bounded: Literal["value", "low", "high"] = "high",
    canary: str | None = None,
) -> AuditRow:
    """One row. What cannot be computed is null, and fails a bound if there is one.

    Args:
        at_most: setting that bounds the estimate from above, or the bound itself.
        at_least: setting that bounds the value from below. With neither, the row is only reported.
        bounded: which number `at_most` bounds. An attack's success is inferred, so its upper end is bounded; what is
            counted in the released rows themselves is exact.
        canary: kind of canary that breaks the bound, as the audit has to show; none for what is counted.
    """

    def known(number: float | None) -> float | None:
        return None if number is None or not np.isfinite(number) else float(number)

    threshold, passed = None, None
    if at_most is not None:
        threshold = getattr(settings, at_most) if isinstance(at_most, str) else at_most
        passed = within(estimate, threshold, bounded)
    if at_least is not None:
        threshold = getattr(settings, at_least)
        passed = bool(estimate.value >= threshold)
    setting = at_least or (at_most if isinstance(at_most, str) else None)
    default = threshold if setting is None else type(settings).model_fields[setting].default
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
        "threshold": known(threshold),
        "default_threshold": known(default),
        "setting": setting,
        "passed": passed,
        "canary": canary if threshold is not None else None,
        "power": None,
    }


def within(estimate: Estimate, threshold: float, bounded: Literal["value", "low", "high"]) -> bool:
    """Whether an estimate keeps an upper bound; one that is not known does not."""
    return bool(getattr(estimate, bounded) <= threshold)


def exactly(value: float) -> Estimate:
    """A number that was counted, not estimated."""
    return Estimate(float(value), float(value), float(value))
