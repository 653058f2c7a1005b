"""Rows of a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from warehouse.errors import SourceError


def csv_rows(path: Path, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Rows of a CSV file, every value a string.

    Raises:
        SourceError: the file is missing, unreadable, lacks columns, or has no rows.
    """
    if not path.exists():
        raise SourceError(f"{path} does not exist; the dataset needs it")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            found = reader.fieldnames or []
            if missing := [name for name in needed if name not in found]:
                has = ", ".join(name or "(no name)" for name in found) or "nothing"
                raise SourceError(f"{path}: missing column(s) {', '.join(missing)}; it has {has}")
            empty = True
            for row in reader:
                empty = False
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read: {error}; restore the official file") from None
    if empty:
        raise SourceError(f"{path} holds no rows; restore the official file")
