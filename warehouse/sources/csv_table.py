"""Rows of a CSV file, read strictly: a file that can be read in two ways is an error that names the line."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from warehouse.errors import SourceError

DELIMITERS = (",", ";", "\t")
LONGEST_FIELD = 16_000_000
"""Characters. The csv module's own limit is shorter than reports that hospitals export."""


def csv_rows(path: Path, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Rows of a CSV file, every value a string.

    The file is UTF-8, with or without a byte order mark, with line ends of any system. Columns are separated by what
    separates the names of the first line: comma, semicolon or tab. Values may be quoted and then hold line ends.

    Args:
        needed: names of columns that must be there.

    Raises:
        SourceError: the file is missing, unreadable, or no UTF-8; it lacks a column, names one twice, has no rows, a
            row with too few or too many values, or a quotation mark out of place, which would swallow rows.
    """
    if not path.exists():
        raise SourceError(f"{path} does not exist; the dataset needs it")
    csv.field_size_limit(LONGEST_FIELD)
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            # Strict, so that text after a closing quotation mark is an error: a stray one opens a value that ends rows
            # later, at the next one.
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            names = [name.strip() for name in next(reader, [])]
            if missing := [name for name in needed if name not in names]:
                has = ", ".join(name or "(no name)" for name in names)[:500] or "nothing"
                raise SourceError(f"{path}: missing column(s) {', '.join(missing)}; it has {has}")
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise SourceError(f"{path} names the column {twice[0] or '(no name)'} twice; leave one of them")
            empty = True
            line = reader.line_num + 1
            for values in reader:
                # An empty line is no row.
                if values:
                    if len(values) != len(names):
                        raise SourceError(
                            f"{path}, line {line}: {len(values)} values for {len(names)} columns; quote values that "
                            "hold the separator, or restore the official file"
                        )
                    if any("\0" in value for value in values):
                        raise SourceError(f"{path}, line {line} holds a NUL character; restore the official file")
                    empty = False
                    yield dict(zip(names, values, strict=True))
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 (byte {error.start}); convert it, e.g. with iconv") from None
    except csv.Error as error:
        raise SourceError(
            f"{path}: the row from line {line} cannot be read ({error}); double quotation marks inside quoted values, "
            "or restore the official file"
        ) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); make it readable") from None
    if empty:
        raise SourceError(f"{path} holds no rows; restore the official file")
