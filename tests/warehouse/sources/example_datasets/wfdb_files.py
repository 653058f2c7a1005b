"""WFDB records for the examples, as each dataset writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io
import wfdb

from models.leads import STANDARD_LEADS
from tests.warehouse.small_dataset import ordinary_ecg

RATE_HZ = 500


def ecg(seed: int, rate_hz: int = RATE_HZ) -> np.ndarray:
    """(12, 10 s) mV, leads in the order of `STANDARD_LEADS`."""
    return ordinary_ecg(seed, rate_hz=rate_hz)


def write_record(
    stem: Path,
    signal: np.ndarray,
    comments: list[str] | None = None,
    leads: tuple[str, ...] = STANDARD_LEADS,
    rate_hz: int = RATE_HZ,
) -> None:
    """Write a header and a .dat of 1 µV per digital unit."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        stem.name,
        fs=rate_hz,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        p_signal=np.asarray(signal, dtype=np.float64).T,
        fmt=["16"] * len(leads),
        adc_gain=[1000.0] * len(leads),
        baseline=[0] * len(leads),
        comments=comments,
        write_dir=str(stem.parent),
    )


def write_matlab_record(stem: Path, signal: np.ndarray, comments: list[str], rate_hz: int = RATE_HZ) -> None:
    """Write a header and a MATLAB 4 file of microvolts, as the challenges of PhysioNet do."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    microvolts = np.round(signal * 1000).astype(np.int16)
    scipy.io.savemat(f"{stem}.mat", {"val": microvolts}, format="4")
    sums = (microvolts.sum(axis=1, dtype=np.int64) + 32768) % 65536 - 32768
    lines = [f"{stem.name} {len(signal)} {rate_hz} {signal.shape[1]} 05-Feb-2020 11:39:16"]
    lines += [
        f"{stem.name}.mat 16+24 1000/mV 16 0 {row[0]} {total} 0 {lead}"
        for lead, row, total in zip(STANDARD_LEADS, microvolts, sums, strict=True)
    ]
    stem.with_suffix(".hea").write_text("\n".join([*lines, *(f"#{comment}" for comment in comments)]) + "\n")
