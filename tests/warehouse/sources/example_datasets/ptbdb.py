"""PTB Diagnostic's layout: folders of patients, 1000 Hz, clinical diagnoses in the header."""

from __future__ import annotations

from pathlib import Path

from tests.warehouse.sources.example_datasets import Example
from tests.warehouse.sources.example_datasets.wfdb_files import ecg, write_record

RATE_HZ = 1000


def write(folder: Path) -> Example:
    """Write it."""
    headers = {
        "patient001/s0010_re": [
            "age: 81",
            "sex: female",
            "Diagnose:",
            "Reason for admission: Myocardial infarction",
            "Acute infarction (localization): infero-lateral",
            "Former infarction (localization): no",
            "Additional diagnoses: Arterial hypertension, Diabetes mellitus",
        ],
        "patient001/s0014_re": ["age: n/a", "sex: male", "Reason for admission: Healthy control"],
        "patient002/s0015_re": ["age: 40", "sex: male", "Reason for admission: n/a"],
    }
    for seed, (stem, comments) in enumerate(headers.items()):
        write_record(folder / stem, ecg(seed, RATE_HZ), comments, rate_hz=RATE_HZ)
    signal = folder / "patient002/s0015_re.dat"
    signal.write_bytes(signal.read_bytes()[:100])
    return Example(
        folder=folder,
        rows=3,
        tables=(),
        rate_hz=RATE_HZ,
        written={stem: ecg(seed, RATE_HZ) for seed, stem in enumerate(headers) if seed < 2},
        unusable={"patient002/s0015_re": "bad_signal"},
        said={
            "patient001/s0010_re": {
                "patient": "patient001",
                "age_years": 81.0,
                "sex": "female",
                "statements": (
                    ("ILMI", 0.0),
                    ("PTBDB:Arterial hypertension", 0.0),
                    ("PTBDB:Diabetes mellitus", 0.0),
                ),
                "superclasses": ("MI",),
            },
            "patient001/s0014_re": {"patient": "patient001", "age_years": None, "statements": (("NORM", 0.0),)},
            "patient002/s0015_re": {"statements": ()},
        },
        foreign=frozenset({"PTBDB:Arterial hypertension", "PTBDB:Diabetes mellitus"}),
    )
