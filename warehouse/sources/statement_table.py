"""The table `statements`: what every statement of a dataset means, in each vocabulary, and what none of them knows."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from warehouse.schema import statements as schema
from warehouse.sources.source import Source
from warehouse.statements import AXIS_VIEW, Statement, statements


def statements_table(source: Source) -> pa.Table:
    """One row per statement that the dataset's records make, one per heart axis, and one per phrase that is not read.

    Counts are of the records that the dataset lists, before any waveform is read.
    """
    vocabulary = statements()
    rows = [
        _row(source, code, count, vocabulary.by_code.get(code)) for code, count in source.statement_counts().items()
    ]
    axes = Counter(
        code for one in source.records() for view, codes in one.coded_views if view == AXIS_VIEW for code in codes
    )
    rows += [_row(source, code, count, vocabulary.axes.get(code)) for code, count in sorted(axes.items())]
    rows += [
        {"source": source.name, "code": None, "description": phrase, "known": False, "records": count}
        for phrase, count in sorted(source.unread().items(), key=lambda item: (-item[1], item[0]))
    ]
    return pa.Table.from_pylist(rows, schema=schema())


def _row(source: Source, code: str, count: int, known: Statement | None) -> dict[str, object]:
    said = source.describe(code)
    row = {"source": source.name, "code": code, "known": known is not None, "records": count}
    if known is None:
        return row | {"description": said["description"]}
    return row | {
        "description": known.description,
        "kind": AXIS_VIEW if known.axis else known.kind,
        "superclass": known.superclass or None,
        "snomed": list(known.snomed),
        "aha": list(known.aha),
        "aecg": list(known.aecg),
    }
