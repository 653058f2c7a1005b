"""PhysioNet/Computing in Cardiology Challenges 2020 and 2021 (Reyna et al. 2021, doi 10.23919/CinC53138.2021.9662687).

Every record is a WFDB header with a MATLAB signal file. Diagnoses are SNOMED CT concepts in the comment `Dx`; the
headers of CPSC 2018 that circulate as its first version carry words instead (`Dx: RBBB`). The folder of a record names
its centre. Patients are not named, so each record is a patient of its own; INCART and PTB hold several records of some
people.
"""

from __future__ import annotations

import posixpath
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
from warehouse.statements import CERTAIN, Stated, foreign, statements

CENTRES = (
    "cpsc_2018",
    "cpsc_2018_extra",
    "st_petersburg_incart",
    "ptb",
    "ptb-xl",
    "georgia",
    "chapman_shaoxing",
    "ningbo",
)
"""Folders of the challenge of 2021; that of 2020 has the first six."""


class CincSource(Source):
    """The training data of a challenge: any folder that holds folders of centres."""

    name = "cinc"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not any(centre_of(stem) for stem in self._stems):
            raise SourceError(
                f"{folder} has no folder of a centre ({', '.join(CENTRES)}) with WFDB headers; is it CinC 2020 or 2021?"
            )

    def rows(self) -> list[SourceRecord | RefusedRecord]:
        """Every header of a centre, sorted by path."""
        return self._rows

    def files(self) -> list[str]:
        """Headers and signal files."""
        return record_files(self.folder, self._of_centres)

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Decode the record's only file."""
        return read_leads(self.folder / record.path(rate_hz), self.folder)

    @cached_property
    def _stems(self) -> list[str]:
        return find_headers(self.folder)

    @property
    def _of_centres(self) -> list[str]:
        return [stem for stem in self._stems if centre_of(stem)]

    @cached_property
    def _rows(self) -> list[SourceRecord | RefusedRecord]:
        found: list[SourceRecord | RefusedRecord] = []
        seen: set[str] = set()
        for stem in self._of_centres:
            try:
                record = posixpath.basename(stem)
                if record in seen:
                    raise BadRecord("duplicate_record", f"another folder holds {record}, too")
                seen.add(record)
                found.append(self._record(record, stem))
            except BadRecord as error:
                found.append(RefusedRecord(stem, error.reason, error.detail))
        return found

    def _record(self, record: str, stem: str) -> SourceRecord:
        header = read_comments(self.folder / f"{stem}.hea")
        said = header.fields()
        codes = [code for code in (one.strip() for one in said.get("dx", "").split(",")) if code]
        stated = findings(
            (_stated(code) for code in codes),
            {"snomed": [code for code in codes if code.isdigit()], "centre": [centre_of(stem)]},
        )
        return SourceRecord(
            record=record,
            patient=record,
            age_years=age_years(said.get("age", "")),
            sex=sex(said.get("sex", "")),
            text="",
            statements=stated.statements,
            superclasses=stated.superclasses,
            strat_fold=None,
            coded_views=stated.coded_views,
            files=((round(header.rate_hz), stem),),
        )


def centre_of(stem: str) -> str:
    """The centre that a record's path names; "" for a file of none."""
    return next((part for part in reversed(stem.split("/")[:-1]) if part in CENTRES), "")


def _stated(code: str) -> Stated | str:
    vocabulary = statements()
    known = vocabulary.of_snomed(code) if code.isdigit() else vocabulary.of_phrase(code)
    return Stated(known, CERTAIN) if known else foreign("SNOMED" if code.isdigit() else "CinC", code)
