"""LUDB, the Lobachevsky University Database (Kalyakulina et al. 2020, doi 10.1109/ACCESS.2020.3029211).

Cardiologists marked P, QRS and T on every lead, and wrote diagnoses in words into the headers. The gains of the headers
scale every lead by itself, so that III is not II − I any more; the samples are microvolts, which keep the identity.
Boundaries are read by the benchmark of delineation, not here: nothing learns from them.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from models.leads import canonical_lead
from warehouse.errors import SourceError
from warehouse.sources.findings import findings
from warehouse.sources.header_comments import find_headers, read_comments
from warehouse.sources.people import age_years, sex
from warehouse.sources.record import BadRecord, RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads
from warehouse.sources.source import Source
from warehouse.sources.wfdb_header import parse_header
from warehouse.sources.wfdb_record import read_leads, record_files
from warehouse.statements import CERTAIN, Stated, foreign, statements

DATA = "data"
MICROVOLTS_PER_MILLIVOLT = 1000.0
_RATE_HZ = 500


class LudbSource(Source):
    """LUDB: a folder with data/; every record is of another person."""

    name = "ludb"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not self._stems:
            raise SourceError(f"{folder} has no folder {DATA} with WFDB headers; is it LUDB, unpacked?")

    def rows(self) -> list[SourceRecord | RefusedRecord]:
        """Every header in data/, sorted by path."""
        return self._rows

    def files(self) -> list[str]:
        """Headers, signal files and boundaries."""
        return record_files(self.folder, self._stems)

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Decode the record and undo the header's gains."""
        stem = self.folder / record.path(rate_hz)
        recorded = read_leads(stem, self.folder)
        header = parse_header(stem.with_name(f"{stem.name}.hea").read_bytes(), stem.name)
        written = {canonical_lead(signal.lead): signal for signal in header.signals}
        return RecordedLeads(
            recorded.rate_hz,
            {
                lead: (samples * written[lead].gain + written[lead].baseline) / MICROVOLTS_PER_MILLIVOLT
                for lead, samples in recorded.millivolts.items()
            },
        )

    @cached_property
    def _stems(self) -> list[str]:
        return [f"{DATA}/{stem}" for stem in find_headers(self.folder / DATA)]

    @cached_property
    def _rows(self) -> list[SourceRecord | RefusedRecord]:
        found: list[SourceRecord | RefusedRecord] = []
        for stem in sorted(self._stems, key=lambda stem: (len(stem), stem)):
            try:
                found.append(self._record(stem))
            except BadRecord as error:
                found.append(RefusedRecord(stem, error.reason, error.detail))
        return found

    def _record(self, stem: str) -> SourceRecord:
        header = read_comments(self.folder / f"{stem}.hea")
        said = header.fields()
        words = [line.strip(" .") for line in header.lines if line.strip() and not line.startswith("<")]
        stated = findings(_stated(line) for line in words)
        record = stem.rpartition("/")[2]
        return SourceRecord(
            record=record,
            patient=record,
            age_years=age_years(said.get("age", "")),
            sex=sex(said.get("sex", "")),
            text="; ".join(words),
            statements=stated.statements,
            superclasses=stated.superclasses,
            strat_fold=None,
            coded_views=stated.coded_views,
            files=((_RATE_HZ, stem),),
        )


def _stated(line: str) -> Stated | str:
    name, colon, words = line.partition(":")
    known = statements().of_phrase(line) or (statements().of_phrase(words) if colon and name == "Rhythm" else None)
    return Stated(known, CERTAIN) if known else foreign("LUDB", line)
