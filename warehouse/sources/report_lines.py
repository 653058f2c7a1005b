"""Lines of reports, read into statements; what is not read is counted.

A machine's line is a phrase of the vocabulary, or several. Any other is read as free text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from warehouse.sources.free_text import read_free_text
from warehouse.statements import Stated, normalised, statements


@lru_cache(maxsize=50_000)
def _read(line: str) -> tuple[list[Stated], bool]:
    """A line's statements; machines write the same few thousand lines again and again."""
    stated, whole = statements().read_line(line)
    if whole:
        return stated, True
    said = read_free_text(line)
    known = statements().by_code
    stated = [Stated(known[code], percent) for code, percent in said.likelihoods.items()]
    return stated, bool(stated or said.excluded)


def read_report(lines: Iterable[str], unread: Counter[str]) -> list[Stated]:
    """What the lines of one report state, in their order.

    Args:
        unread: each line that says nothing that was understood is counted here, once per report.
    """
    found: list[Stated] = []
    missed: set[str] = set()
    for line in lines:
        stated, understood = _read(line)
        found += stated
        if not understood:
            missed.add(normalised(line))
    unread.update(phrase for phrase in missed if phrase)
    return found
