"""How well are free-text reports read into statements?

`python -m benchmarks.reports --data PATH` reads the reports of PTB-XL's test fold (`--quick`: of its validation fold)
and compares their statements with those that PTB-XL's cardiologists gave the recordings. They saw the ECG, not only the
report, and often overruled it: precision and recall are bounded by how far they agreed with it, above all for what is a
matter of degree (atrial enlargement, prolonged QT, site of an infarction).
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.record import Check, arguments, publish
from warehouse.errors import SourceError
from warehouse.sources.free_text import read_free_text
from warehouse.sources.record import SourceRecord
from warehouse.sources.registry import open_source

TEST_FOLD: Final = 10
VALIDATION_FOLD: Final = 9
COUNTED: Final = 10
"""Recordings with a statement from which its precision and recall are listed."""
RHYTHMS: Final = ("SR", "AFIB", "STACH", "SBRAD", "SARRH")
_EDITED: Final = re.compile(r"edit:?.*|\([a-z_/]+ \d+\).*", re.IGNORECASE | re.DOTALL)
"""Statements in code that PTB-XL's annotators added to some reports: reading them would be no achievement."""


@dataclass
class Counts:
    """Statements of reports against those of recordings.

    Attributes:
        right, read, given: statement to how many recordings have it by both, by the report, by the cardiologists.
        doubted, doubted_right: statements that the report calls less than certain, and those that PTB-XL does too.
        reports: how many were read.
    """

    right: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)
    doubted: int = 0
    doubted_right: int = 0
    reports: int = 0


def main(words: Sequence[str] | None = None) -> None:
    """Measure and record."""
    chosen = arguments(__doc__.splitlines()[0]).parse_args(words)
    if chosen.data is None:
        raise SystemExit("give the folder of PTB-XL with --data")
    started = time.monotonic()
    fold = VALIDATION_FOLD if chosen.quick else TEST_FOLD
    try:
        records = [one for one in open_source("ptbxl", chosen.data).records() if one.strat_fold == fold]
    except SourceError as error:
        raise SystemExit(str(error)) from None
    counts = count(records)
    seconds = time.monotonic() - started
    tables = [{"title": "statements", "head": ["", "recordings", "precision", "recall"], "rows": rows(counts)}]
    settings, details = {"fold": fold}, {"tables": tables}
    publish("reports", checks(counts), quick=chosen.quick, seconds=seconds, settings=settings, details=details)


def count(records: Iterable[SourceRecord]) -> Counts:
    """Read the report of every record that has one."""
    counts = Counts()
    for record in records:
        report = _EDITED.sub("", record.text)
        if not report.strip():
            continue
        counts.reports += 1
        given, found = dict(record.statements), read_free_text(report).likelihoods
        counts.given.update(given.keys())
        counts.read.update(found.keys())
        both = given.keys() & found.keys()
        counts.right.update(both)
        doubted = [code for code in both if found[code] < 100 and given[code] > 0]
        counts.doubted += len(doubted)
        counts.doubted_right += sum(given[code] < 100 for code in doubted)
    return counts


def checks(counts: Counts) -> list[Check]:
    """Figures over all statements, over rhythms, and of doubt."""
    found = []
    for name, codes in (("all statements", set(counts.given) | set(counts.read)), ("rhythms", set(RHYTHMS))):
        right, read, given = (sum(one[code] for code in codes) for one in (counts.right, counts.read, counts.given))
        found += [
            Check(name=f"{name}: precision", value=right / read if read else None, n=read),
            Check(name=f"{name}: recall", value=right / given if given else None, n=given),
        ]
    doubt = counts.doubted_right / counts.doubted if counts.doubted else None
    return [
        Check(name="reports read", value=counts.reports, n=counts.reports),
        *found,
        Check(name="statements a report doubts that PTB-XL doubts too", value=doubt, n=counts.doubted),
    ]


def rows(counts: Counts) -> list[list[str]]:
    """Precision and recall of each statement of enough recordings, the most frequent first."""
    return [
        [
            code,
            str(given),
            f"{counts.right[code] / counts.read[code]:.2f}" if counts.read[code] else "–",
            f"{counts.right[code] / given:.2f}",
        ]
        for code, given in counts.given.most_common()
        if given >= COUNTED
    ]


if __name__ == "__main__":
    main()
