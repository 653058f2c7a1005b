"""The tables that people read, from the rows of the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
Table = dict[str, Any]
"""`title`, `head` and `rows` of a table, all text."""


def reading_tables(rows: Sequence[Row], choices: Sequence[Row]) -> list[Table]:
    """Per regime, classifier, set and group of labels: recipes down, shares across, one table per metric of fold 10."""
    found: list[Table] = []
    keys = dict.fromkeys(
        (row["regime"], row["classifier"], row["set"], row["labels"], row["outputs"], row["metric"])
        for row in rows
        if row["labels"] != row["task"] and (row["set"] == "test" or row["metric"] == "macro AUC")
    )
    for key in keys:
        regime, classifier, name, labels, outputs, metric = key
        held = [row for row in rows if (row["regime"], row["classifier"], row["set"], row["labels"]) == key[:4]]
        held = [row for row in held if row["metric"] == metric]
        shares = sorted({row["share"] for row in held})
        recipes = list(dict.fromkeys(row["recipe"] for row in held))
        cells = {(row["recipe"], row["share"]): _cell(row) for row in held}
        n = held[0]["n"]
        title = f"{regime}, {classifier}, {name}, {labels} ({outputs}), {metric}; {n:,} recordings"
        found.append(
            {
                "title": title,
                "head": ["recipe", *(f"{share:.1%} real" for share in shares)],
                "rows": [[recipe, *(cells.get((recipe, share), "–") for share in shares)] for recipe in recipes],
            }
        )
    for metric in ("macro F1", "average precision"):
        held = [row for row in rows if row["labels"] == row["task"] and row["metric"] == metric]
        if held:
            recipes = list(dict.fromkeys(row["recipe"] for row in held))
            tasks = list(dict.fromkeys(row["task"] for row in held))
            cells = {(row["recipe"], row["task"]): _cell(row) for row in held}
            counts = {row["task"]: row["n"] for row in held}
            found.append(
                {
                    "title": f"rare against frequent, network, {metric.removeprefix('macro ')} on fold 10",
                    "head": ["task", "recordings", *recipes],
                    "rows": [
                        [task, f"{counts[task]:,}", *(cells.get((recipe, task), "–") for recipe in recipes)]
                        for task in tasks
                    ],
                }
            )
    for question in dict.fromkeys(row["question"] for row in choices):
        held = [row for row in choices if row["question"] == question]
        found.append(
            {
                "title": f"{question}, macro AUC of superclasses on fold 9",
                "head": ["", "fold 9", "chosen"],
                "rows": [[row["candidate"], _cell(row), "yes" if row["chosen"] else ""] for row in held],
            }
        )
    return found


def _cell(row: Row) -> str:
    if row["value"] is None:
        return "–"
    value = f"{row['value']:.3f}"
    if row["low"] is not None:
        value += f" ({row['low']:.3f} – {row['high']:.3f})"
    gain = row.get("gain_value")
    return value if gain is None else f"{value}; {100 * gain:+.1f}"
