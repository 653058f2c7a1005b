"""LUDB's layout: gains that scale every lead by itself, lead names in lower case, diagnoses in the header."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.leads import STANDARD_LEADS
from tests.warehouse.sources.example_datasets import Example
from tests.warehouse.sources.example_datasets.wfdb_files import ecg

DIAGNOSES = [
    "Rhythm: Sinus bradycardia.",
    "Electric axis of the heart: left axis deviation. ",
    "Left ventricular hypertrophy. ",
    "Undefined ischemia/scar/supp.NSTEMI: apical.",
]


def write(folder: Path) -> Example:
    """Write it."""
    for number in (1, 2, 10):
        _write(folder / "data" / str(number), ecg(number), seed=number)
    (folder / "data" / "2.hea").write_text("2 12 500 5000\n")
    (folder / "data" / "1.ii").write_bytes(b"\x00\x00")
    return Example(
        folder=folder,
        rows=3,
        tables=(),
        rate_hz=500,
        written={f"data/{number}": ecg(number) for number in (1, 10)},
        unusable={"data/2": "bad_header"},
        said={
            "data/1": {
                "record": "1",
                "patient": "1",
                "age_years": 51.0,
                "sex": "female",
                "statements": (("SBRAD", 100.0), ("LVH", 100.0), (f"LUDB:{DIAGNOSES[3].strip(' .')}", 100.0)),
                "superclasses": ("HYP",),
                "coded_views": (("axis", ("LAD",)),),
                "text": "; ".join(line.strip(" .") for line in DIAGNOSES),
            }
        },
        foreign=frozenset({f"LUDB:{DIAGNOSES[3].strip(' .')}"}),
    )


def _write(stem: Path, signal: np.ndarray, seed: int) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    microvolts = np.round(signal * 1000).astype("<i2")
    microvolts.T.tofile(f"{stem}.dat")
    random = np.random.default_rng(seed)
    sums = (microvolts.sum(axis=1, dtype=np.int64) + 32768) % 65536 - 32768
    lines = [f"{stem.name} 12 500 {signal.shape[1]}"] + [
        f"{stem.name}.dat 16 {random.integers(600, 2400)}({random.integers(-6, 6)})/mV 0 0 {row[0]} {total} 0 "
        f"{lead.lower()}"
        for lead, row, total in zip(STANDARD_LEADS, microvolts, sums, strict=True)
    ]
    lines += ["#<age>: 51", "#<sex>: F", "#<diagnoses>:", *(f"#{line}" for line in DIAGNOSES)]
    stem.with_suffix(".hea").write_text("\n".join(lines) + "\n")
