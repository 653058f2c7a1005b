"""MIMIC-IV-ECG 1.0 (Gow et al. 2023, doi 10.13026/4nqg-sb35), with MIMIC-IV's hospital tables where they are at hand.

`record_list.csv` names every record, `machine_measurements.csv` holds what the cart said of it: up to 18 lines of
report and nine measurements, in which 29999, 32767 and 65535 mean that it was not measured. Signals list aVF before
aVL. Ages, sexes and the three code views come from MIMIC-IV's module hosp, in a folder or link `hosp` beside the
tables.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from pathlib import Path

from warehouse.errors import SourceError
from warehouse.sources.csv_table import csv_rows
from warehouse.sources.findings import findings
from warehouse.sources.hospital_stays import HospitalStays
from warehouse.sources.inside import inside
from warehouse.sources.people import patient_id
from warehouse.sources.record import BadRecord, RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads
from warehouse.sources.report_lines import read_report
from warehouse.sources.source import Source
from warehouse.sources.wfdb_record import read_leads, record_files

RECORDS, MACHINE, HOSPITAL = "record_list.csv", "machine_measurements.csv", "hosp"
RECORD_COLUMNS = ("subject_id", "study_id", "ecg_time", "path")
REPORT_COLUMNS = tuple(f"report_{number}" for number in range(18))
MEASUREMENTS = ("rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end", "p_axis", "qrs_axis", "t_axis")
"""Columns of the machine's measurements: milliseconds from the start of the averaged beat, and degrees."""
MACHINE_COLUMNS = ("subject_id", "study_id", *REPORT_COLUMNS, *MEASUREMENTS)
NOT_MEASURED = frozenset({"", "29999", "32767", "65535"})
MACHINE_VIEW = "machine_measurements"
RATE_HZ = 500
_TIME = re.compile(r"(\d{4})-\d\d-\d\d \d\d:\d\d:\d\d")


class MimicIvEcgSource(Source):
    """MIMIC-IV-ECG: a folder with record_list.csv, machine_measurements.csv and files/; optionally hosp/."""

    name = "mimic_iv_ecg"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not (folder / RECORDS).exists():
            raise SourceError(f"{folder} has no {RECORDS}; is it MIMIC-IV-ECG, unpacked?")

    def rows(self) -> list[SourceRecord | RefusedRecord]:
        """The rows of record_list.csv, in its order."""
        return self._rows[0]

    def unread(self) -> Counter[str]:
        """Lines of the machines' reports that are no phrases of the vocabulary."""
        return self._rows[1]

    def files(self) -> list[str]:
        """The tables, and every file of a record."""
        hospital = [str(path.relative_to(self.folder)) for path in self._stays.files()] if self._stays else []
        stems = (stem for one in self.records() for _, stem in one.files)
        return [RECORDS, MACHINE, *hospital, *record_files(self.folder, stems)]

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Decode the record's only file."""
        return read_leads(self.folder / record.path(rate_hz), self.folder)

    @cached_property
    def _listed(self) -> list[dict[str, str]]:
        return list(csv_rows(self.folder / RECORDS, RECORD_COLUMNS))

    @cached_property
    def _stays(self) -> HospitalStays | None:
        folder = self.folder / HOSPITAL
        patients = (patient_id(row["subject_id"]) for row in self._listed)
        return HospitalStays(folder, patients) if folder.exists() else None

    @cached_property
    def _rows(self) -> tuple[list[SourceRecord | RefusedRecord], Counter[str]]:
        machine = {patient_id(row["study_id"]): row for row in csv_rows(self.folder / MACHINE, MACHINE_COLUMNS)}
        found: list[SourceRecord | RefusedRecord] = []
        unread: Counter[str] = Counter()
        seen: set[str] = set()
        for number, row in enumerate(self._listed, start=1):
            study, path = patient_id(row["study_id"]), f"{RECORDS} row {number}"
            try:
                if not study:
                    raise BadRecord("bad_metadata", "study_id is empty")
                if study in seen:
                    raise BadRecord("duplicate_record", f"study_id {study} is in an earlier row, too")
                seen.add(study)
                path = inside(row["path"].strip())
                found.append(self._record(study, path, row, machine.get(study, {}), unread))
            except BadRecord as error:
                found.append(RefusedRecord(path, error.reason, error.detail))
        return found, unread

    def _record(
        self, study: str, path: str, row: dict[str, str], machine: dict[str, str], unread: Counter[str]
    ) -> SourceRecord:
        patient = patient_id(row["subject_id"])
        if not patient:
            raise BadRecord("missing_patient", "subject_id is empty")
        if machine and patient_id(machine["subject_id"]) != patient:
            raise BadRecord("bad_metadata", f"{MACHINE} says that study {study} is another patient's")
        time = _TIME.fullmatch(row["ecg_time"].strip())
        if not time:
            raise BadRecord("bad_metadata", f"ecg_time is {row['ecg_time'][:40]!r}, not like 2180-07-23 08:44:00")
        lines = [line for line in (machine.get(column, "").strip() for column in REPORT_COLUMNS) if line]
        measured = {name: machine.get(name, "").strip().removesuffix(".0") for name in MEASUREMENTS}
        views = self._stays.views(patient, time[0]) if self._stays else {}
        machine_view = [f"{name}={value}" for name, value in measured.items() if value not in NOT_MEASURED]
        person = self._stays.people.get(patient) if self._stays else None
        stated = findings(read_report(lines, unread), {**views, MACHINE_VIEW: machine_view})
        return SourceRecord(
            record=study,
            patient=patient,
            age_years=person.age_in(int(time[1])) if person else None,
            sex=person.sex if person else None,
            text="; ".join(lines),
            statements=stated.statements,
            superclasses=stated.superclasses,
            strat_fold=None,
            coded_views=stated.coded_views,
            files=((RATE_HZ, path),),
        )
