"""Three centres of the challenge of 2021: SNOMED CT concepts and words, a folder in a folder, and damage."""

from __future__ import annotations

from pathlib import Path

from tests.warehouse.sources.example_datasets import Example
from tests.warehouse.sources.example_datasets.wfdb_files import ecg, write_matlab_record


def write(folder: Path) -> Example:
    """Write it."""
    dx = {
        "training/cpsc_2018/A0001": ["Age: 74", "Sex: Male", "Dx: AF,RBBB", "Rx: Unknown"],
        "training/georgia/g1/E00001": ["Age: 300", "Sex: Female", "Dx: 164889003,39732003,284470004,999"],
        "training/georgia/g1/E00002": ["Age: NaN", "Sex: Unknown", "Dx: 63593006,284470004"],
        "training/ptb/S0001": ["Age: 50", "Sex: F", "Dx: 164865005"],
        "training/ptb/S0002": ["Age: 50", "Sex: F", "Dx: 164865005"],
        "training/ningbo/S0002": ["Age: 50", "Sex: F", "Dx: 426783006"],
    }
    for seed, (stem, comments) in enumerate(dx.items()):
        write_matlab_record(folder / stem, ecg(seed), comments)
    (folder / "training/ptb/S0001.mat").unlink()
    unusable = {"training/ptb/S0001": "missing_file", "training/ptb/S0002": "duplicate_record"}
    return Example(
        folder=folder,
        rows=len(dx),
        tables=(),
        rate_hz=500,
        written={stem: ecg(seed) for seed, stem in enumerate(dx) if stem not in unusable},
        unusable=unusable,
        said={
            "training/cpsc_2018/A0001": {
                "record": "A0001",
                "patient": "A0001",
                "age_years": 74.0,
                "sex": "male",
                "statements": (("AFIB", 100.0), ("CRBBB", 100.0)),
                "superclasses": ("CD",),
                "coded_views": (("centre", ("cpsc_2018",)),),
            },
            "training/georgia/g1/E00001": {
                "age_years": 90.0,
                "sex": "female",
                "statements": (("AFIB", 100.0), ("PAC", 100.0), ("SNOMED:999", 100.0)),
                "superclasses": (),
                "strat_fold": None,
                "coded_views": (
                    ("axis", ("LAD",)),
                    ("snomed", ("164889003", "39732003", "284470004", "999")),
                    ("centre", ("georgia",)),
                ),
            },
            # The challenge scores both concepts as one diagnosis.
            "training/georgia/g1/E00002": {"age_years": None, "sex": None, "statements": (("PAC", 100.0),)},
        },
        foreign=frozenset({"SNOMED:999"}),
    )
