"""PTB-XL and a challenge that holds copies of PTB-XL, and two wards of one layout, as one dataset."""

from __future__ import annotations

from pathlib import Path

from tests.warehouse.small_dataset import SmallDataset
from tests.warehouse.sources.example_datasets import Example, cinc, wfdb
from tests.warehouse.sources.example_datasets.wfdb_files import ecg, write_matlab_record, write_record

PTBXL = "ptbxl/records500/00000/00001_hr"
COPY = "cinc/training/ptb-xl/HR00001"


def write(folder: Path) -> Example:
    """Write it."""
    other, ward = cinc.write(folder / "cinc"), wfdb.write(folder / "north.wfdb")
    SmallDataset(folder / "ptbxl", records=1).write_record("00001_hr", ecg(1), rate_hz=500, part="records500")
    write_matlab_record(folder / COPY, ecg(1), ["Age: 56", "Sex: Female", "Dx: 426783006"])
    write_record(folder / "south.wfdb" / "two", ecg(2))
    parts = {"cinc": other, "north.wfdb": ward}
    written = {f"{place}/{path}": samples for place, part in parts.items() for path, samples in part.written.items()}
    refused = {f"{place}/{path}": reason for place, part in parts.items() for path, reason in part.unusable.items()}
    return Example(
        folder=folder,
        rows=sum(part.rows for part in parts.values()) + 3,
        tables=(),
        rate_hz=500,
        written={PTBXL: ecg(1), **written, "south.wfdb/two": ecg(2)},
        unusable=refused | {COPY: "duplicate_record"},
        said={
            PTBXL: {"record": "ptbxl/1", "patient": "ptbxl/1001", "dataset": "ptbxl", "strat_fold": 1},
            "cinc/training/cpsc_2018/A0001": {"record": "cinc/A0001", "patient": "cinc/A0001", "dataset": "cinc"},
            "north.wfdb/two": {"record": "north.wfdb/two", "patient": "north/two", "dataset": "north"},
            "south.wfdb/two": {"record": "south.wfdb/two", "patient": "south/two", "dataset": "south"},
        },
        foreign=other.foreign | ward.foreign,
    )
