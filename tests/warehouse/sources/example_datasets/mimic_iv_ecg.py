"""MIMIC-IV-ECG's layout with made-up people: aVF before aVL, sentinel values, an ECG in a stay and one outside of
it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from models.leads import STANDARD_LEADS
from tests.warehouse.sources.example_datasets import Example
from tests.warehouse.sources.example_datasets.wfdb_files import ecg, write_record
from warehouse.sources.mimic_iv_ecg import MACHINE_COLUMNS, MEASUREMENTS

ORDER = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
HOSPITAL = {
    "patients": ["subject_id,gender,anchor_age,anchor_year", "10,F,60,2150", "11,M,91,2140"],
    "admissions": [
        "subject_id,hadm_id,admittime,dischtime,edregtime",
        "10,900,2152-01-02 03:00:00,2152-01-05 10:00:00,2152-01-01 23:00:00",
        "10,901,2153-01-02 03:00:00,2153-01-05 10:00:00,",
    ],
    "diagnoses_icd": [
        "subject_id,hadm_id,seq_num,icd_code,icd_version",
        "10,900,2,4019,9",
        "10,900,1,I4891,10",
        "10,901,1,J189,10",
        "99,999,1,J189,10",
    ],
    "procedures_icd": ["subject_id,hadm_id,seq_num,icd_code,icd_version", "10,900,1,5A2204Z,10"],
    "prescriptions": [
        "subject_id,hadm_id,drug",
        "10,900,Metoprolol Tartrate",
        "10,900,Aspirin",
        "10,900,Aspirin",
    ],
}
STUDIES = (
    (10, 1000, "2152-01-01 23:30:00"),
    (10, 1001, "2152-06-01 00:00:00"),
    (11, 1002, "2145-01-01 00:00:00"),
    (11, 1003, "yesterday"),
    (11, 1004, "2145-01-02 00:00:00"),
    (10, 1000, "2152-01-01 23:30:00"),
)


def write(folder: Path) -> Example:
    """Write it."""
    (folder / "hosp").mkdir(parents=True)
    for table, lines in HOSPITAL.items():
        (folder / "hosp" / f"{table}.csv").write_text("\n".join(lines) + "\n")
    listed = [
        {"subject_id": patient, "study_id": study, "file_name": study, "ecg_time": time, "path": _path(patient, study)}
        for patient, study, time in STUDIES
    ]
    _write_table(folder / "record_list.csv", listed)
    machine: dict[str, Any] = dict.fromkeys(MACHINE_COLUMNS, "") | dict.fromkeys(MEASUREMENTS, 29999)
    first = {
        "report_0": "Atrial fibrillation with PVC(s)",
        "report_1": "Possible inferior infarct - age undetermined",
        "report_2": "Left axis deviation",
        "report_3": "Cannot rule out anterior infarct",
        "report_4": "No evidence of left ventricular hypertrophy",
        "report_5": "Abnormal ECG",
        "rr_interval": 659,
        "p_axis": 32767,
        "qrs_axis": -40,
        "t_axis": 65535,
    }
    _write_table(
        folder / "machine_measurements.csv",
        [
            machine | {"subject_id": 10, "study_id": 1000} | first,
            machine | {"subject_id": 11, "study_id": 1002, "report_0": "Sinus rhythm."},
            machine | {"subject_id": 10, "study_id": 1004},
        ],
    )
    rows = [STANDARD_LEADS.index(lead) for lead in ORDER]
    for patient, study, _ in STUDIES[:3]:
        write_record(folder / _path(patient, study), ecg(study)[rows], leads=ORDER)
    return Example(
        folder=folder,
        rows=6,
        tables=("record_list.csv", "machine_measurements.csv", "hosp/patients.csv", "hosp/prescriptions.csv"),
        rate_hz=500,
        written={_path(patient, study): ecg(study) for patient, study, _ in STUDIES[:3]},
        unusable={
            _path(11, 1003): "bad_metadata",
            _path(11, 1004): "bad_metadata",
            "record_list.csv row 6": "duplicate_record",
        },
        said={
            _path(10, 1000): {
                "record": "1000",
                "patient": "10",
                "age_years": 62.0,
                "sex": "female",
                "statements": (("AFIB", 100.0), ("PVC", 100.0), ("IMI", 15.0), ("AMI", 15.0), ("ABN", 100.0)),
                "superclasses": ("MI",),
                "coded_views": (
                    ("axis", ("LAD",)),
                    ("diagnoses", ("ICD10:I4891", "ICD9:4019")),
                    ("procedures", ("ICD10:5A2204Z",)),
                    ("medications", ("aspirin", "metoprolol tartrate")),
                    ("machine_measurements", ("rr_interval=659", "qrs_axis=-40")),
                ),
            },
            _path(10, 1001): {"text": "", "statements": (), "coded_views": ()},
            _path(11, 1002): {"age_years": 90.0, "sex": "male", "statements": (("SR", 100.0),), "coded_views": ()},
        },
    )


def _path(patient: int, study: int) -> str:
    return f"files/p{patient}00/p{patient}/s{study}/{study}"


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
