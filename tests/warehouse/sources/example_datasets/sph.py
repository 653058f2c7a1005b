"""SPH's layout: HDF5 files of float16 mV, AHA codes with modifiers."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from tests.warehouse.sources.example_datasets import Example
from tests.warehouse.sources.example_datasets.wfdb_files import ecg

TABLE = """ECG_ID,AHA_Code,Patient_ID,Age,Sex,N,Date
A00001,22;23,S00001,55,M,5000,2020-03-04
A00002,148+312;147+367;121;999+310,S00001,91,F,5000,2020-03-05
A00003,1,S00002,32,M,5000,2019-09-03
A00004,1,,32,M,5000,2019-09-03
A00005,1,S00004,32,M,5000,2019-09-03
../A00006,1,S00004,32,M,5000,2019-09-03
"""


def write(folder: Path) -> Example:
    """Write it."""
    (folder / "records").mkdir(parents=True)
    (folder / "metadata.csv").write_text(TABLE)
    for number in (1, 2, 4, 5):
        with h5py.File(folder / "records" / f"A{number:05d}.h5", "w") as file:
            file["ecg"] = _stored(number)
    (folder / "records" / "A00005.h5").write_bytes(b"no HDF5")
    return Example(
        folder=folder,
        rows=6,
        tables=("metadata.csv",),
        rate_hz=500,
        written={f"records/A{number:05d}": _stored(number).astype(np.float64) for number in (1, 2)},
        unusable={
            "records/A00003": "missing_file",
            "records/A00004": "missing_patient",
            "records/A00005": "bad_signal",
            "metadata.csv row 6": "bad_path",
        },
        said={
            "records/A00001": {
                "record": "A00001",
                "patient": "S00001",
                "age_years": 55.0,
                "sex": "male",
                "statements": (("SBRAD", 100.0), ("SARRH", 100.0)),
                "coded_views": (("aha", ("22", "23")),),
            },
            "records/A00002": {
                "age_years": 90.0,
                "sex": "female",
                "statements": (("LNGQT", 15.0), ("INVT", 100.0), ("AHA:999+310", 100.0)),
                "superclasses": ("STTC",),
                "coded_views": (("axis", ("LAD",)), ("aha", ("148+312", "147+367", "121", "999+310"))),
            },
        },
        foreign=frozenset({"AHA:999+310"}),
    )


def _stored(number: int) -> np.ndarray:
    return ecg(number).astype(np.float16)
