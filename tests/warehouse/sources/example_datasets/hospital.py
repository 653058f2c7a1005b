"""Five formats of ECG carts, and files that are damaged, hostile, or in no format that is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.warehouse.sources.example_datasets import Example, exports
from tests.warehouse.sources.example_datasets.wfdb_files import ecg

WRITERS: dict[str, tuple[Callable[[Path, np.ndarray], None], float]] = {
    "muse/a.xml": (exports.write_muse, 4.88),
    "philips/b.xml": (exports.write_sierra, 5.0),
    "c.XML": (exports.write_aecg, 2.5),
    "d.scp": (exports.write_scp, 1.0),
    "e.dcm": (exports.write_dicom, 1.25),
}
BOMB = """<?xml version="1.0"?>
<!DOCTYPE RestingECG [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<RestingECG><PatientDemographics><PatientID>&b;</PatientID></PatientDemographics></RestingECG>"""
STATED = (("SBRAD", 100.0), ("LVH", 15.0))


def write(folder: Path) -> Example:
    """Write it."""
    written = {}
    for seed, (name, (writer, step)) in enumerate(WRITERS.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        writer(folder / name, ecg(seed))
        written[name] = exports.quantised(ecg(seed), step) * step / 1000
    (folder / "bomb.xml").write_text(BOMB)
    (folder / "cut.xml").write_bytes((folder / "muse/a.xml").read_bytes()[:5000])
    exports.write_muse(folder / "nobody.xml", ecg(1), patient="")
    changed = (folder / "muse/a.xml").read_text("latin-1").replace("<LeadDataCRC32>", "<LeadDataCRC32>1")
    (folder / "other.xml").write_text(changed, "latin-1")
    (folder / "page.xml").write_text("<html><body>an ECG</body></html>")
    scp = bytearray((folder / "d.scp").read_bytes())
    scp[-100] ^= 1
    (folder / "flipped.scp").write_bytes(scp)
    return Example(
        folder=folder,
        rows=11,
        tables=(),
        rate_hz=500,
        written=written,
        unusable={
            "bomb.xml": "bad_export",
            "cut.xml": "bad_export",
            "flipped.scp": "checksum",
            "nobody.xml": "missing_patient",
            "other.xml": "checksum",
            "page.xml": "unsupported_format",
        },
        said={
            "muse/a.xml": {
                "patient": "M1",
                "age_years": 67.0,
                "sex": "female",
                "statements": STATED,
                "superclasses": ("HYP",),
                "coded_views": (("format", ("GE MUSE XML",)),),
                "text": "; ".join(exports.STATEMENTS),
            },
            "philips/b.xml": {"patient": "P2", "age_years": 90.0, "sex": "male", "statements": STATED},
            "c.XML": {"patient": "H3", "age_years": 60.0, "sex": "female", "statements": ()},
            "d.scp": {"patient": "S4", "age_years": 45.0, "sex": "male"},
            "e.dcm": {"patient": "D5", "age_years": 58.0, "sex": "male"},
        },
    )
