"""PTB-XL's layout with two sampling rates, a record whose leads are in another order, and damage of several kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.leads import STANDARD_LEADS
from tests.warehouse.small_dataset import SmallDataset, ordinary_ecg
from tests.warehouse.sources.example_datasets import Example

RECORDS = 10


def write(folder: Path) -> Example:
    """Write it."""
    dataset = SmallDataset(folder, RECORDS)
    order = np.random.default_rng(1).permutation(len(STANDARD_LEADS))
    names = tuple(STANDARD_LEADS[lead].lower() for lead in order)
    dataset.write_record("00003_lr", ordinary_ecg(3)[order], leads=names)
    dataset.write_record("00001_hr", ordinary_ecg(1, rate_hz=500), rate_hz=500, part="records500")
    dataset.stem(2).with_suffix(".hea").unlink()
    signal = dataset.stem(5).with_suffix(".dat")
    signal.write_bytes(signal.read_bytes()[:100])
    dataset.rows[3]["scp_codes"] = "{'NORM': 80.0, 'XYZ': 0.0}"
    dataset.rows[7]["scp_codes"] = "nothing"
    dataset.rows[8]["ecg_id"] = 1
    dataset.write()
    unusable = {2: "missing_file", 5: "bad_signal", 8: "bad_statements", 9: "duplicate_record"}
    return Example(
        folder=folder,
        rows=RECORDS,
        tables=("ptbxl_database.csv", "scp_statements.csv"),
        rate_hz=100,
        written={_path(n): ordinary_ecg(n) for n in range(1, RECORDS + 1) if n not in unusable},
        unusable={_path(number): reason for number, reason in unusable.items()},
        said={
            _path(4): {
                "record": "4",
                "patient": "1004",
                "age_years": 44.0,
                "sex": "male",
                "statements": (("NORM", 80.0), ("XYZ", 0.0)),
                "superclasses": ("NORM",),
                "strat_fold": 4,
            }
        },
        foreign=frozenset({"XYZ"}),
    )


def _path(number: int) -> str:
    return f"records100/00000/{number:05d}_lr"
