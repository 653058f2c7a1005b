"""Metrics as people read them, in the dataset card, the steward's summary and the report."""

from __future__ import annotations

from typing import Any


def number(value: float | None) -> str:
    """A metric with four significant digits."""
    return "–" if value is None else f"{value:.4g}"


def interval(row: dict[str, Any]) -> str:
    """A metric's 95 % interval."""
    return "–" if row["low"] is None or row["high"] is None else f"{number(row['low'])} to {number(row['high'])}"


def outcome(passed: bool | None) -> str:
    """The outcome of a privacy check, in words."""
    return {True: "passed", False: "failed", None: "reported only"}[passed]
