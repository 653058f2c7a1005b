"""What of a long evaluation people see: its rows of all ECGs, and the conditions that are farthest from real ones."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

WORST_SHOWN = 10
"""Rows per aspect."""
DELIVERY = "delivery"
"""Aspect whose criteria have a table of their own (`warehouse.release.dataset_card.delivery`)."""


def headline_rows(evaluation: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that are about all ECGs."""
    return [row for row in evaluation if row["condition"] is None]


def worst_conditions(evaluation: list[dict[str, Any]]) -> dict[str, tuple[list[dict[str, Any]], int]]:
    """The conditions that are farthest from their reference, per aspect but delivery, farthest first.

    Differences in different units cannot be compared: each counts as a share of the largest of its unit in the aspect.

    Args:
        evaluation: all rows.

    Returns:
        Aspect to its worst rows, at most `WORST_SHOWN`, and how many rows of single conditions it has in all. Rows
        without value or reference cannot be ranked, flagged ones (few ECGs) would rank by chance: they only count.
    """
    by_aspect: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in evaluation:
        if row["condition"] is not None and row["aspect"] != DELIVERY:
            by_aspect[row["aspect"]].append(row)
    found = {}
    for aspect, rows in by_aspect.items():
        ranked = [row for row in rows if None not in (row["value"], row["reference"]) and row["flag"] is None]
        largest: dict[str, float] = defaultdict(float)
        for row in ranked:
            largest[row["unit"]] = max(largest[row["unit"]], _gap(row))
        ranked.sort(key=lambda row: -_gap(row) / (largest[row["unit"]] or 1.0))
        found[aspect] = ranked[:WORST_SHOWN], len(rows)
    return found


def _gap(row: dict[str, Any]) -> float:
    return float(abs(row["value"] - row["reference"]))
