"""The worked queries of `docs/queries.md`: found, run against a warehouse, and written back with their output.

python -m warehouse.catalog.worked_queries --warehouse PATH
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from warehouse.catalog.catalog import QueryResult, query
from warehouse.errors import EinthovenError
from warehouse.storage.store import Store
from warehouse.storage.whole_files import write_text

PATH = Path(__file__).resolve().parents[2] / "docs" / "queries.md"
SHOWN_ROWS = 12
WIDEST_CELL = 60

_LINES = r"(?:(?!```|## ).*\n)*"
_QUERY = re.compile(
    rf"^## (?P<title>.+)\n(?P<before>{_LINES})```sql\n(?P<sql>{_LINES})```\n(?:\n```text\n{_LINES}```\n)?", re.MULTILINE
)


def queries_in(path: Path = PATH) -> list[tuple[str, str]]:
    """Titles and SQL of the queries in a Markdown file: the first `sql` block below each second-level heading."""
    return [(match["title"], match["sql"].strip()) for match in _QUERY.finditer(path.read_text(encoding="utf-8"))]


def answered(text: str, store: Store) -> str:
    """A Markdown file of queries with the output of each, in place of an earlier one.

    Raises:
        QueryError: names the query that failed.
    """

    def answer(match: re.Match[str]) -> str:
        try:
            output = as_text(query(store, match["sql"]))
        except EinthovenError as error:
            raise type(error)(f"{match['title']}: {error}") from None
        return f"## {match['title']}\n{match['before']}```sql\n{match['sql']}```\n\n```text\n{output}```\n"

    return _QUERY.sub(answer, text)


def as_text(result: QueryResult, rows: int = SHOWN_ROWS) -> str:
    """A result as aligned text, numbers to the right, at most `rows` rows."""
    shown = [[_cell(value) for value in row] for row in result.rows[:rows]]
    widths = [max(len(line[column]) for line in [result.columns, *shown]) for column in range(len(result.columns))]
    numeric = [
        bool(result.rows) and all(isinstance(row[column], int | float | None) for row in result.rows[:rows])
        for column in range(len(result.columns))
    ]
    lines = [_line(line, widths, numeric) for line in [result.columns, ["-" * width for width in widths], *shown]]
    if len(result.rows) > rows:
        lines.append(f"({len(result.rows) - rows} more rows)")
    if not result.rows:
        lines.append("(no rows)")
    return "".join(f"{line}\n" for line in lines)


def _line(cells: list[str], widths: list[int], numeric: list[bool]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return _cell(f"[{', '.join(_cell(one) for one in value)}]")
    text = " ".join(str(value).split())
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 1]}…"


def main() -> int:
    """Run the queries and rewrite the file."""
    parser = argparse.ArgumentParser(
        prog="python -m warehouse.catalog.worked_queries",
        description="Run the queries of docs/queries.md and write their output there.",
    )
    parser.add_argument("--warehouse", required=True, help="warehouse folder")
    parser.add_argument("--file", type=Path, default=PATH, help="Markdown file; default: docs/queries.md")
    arguments = parser.parse_args()
    try:
        text = answered(arguments.file.read_text(encoding="utf-8"), Store(arguments.warehouse))
    except (EinthovenError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_text(arguments.file, text)
    print(f"wrote {arguments.file}: {len(queries_in(arguments.file))} queries")
    return 0


if __name__ == "__main__":
    sys.exit(main())
