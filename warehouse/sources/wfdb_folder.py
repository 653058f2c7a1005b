"""Any folder of WFDB records, with labels from an optional table `labels.csv`.

Lead names decide what a record holds; headers without the eight independent leads are quarantined. `labels.csv` has a
column `record`, the path of a record without extension, and any of these: `patient` (without it, each record is a
person of its own), `age`, `sex`, `labels` (codes of the vocabulary, SNOMED CT concepts or phrases, separated by ;),
`text`, `fold` (1 to 10). Labels of a record that is not there are refused, a record without labels is kept.
"""

from __future__ import annotations

from functools import cached_property

from warehouse.sources.csv_table import csv_rows
from warehouse.sources.findings import findings
from warehouse.sources.header_comments import HeaderComments
from warehouse.sources.people import age_years, patient_id, sex
from warehouse.sources.record import BadRecord, RefusedRecord, SourceRecord
from warehouse.sources.wfdb_headers import WfdbHeadersSource
from warehouse.statements import CERTAIN, Stated, foreign, statements

LABELS = "labels.csv"


class WfdbFolderSource(WfdbHeadersSource):
    """A folder that holds WFDB records, at any depth."""

    name = "wfdb"
    wanted = "WFDB headers (*.hea), at any depth"

    def rows(self) -> list[SourceRecord | RefusedRecord]:
        """Every header that is no segment, sorted by path, and after them labels without a record."""
        labels, refused = self._labels
        of_segments = [
            RefusedRecord(name, "several_segments", f"{LABELS} has labels of {name}, a segment of another record")
            for name in labels
            if name in self.segments
        ]
        return super().rows() + refused + of_segments

    def files(self) -> list[str]:
        """The labels, headers and signal files."""
        return [*([LABELS] if self._has_labels else []), *super().files()]

    @property
    def _has_labels(self) -> bool:
        return (self.folder / LABELS).exists()

    @cached_property
    def _labels(self) -> tuple[dict[str, dict[str, str]], list[SourceRecord | RefusedRecord]]:
        """Labels by record, and those that are of none."""
        labels: dict[str, dict[str, str]] = {}
        refused: list[SourceRecord | RefusedRecord] = []
        there = {*self.stems}
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
        return labels, refused

    def record_of(self, stem: str, header: HeaderComments) -> SourceRecord:
        """What the labels say of it."""
        said = self._labels[0].get(stem, {})
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
