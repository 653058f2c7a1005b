"""Metrics as people read them, in the dataset card, the steward's summary and the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def number(value: float | None) -> str:
    """A metric with four significant digits."""
    return "–" if value is None else f"{value:.4g}"


def short(value: float | None) -> str:
    """A metric with two decimals, and more only where they would all be zero."""
    return "–" if value is None else f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 0.1 else f"{value:.2g}"


def interval(row: dict[str, Any], written: Callable[[float | None], str] = number) -> str:
    """A metric's 95 % interval; what was counted has none."""
    low, high = row["low"], row["high"]
    return "–" if low is None or high is None or low == high else f"{written(low)} to {written(high)}"


def outcome(passed: bool | None) -> str:
    """The outcome of a privacy check, in words."""
    return {True: "passed", False: "failed", None: "reported only"}[passed]
