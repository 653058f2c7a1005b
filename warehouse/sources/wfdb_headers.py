"""Datasets whose records are WFDB headers, which hold all that is said of a record in comments."""

from __future__ import annotations

import posixpath
from abc import abstractmethod
from functools import cached_property
from pathlib import Path

from warehouse.errors import SourceError
from warehouse.sources.header_comments import HeaderComments, find_headers, read_comments
from warehouse.sources.record import BadRecord, RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads
from warehouse.sources.source import Source
from warehouse.sources.wfdb_record import read_leads, record_files


class WfdbHeadersSource(Source):
    """Every header of a folder, at any depth, is a record, but for segments of records that are there, too."""

    wanted: str
    """What the folder must have, e.g. "WFDB headers (*.hea)"."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not self.stems:
            raise SourceError(f"{folder} has no {self.wanted}")

    @abstractmethod
    def record_of(self, stem: str, header: HeaderComments) -> SourceRecord:
        """What a header says of its record.

        Args:
            stem: path inside the folder, without extension.

        Raises:
            BadRecord: why the record cannot be used.
        """

    def lists(self, stem: str) -> bool:
        """Whether a header belongs to the dataset."""
        return True

    @cached_property
    def stems(self) -> list[str]:
        """Paths of the dataset's headers, without extension, sorted; segments are among them."""
        return [stem for stem in find_headers(self.folder) if self.lists(stem)]

    @cached_property
    def segments(self) -> frozenset[str]:
        """Those of them that a record of several segments consists of."""
        return self._read[1]

    def rows(self) -> list[SourceRecord | RefusedRecord]:
        """Every header that is no segment, sorted by path."""
        return [row for stem, row in self._read[0].items() if stem not in self.segments]

    def files(self) -> list[str]:
        """Headers, signal files, and what else is named like a record."""
        return record_files(self.folder, self.stems)

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Decode the record's only file."""
        return read_leads(self.folder / record.path(rate_hz), self.folder)

    @cached_property
    def _read(self) -> tuple[dict[str, SourceRecord | RefusedRecord], frozenset[str]]:
        rows: dict[str, SourceRecord | RefusedRecord] = {}
        segments: set[str] = set()
        seen: set[str] = set()
        for stem in self.stems:
            try:
                header = read_comments(self.folder / f"{stem}.hea")
                segments.update(posixpath.join(posixpath.dirname(stem), name) for name in header.segments)
                record = self.record_of(stem, header)
                if record.record in seen:
                    raise BadRecord("duplicate_record", f"another folder holds {record.record}, too")
                seen.add(record.record)
                rows[stem] = record
            except BadRecord as error:
                rows[stem] = RefusedRecord(stem, error.reason, error.detail)
        return rows, frozenset(segments)
