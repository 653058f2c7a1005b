"""Lines of reports that machines write, read into statements; what is not read is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from warehouse.statements import LONGEST_PHRASE, Stated, normalised, statements


@lru_cache(maxsize=50_000)
def _read(line: str) -> tuple[list[Stated], bool]:
    """A line's statements; machines write the same few thousand lines again and again."""
    return statements().read_line(line)


def read_report(lines: Iterable[str], unread: Counter[str]) -> list[Stated]:
    """What the lines of one report state, in their order.

    Args:
        unread: each line that was not wholly understood is counted here, once per report.
    """
    found: list[Stated] = []
    missed: set[str] = set()
    for line in lines:
        # A longer one is no phrase, and not worth remembering.
        stated, whole = _read(line) if len(line) <= LONGEST_PHRASE else ([], False)
        found += stated
        if not whole:
            missed.add(normalised(line))
    unread.update(phrase for phrase in missed if phrase)
    return found
