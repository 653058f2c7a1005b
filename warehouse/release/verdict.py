"""Why an audit has its verdict, worked out from its rows: gate and verification believe no summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def broken(rows: Sequence[Row]) -> list[Row]:
    """Rows that do not keep their bound; one that was not held against its bound does not."""
    return [row for row in rows if row["passed"] is False or (row["threshold"] is not None and row["passed"] is None)]


def without_power(rows: Sequence[Row], min_power: float) -> list[Row]:
    """Rows whose attack did not find the canaries that it must find; power that was not measured is none."""
    return [row for row in rows if row["canary"] and (row["power"] or 0.0) < min_power]


def named(row: Row) -> str:
    """A row as facts and error messages name it."""
    return f"{row['attack']}: {row['metric']}"


def reasons(rows: Sequence[Row], min_power: float) -> list[str]:
    """The reasons of a verdict, a sentence each: bounds and power."""
    bounded = [row for row in rows if row["threshold"] is not None]
    tested = [row for row in bounded if row["canary"]]
    beyond, weak = broken(rows), without_power(rows, min_power)
    found = []
    if beyond:
        found += [f"Bound broken: {named(row)}." for row in beyond]
    else:
        found.append(f"All {len(bounded)} bounds were kept.")
    if weak:
        found += [
            f"Attack too weak: {named(row)}; it found planted records ({row['canary']}) in "
            f"{100 * (row['power'] or 0):.0f} of 100 trials, and {100 * min_power:.0f} are needed."
            for row in weak
        ]
    elif tested and not min_power:
        found.append("No power was asked of the attacks (min_power is 0): that they found little proves little.")
    elif tested:
        found.append(
            f"Each of the {len(tested)} bounds that are about an attack's success was broken in at least "
            f"{100 * min_power:.0f} of 100 trials with planted training records, so the attacks can find a leak."
        )
    if counted := len(bounded) - len(tested):
        found.append(f"Bounds on what was counted in the released rows themselves, which need no such test: {counted}.")
    return found
