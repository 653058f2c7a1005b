"""How the command line prints the answer of a query."""

from __future__ import annotations

import csv
import json
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
        json.dump([dict(zip(columns, row, strict=True)) for row in rows], sys.stdout, default=str, indent=2)
        sys.stdout.write("\n")
    else:
        _print_table(columns, rows)


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
