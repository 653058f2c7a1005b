"""A small dataset in PTB-XL's layout, written with wfdb, whose records tests can damage one by one."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import wfdb

from models.leads import STANDARD_LEADS, to_twelve_leads

COLUMNS = (
    "ecg_id",
    "patient_id",
    "age",
    "sex",
    "report",
    "scp_codes",
    "strat_fold",
    "filename_lr",
    "filename_hr",
)
STATEMENTS = """,description,diagnostic,form,rhythm,diagnostic_class
NORM,normal ECG,1.0,,,NORM
IMI,inferior myocardial infarction,1.0,,,MI
NDT,non-diagnostic T abnormalities,1.0,1.0,,STTC
AFIB,atrial fibrillation,,,1.0,
SR,sinus rhythm,,,1.0,
"""
# Peak amplitudes in mV of P, Q, R, S, T on I, II, V1 … V6, as in an ordinary adult ECG.
WAVES_MV = np.array(
    [
        [0.08, 0.15, 0.05, 0.06, 0.06, 0.06, 0.06, 0.06],
        [-0.05, -0.08, 0.0, 0.0, -0.02, -0.04, -0.06, -0.06],
        [0.7, 1.0, 0.25, 0.5, 0.8, 1.3, 1.2, 0.9],
        [-0.1, -0.15, -0.9, -1.1, -0.6, -0.4, -0.2, -0.1],
        [0.2, 0.3, 0.05, 0.3, 0.35, 0.35, 0.3, 0.25],
    ]
)
CENTRES_S = np.array([-0.16, -0.03, 0.0, 0.03, 0.26])
WIDTHS_S = np.array([0.025, 0.01, 0.012, 0.012, 0.05])


def ordinary_ecg(seed: int, rate_hz: int = 100, duration_s: float = 10.0) -> np.ndarray:
    """Twelve leads, (12, samples) mV, in the order of `STANDARD_LEADS`, exact lead identities before rounding."""
    random = np.random.default_rng(seed)
    time_s = np.arange(round(rate_hz * duration_s)) / rate_hz
    period_s = random.uniform(0.7, 1.0)
    beats_s = np.arange(random.uniform(0.1, 0.5), duration_s + period_s, period_s)
    offset = time_s[None, None, :] - beats_s[:, None, None] - CENTRES_S[None, :, None]
    bumps = np.exp(-(offset**2) / (2 * WIDTHS_S[None, :, None] ** 2)).sum(axis=0)
    eight = WAVES_MV.T @ bumps + random.normal(0, 0.005, (8, time_s.size))
    return to_twelve_leads(eight)


class SmallDataset:
    """A PTB-XL folder in the making: add records, write the tables, damage files."""

    def __init__(self, folder: Path, records: int = 0) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scp_statements.csv").write_text(STATEMENTS, encoding="utf-8")
        for number in range(1, records + 1):
            self.add(number)
        self.write()

    def add(self, number: int, signal: np.ndarray | None = None, **row: Any) -> None:
        """Add a record; keywords replace values of its row in the database."""
        name = f"{number:05d}_lr"
        self.write_record(name, ordinary_ecg(number) if signal is None else signal)
        self.rows.append(
            {
                "ecg_id": number,
                "patient_id": 1000 + number,
                "age": 40 + number,
                "sex": number % 2,
                "report": f"report {number}",
                "scp_codes": "{'NORM': 100.0, 'SR': 0.0}",
                "strat_fold": (number - 1) % 10 + 1,
                "filename_lr": f"records100/00000/{name}",
                "filename_hr": f"records500/00000/{name.replace('lr', 'hr')}",
            }
            | row
        )

    def write_record(
        self,
        name: str,
        signal: np.ndarray,
        leads: tuple[str, ...] = STANDARD_LEADS,
        rate_hz: int = 100,
        units: tuple[str, ...] | None = None,
        gain: float = 1000.0,
        part: str = "records100",
    ) -> Path:
        """Write a signal (leads, samples), in the given units; returns the record's path without extension."""
        folder = self.folder / part / "00000"
        folder.mkdir(parents=True, exist_ok=True)
        wfdb.wrsamp(
            name,
            fs=rate_hz,
            units=list(units or ["mV"] * len(leads)),
            sig_name=list(leads),
            p_signal=np.asarray(signal, dtype=np.float64).T,
            fmt=["16"] * len(leads),
            adc_gain=[gain] * len(leads),
            baseline=[0] * len(leads),
            write_dir=str(folder),
        )
        return folder / name

    def stem(self, number: int) -> Path:
        """Path of a record without extension."""
        return self.folder / "records100" / "00000" / f"{number:05d}_lr"

    def write(self) -> None:
        """Write the database."""
        with (self.folder / "ptbxl_database.csv").open("w", encoding="utf-8", newline="") as file:
            more = dict.fromkeys(name for row in self.rows for name in row if name not in COLUMNS)
            writer = csv.DictWriter(file, [*COLUMNS, *more])
            writer.writeheader()
            writer.writerows(self.rows)
