"""Any folder of WFDB records, with labels from an optional table `labels.csv`.

Lead names decide what a record holds; headers without the eight independent leads are quarantined. `labels.csv` has a
column `record`, the path of a record without extension, and any of these: `patient` (without it, each record is a
person of its own), `age`, `sex`, `labels` (codes of the vocabulary, SNOMED CT concepts or phrases, separated by ;),
`text`, `fold` (1 to 10). Labels of a record that is not there are refused, a record without labels is kept.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from warehouse.errors import SourceError
from warehouse.sources.csv_table import csv_rows
from warehouse.sources.findings import findings
from warehouse.sources.header_comments import find_headers, read_comments
from warehouse.sources.people import age_years, patient_id, sex
from warehouse.sources.record import BadRecord, RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads
from warehouse.sources.source import Source
from warehouse.sources.wfdb_record import read_leads, record_files
from warehouse.statements import CERTAIN, Stated, foreign, statements

LABELS = "labels.csv"


class WfdbFolderSource(Source):
    """A folder that holds WFDB records, at any depth."""

    name = "wfdb"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not self._stems:
            raise SourceError(f"{folder} has no WFDB headers (*.hea), at any depth")

    def rows(self) -> list[SourceRecord | RefusedRecord]:
        """Every header, sorted by path, and after them labels without a record."""
        return self._rows

    def files(self) -> list[str]:
        """The labels, headers and signal files."""
        return [*([LABELS] if self._has_labels else []), *record_files(self.folder, self._stems)]

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Decode the record's only file."""
        return read_leads(self.folder / record.path(rate_hz), self.folder)

    @property
    def _has_labels(self) -> bool:
        return (self.folder / LABELS).exists()

    @cached_property
    def _stems(self) -> list[str]:
        return find_headers(self.folder)

    @cached_property
    def _rows(self) -> list[SourceRecord | RefusedRecord]:
        labels: dict[str, dict[str, str]] = {}
        found: list[SourceRecord | RefusedRecord] = []
        refused: list[SourceRecord | RefusedRecord] = []
        there = set(self._stems)
        rows = csv_rows(self.folder / LABELS, ("record",)) if self._has_labels else ()
        for number, row in enumerate(rows, start=1):
            name = row["record"].strip().removesuffix(".hea")
            if name in labels:
                where = f"{LABELS} row {number}"
                refused.append(RefusedRecord(where, "duplicate_record", f"an earlier row is about {name[:200]}, too"))
            elif name not in there:
                refused.append(
                    RefusedRecord(name, "missing_file", f"{LABELS} has labels of {name}, which is not there")
                )
            labels.setdefault(name, row)
        for stem in self._stems:
            try:
                found.append(self._record(stem, labels.get(stem, {})))
            except BadRecord as error:
                found.append(RefusedRecord(stem, error.reason, error.detail))
        return found + refused

    def _record(self, stem: str, said: dict[str, str]) -> SourceRecord:
        header = read_comments(self.folder / f"{stem}.hea")
        fold = said.get("fold", "").strip()
        if fold and fold not in map(str, range(1, 11)):
            raise BadRecord("bad_fold", f"fold is {fold[:40]!r}, not a whole number from 1 to 10")
        if said and "patient" in said and not patient_id(said["patient"]):
            raise BadRecord("missing_patient", "patient is empty")
        labels = [label for label in (one.strip() for one in said.get("labels", "").split(";")) if label]
        stated = findings(_stated(label) for label in labels)
        return SourceRecord(
            record=stem,
            patient=patient_id(said["patient"]) if "patient" in said else stem,
            age_years=age_years(said.get("age", "")),
            sex=sex(said.get("sex", "")),
            text=said.get("text", "").strip(),
            statements=stated.statements,
            superclasses=stated.superclasses,
            strat_fold=int(fold) if fold else None,
            coded_views=stated.coded_views,
            files=((round(header.rate_hz), stem),),
        )


def _stated(label: str) -> Stated | str:
    known = statements().of_label(label)
    return Stated(known, CERTAIN) if known else foreign("label", label)
