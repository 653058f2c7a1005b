"""Small tables of recordings whose truth is known, in the warehouse's schema. Nothing reads their flat waveforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from models.leads import LEAD_COLUMNS, STANDARD_LEADS
from warehouse.schema import recordings

FACTS: dict[str, dict[str, Any]] = {
    "NORM": {"description": "normal ECG", "superclass": "NORM", "kind": "diagnostic"},
    "CLBBB": {"description": "complete left bundle branch block", "superclass": "CD", "kind": "diagnostic"},
    "IMI": {"description": "inferior myocardial infarction", "superclass": "MI", "kind": "diagnostic"},
    "SR": {"description": "sinus rhythm", "superclass": "", "kind": "rhythm"},
    "AFIB": {"description": "atrial fibrillation", "superclass": "", "kind": "rhythm"},
    "STACH": {"description": "sinus tachycardia", "superclass": "", "kind": "rhythm"},
    "SBRAD": {"description": "sinus bradycardia", "superclass": "", "kind": "rhythm"},
    "INVT": {"description": "inverted T-waves", "superclass": "", "kind": "form"},
}

TRUTH: dict[tuple[str, ...], dict[str, Any]] = {
    ("NORM", "SR"): {},
    ("CLBBB", "SR"): {"qrs_ms": 152, "axis_deg": -20, "t": {"V5": -0.2, "V6": -0.2, "I": -0.15, "aVL": -0.15}},
    ("IMI", "SR"): {"st": {"II": 0.18, "III": 0.22, "aVF": 0.2}, "t": {"II": -0.2, "III": -0.2, "aVF": -0.2}},
    ("AFIB",): {"rr_irregularity": 0.22, "p_present": False, "heart_rate_bpm": 104},
    ("STACH",): {"heart_rate_bpm": 122},
    ("SBRAD",): {"heart_rate_bpm": 47},
}
"""What a recording with these statements measures, where it differs from a normal one."""


def recordings_table(
    patients: int = 24, seed: int = 1, truth: dict[tuple[str, ...], dict[str, Any]] | None = None, split: str = "train"
) -> pa.Table:
    """`patients` recordings of each combination of statements, one per patient."""
    rng = np.random.default_rng(seed)
    schema = recordings(samples=4)
    rows = []
    for codes, differs in (TRUTH if truth is None else truth).items():
        for number in range(patients):
            name = f"{'-'.join(codes)}-{seed}-{number}"
            p_present = differs.get("p_present", True)
            rate = differs.get("heart_rate_bpm", 74) + rng.normal(0, 5)
            row = {
                "recording_id": name,
                "patient_key": f"patient-{name}",
                "source": "test",
                "simulated": True,
                "window_start_s": 0.0,
                "strat_fold": 1,
                "split": split,
                "age_years": float(rng.integers(30, 89)),
                "sex": ("female", "male")[number % 2],
                "text": f"report of {name}",
                "statements": [
                    {"code": code, "likelihood": 100.0 if code in ("NORM", "CLBBB", "IMI") else 0.0} for code in codes
                ],
                "superclasses": [],
                "quality_flags": [],
                "heart_rate_bpm": rate,
                "rr_irregularity": abs(differs.get("rr_irregularity", 0.03) + rng.normal(0, 0.01)),
                "r_peaks": round(rate / 6),
                "pr_ms": 160 + rng.normal(0, 10) if p_present else None,
                "qrs_ms": differs.get("qrs_ms", 92) + rng.normal(0, 6),
                "qt_ms": 380 + rng.normal(0, 15),
                "qtc_ms": 415 + rng.normal(0, 15),
                "axis_deg": differs.get("axis_deg", 45) + rng.normal(0, 15),
                "p_present": p_present,
                "st_level_mv": _per_lead(rng, 0.01, differs.get("st", {})),
                "t_amplitude_mv": _per_lead(rng, 0.25, differs.get("t", {})),
                "r_amplitude_mv": _per_lead(rng, 0.8, {}),
            }
            rows.append(row | {name: [0, 0, 0, 0] for name in LEAD_COLUMNS})
    return pa.Table.from_pylist(rows, schema=schema)


def _per_lead(rng: np.random.Generator, usual: float, differs: dict[str, float]) -> list[float]:
    return [differs.get(lead, usual) + rng.normal(0, 0.02) for lead in STANDARD_LEADS]
