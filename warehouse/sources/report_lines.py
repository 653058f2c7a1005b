"""Lines of reports that machines write, read into statements; what is not read is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from warehouse.statements import Stated, normalised, statements


def read_report(lines: Iterable[str], unread: Counter[str]) -> list[Stated]:
    """What the lines of one report state, in their order.

    Args:
        unread: each line that was not wholly understood is counted here, once per report.
    """
    found: list[Stated] = []
    missed: set[str] = set()
    for line in lines:
        stated, whole = statements().read_line(line)
        found += stated
        if not whole:
            missed.add(normalised(line))
    unread.update(phrase for phrase in missed if phrase)
    return found
