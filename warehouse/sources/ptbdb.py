"""PTB Diagnostic ECG Database (Bousseljot et al. 1995; doi 10.13026/C28C71), in the layout of its PhysioNet release.

What the headers state is the clinical diagnosis of a patient, not a reading of the ECG: a patient with a myocardial
infarction may have an ECG without one. Its statements therefore have likelihood 0, unknown. Folders name patients. The
three Frank leads beside the twelve are left out.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from warehouse.errors import SourceError
from warehouse.sources.findings import findings
from warehouse.sources.header_comments import find_headers, read_comments
from warehouse.sources.people import age_years, sex
from warehouse.sources.record import BadRecord, RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads
from warehouse.sources.source import Source
from warehouse.sources.wfdb_record import read_leads, record_files
from warehouse.statements import UNKNOWN, Stated, foreign, statements

_REASON = "reason for admission"
_LOCALISATIONS = ("acute infarction (localization)", "former infarction (localization)")
_MORE = "additional diagnoses"
_SAYS_NOTHING = ("", "no", "n/a", "unknown")


class PtbdbSource(Source):
    """PTB Diagnostic: folders `patient001` and so on, each with the recordings of one patient."""

    name = "ptbdb"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not self._stems:
            raise SourceError(f"{folder} has no patient folder (patient001/…) with WFDB headers; is it PTB Diagnostic?")

    def rows(self) -> list[SourceRecord | RefusedRecord]:
        """Every header in a patient's folder, sorted by path."""
        return self._rows

    def files(self) -> list[str]:
        """Headers and signal files."""
        return record_files(self.folder, self._stems)

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Decode the record's only file."""
        return read_leads(self.folder / record.path(rate_hz), self.folder)

    @cached_property
    def _stems(self) -> list[str]:
        return [stem for stem in find_headers(self.folder) if stem.startswith("patient") and stem.count("/") == 1]

    @cached_property
    def _rows(self) -> list[SourceRecord | RefusedRecord]:
        found: list[SourceRecord | RefusedRecord] = []
        for stem in self._stems:
            try:
                found.append(self._record(stem))
            except BadRecord as error:
                found.append(RefusedRecord(stem, error.reason, error.detail))
        return found

    def _record(self, stem: str) -> SourceRecord:
        header = read_comments(self.folder / f"{stem}.hea")
        said = header.fields()
        stated = findings(_stated(said), likelihood=UNKNOWN)
        return SourceRecord(
            record=stem,
            patient=stem.partition("/")[0],
            age_years=age_years(said.get("age", "")),
            sex=sex(said.get("sex", "")),
            text="",
            statements=stated.statements,
            superclasses=stated.superclasses,
            strat_fold=None,
            coded_views=stated.coded_views,
            files=((round(header.rate_hz), stem),),
        )


def _stated(said: dict[str, str]) -> list[Stated | str]:
    reason = said.get(_REASON, "")
    walls = [said[name] for name in _LOCALISATIONS if said.get(name, "").lower() not in _SAYS_NOTHING]
    phrases = [f"infarction: {wall}" for wall in walls]
    # An infarction whose wall is stated needs no second statement without one.
    if not (walls and reason == "Myocardial infarction"):
        phrases.insert(0, reason)
    phrases += said.get(_MORE, "").split(",")
    found: list[Stated | str] = []
    for phrase in (one.strip() for one in phrases):
        if phrase.lower() not in _SAYS_NOTHING:
            known = statements().of_phrase(phrase)
            found.append(Stated(known, UNKNOWN) if known else foreign("PTBDB", phrase))
    return found
