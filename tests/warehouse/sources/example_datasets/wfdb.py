"""A folder of WFDB records at two rates, with labels of some of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.leads import STANDARD_LEADS
from tests.warehouse.sources.example_datasets import Example
from tests.warehouse.sources.example_datasets.wfdb_files import ecg, write_record

LABELS = """record,patient,age,sex,labels,text,fold
ward/one,p1,61,F,AFIB; 713427006 ;left axis deviation;unheard of,Atrial fibrillation.,9
ward/gone,p2,50,M,SR,,1
ward/one,p1,61,F,SR,,1
ward/odd,p3,50,M,SR,,11
"""


def write(folder: Path) -> Example:
    """Write it."""
    order = np.random.default_rng(1).permutation(12)
    leads = tuple(STANDARD_LEADS[lead].upper() for lead in order)
    write_record(folder / "ward" / "one", ecg(1)[order], leads=leads)
    write_record(folder / "two", ecg(2))
    write_record(folder / "ward" / "odd", ecg(3))
    write_record(folder / "monitor", ecg(4)[:2], leads=("MLII", "V5"))
    (folder / "labels.csv").write_text(LABELS)
    return Example(
        folder=folder,
        rows=6,
        tables=(),
        rate_hz=500,
        written={"ward/one": ecg(1), "two": ecg(2)},
        unusable={
            "ward/odd": "bad_fold",
            "monitor": "missing_lead",
            "ward/gone": "missing_file",
            "labels.csv row 3": "duplicate_record",
        },
        said={
            "ward/one": {
                "patient": "p1",
                "age_years": 61.0,
                "sex": "female",
                "statements": (("AFIB", 100.0), ("CRBBB", 100.0), ("label:unheard of", 100.0)),
                "superclasses": ("CD",),
                "coded_views": (("axis", ("LAD",)),),
                "text": "Atrial fibrillation.",
                "strat_fold": 9,
            },
            "two": {"patient": "two", "age_years": None, "sex": None, "statements": (), "strat_fold": None},
        },
        foreign=frozenset({"label:unheard of"}),
    )
