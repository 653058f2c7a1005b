"""How the command line prints the answer of a query."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

LONGEST_LIST = 6
"""Items of a list, such as a waveform, that a table shows."""


def print_answer(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> None:
    """Print rows as a table for people, or as CSV or JSON for programs."""
    if form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows(rows)
    elif form == "json":
        names = _distinct(columns)
        answer = [dict(zip(names, map(_json_value, row), strict=True)) for row in rows]
        json.dump(answer, sys.stdout, default=str, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    else:
        _print_table(columns, rows)


def _distinct(columns: Sequence[str]) -> list[str]:
    """Names of columns; one that bears an earlier one's name gets a number, since JSON would keep the last only."""
    names: list[str] = []
    for name in columns:
        number = 1
        while (numbered := name if number == 1 else f"{name}_{number}") in names:
            number += 1
        names.append(numbered)
    return names


def _json_value(value: Any) -> Any:
    """A value that JSON has: it knows neither NaN nor infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    return [_json_value(item) for item in value] if isinstance(value, list | tuple) else value


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) or row[index] is None for row in rows)
        table.add_column(Text(name), justify="right" if numeric and rows else "left", overflow="fold")
    for row in rows:
        # As Text, since a string's [brackets] would be read as markup.
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print(f"{len(rows):,} rows", style="dim")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple) and len(value) > LONGEST_LIST:
        return f"[{', '.join(_cell(item) for item in value[:LONGEST_LIST])}, … {len(value)} items]"
    return str(value)
