"""The table `statements`: what every statement of a dataset means, in each vocabulary, and what none of them knows."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from warehouse.schema import statements as schema
from warehouse.sources.record import SourceRecord
from warehouse.sources.source import Source
from warehouse.statements import AXIS_VIEW, Statement, statements


def statements_table(source: Source) -> pa.Table:
    """One row per statement that the dataset's records make, one per heart axis, and one per phrase that is not read.

    Counts are of the records that the dataset lists, before any waveform is read.
    """
    records: dict[str, list[SourceRecord]] = {part.name: [] for part in source.parts()}
    for one in source.records():
        records[one.dataset or source.name].append(one)
    rows = [row for part in source.parts() for row in _rows(part, records[part.name])]
    return pa.Table.from_pylist(rows, schema=schema())


def _rows(source: Source, records: list[SourceRecord]) -> list[dict[str, object]]:
    known = statements()
    made = Counter(code for one in records for code, _ in one.statements)
    axes = Counter(code for one in records for view, codes in one.coded_views if view == AXIS_VIEW for code in codes)
    return [
        *(_row(source, code, count, known.by_code.get(code)) for code, count in _most_first(made)),
        *(_row(source, code, count, known.axes.get(code)) for code, count in _most_first(axes)),
        *(
            {"source": source.name, "description": phrase, "known": False, "records": count}
            for phrase, count in _most_first(Counter(source.unread()))
        ),
    ]


def _most_first(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _row(source: Source, code: str, count: int, known: Statement | None) -> dict[str, object]:
    row: dict[str, object] = {"source": source.name, "code": code, "known": known is not None, "records": count}
    if known is None:
        return row | {"description": source.describe(code)["description"]}
    return row | {
        "description": known.description,
        "kind": AXIS_VIEW if known.axis else known.kind,
        "superclass": known.superclass or None,
        "snomed": list(known.snomed),
        "aha": list(known.aha),
        "aecg": list(known.aecg),
    }
