"""Shandong Provincial Hospital ECG database (Liu et al. 2022, doi 10.1038/s41597-022-01403-5).

One HDF5 file per recording: the data set `ecg` of float16 mV, (12, samples) at 500 Hz, leads in the standard order, 10
to 60 s. Statements are AHA/ACC/HRS codes with modifiers: `22;23`, `60+310`.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from models.leads import STANDARD_LEADS
from warehouse.errors import SourceError
from warehouse.sources.csv_table import csv_rows
from warehouse.sources.findings import findings
from warehouse.sources.people import age_years, patient_id, sex
from warehouse.sources.record import BadRecord, RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads
from warehouse.sources.source import Source
from warehouse.sources.wfdb_record import record_files
from warehouse.statements import Stated, foreign, statements

TABLE = "metadata.csv"
COLUMNS = ("ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex")
RATE_HZ = 500
LARGEST_SAMPLES = 600 * RATE_HZ


class SphSource(Source):
    """SPH: a folder with metadata.csv and records/."""

    name = "sph"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not (folder / TABLE).exists():
            raise SourceError(f"{folder} has no {TABLE}; is it the SPH database, unpacked?")

    def rows(self) -> list[SourceRecord | RefusedRecord]:
        """The rows of metadata.csv, in its order."""
        return self._rows

    def files(self) -> list[str]:
        """The table and the recordings."""
        return [TABLE, *record_files(self.folder, (stem for one in self.records() for _, stem in one.files))]

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Read the record's HDF5 file."""
        path = self.folder / f"{record.path(rate_hz)}.h5"
        try:
            with h5py.File(path, "r") as file:
                stored = file.get("ecg")
                if not isinstance(stored, h5py.Dataset) or stored.ndim != 2 or stored.shape[0] != len(STANDARD_LEADS):
                    raise BadRecord("bad_signal", f"{path.name} holds no data set ecg of 12 leads")
                if stored.shape[1] > LARGEST_SAMPLES:
                    raise BadRecord("too_large", f"{path.name} promises {stored.shape[1]} samples")
                signal = np.asarray(stored[...], dtype=np.float64)
        except FileNotFoundError:
            raise BadRecord("missing_file", f"{path.name} is not there") from None
        except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
            raise BadRecord(
                "bad_signal", f"{path.name} cannot be decoded: {' '.join(str(error).split())[:200]}"
            ) from None
        return RecordedLeads(float(RATE_HZ), dict(zip(STANDARD_LEADS, signal, strict=True)))

    @cached_property
    def _rows(self) -> list[SourceRecord | RefusedRecord]:
        found: list[SourceRecord | RefusedRecord] = []
        seen: set[str] = set()
        for number, row in enumerate(csv_rows(self.folder / TABLE, COLUMNS), start=1):
            record, path = row["ECG_ID"].strip(), f"{TABLE} row {number}"
            try:
                if not record or "/" in record or "\\" in record or record.startswith("."):
                    raise BadRecord("bad_path", f"row {number} of {TABLE}: ECG_ID {record[:80]!r} is no file name")
                if record in seen:
                    raise BadRecord("duplicate_record", f"ECG_ID {record} is in an earlier row, too")
                seen.add(record)
                path = f"records/{record}"
                found.append(_record(record, row))
            except BadRecord as error:
                found.append(RefusedRecord(path, error.reason, error.detail))
        return found


def _record(record: str, row: dict[str, str]) -> SourceRecord:
    patient = patient_id(row["Patient_ID"])
    if not patient:
        raise BadRecord("missing_patient", "Patient_ID is empty")
    codes = [code for code in (one.strip() for one in row["AHA_Code"].split(";")) if code]
    stated = findings((_stated(code) for code in codes), {"aha": codes})
    return SourceRecord(
        record=record,
        patient=patient,
        age_years=age_years(row["Age"]),
        sex=sex(row["Sex"]),
        text="",
        statements=stated.statements,
        superclasses=stated.superclasses,
        strat_fold=None,
        coded_views=stated.coded_views,
        files=((RATE_HZ, f"records/{record}"),),
    )


def _stated(code: str) -> Stated | str:
    return statements().of_aha(code) or foreign("AHA", code)
