"""LUDB for tests: signals in mV and the boundaries that cardiologists marked on every lead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb

from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS

RATE_HZ = 500


@dataclass(frozen=True)
class Annotated:
    """A recording and its references: R peaks in seconds (lead II), median intervals in ms."""

    signal: np.ndarray
    r_peaks_s: np.ndarray
    qrs_ms: float
    pr_ms: float
    qt_ms: float


def read_ludb(folder: Path) -> list[Annotated]:
    """All recordings of LUDB, in the order of their numbers."""
    headers = sorted((folder / "data").glob("*.hea"), key=lambda path: int(path.stem))
    return [_read(header.with_suffix("")) for header in headers]


def _read(stem: Path) -> Annotated:
    record = wfdb.rdrecord(str(stem), physical=False)
    channel = {name.upper(): index for index, name in enumerate(record.sig_name)}
    # Counts are µV; the header's gains rescale each lead on its own and break the lead identities.
    signal = np.stack([record.d_signal[:, channel[lead.upper()]] for lead in INDEPENDENT_LEADS]) / 1000.0
    waves = {lead: _waves(stem, lead) for lead in STANDARD_LEADS}
    r_peaks = np.array([peak for symbol, _, peak, _ in waves["II"] if symbol == "N"])
    intervals = np.array([_intervals(waves, peak) for peak in r_peaks]) * 1000.0 / RATE_HZ
    known = [column[np.isfinite(column)] for column in intervals.T]
    qrs, pr, qt = (float(np.median(column)) if len(column) else np.nan for column in known)
    return Annotated(signal.astype(np.float32), r_peaks / RATE_HZ, qrs, pr, qt)


def _waves(stem: Path, lead: str) -> list[tuple[str, float, int, float]]:
    """(kind, onset, peak, offset) of each wave marked on a lead; p, N or t; NaN where a boundary was not marked."""
    marks = wfdb.rdann(str(stem), lead.lower())
    found = []
    for index, symbol in enumerate(marks.symbol):
        if symbol in "pNt":
            opened = index > 0 and marks.symbol[index - 1] == "("
            closed = index + 1 < len(marks.symbol) and marks.symbol[index + 1] == ")"
            onset = float(marks.sample[index - 1]) if opened else np.nan
            offset = float(marks.sample[index + 1]) if closed else np.nan
            found.append((symbol, onset, int(marks.sample[index]), offset))
    return found


def _intervals(waves: dict[str, list[tuple[str, float, int, float]]], r_peak: int) -> tuple[float, float, float]:
    """QRS, PR and QT of one beat in samples, between the medians over leads of the marked boundaries."""
    qrs = [wave for lead in waves.values() for wave in lead if wave[0] == "N" and abs(wave[2] - r_peak) < 50]
    p = [onset for lead in waves.values() for kind, onset, peak, _ in lead if kind == "p" and 0 < r_peak - peak < 200]
    t = [offset for lead in waves.values() for kind, _, peak, offset in lead if kind == "t" and 0 < peak - r_peak < 350]
    onset, offset = np.nanmedian([wave[1] for wave in qrs]), np.nanmedian([wave[3] for wave in qrs])
    enough = len(STANDARD_LEADS) // 2
    pr = onset - np.nanmedian(p) if len(p) >= enough else np.nan
    qt = np.nanmedian(t) - onset if len(t) >= enough else np.nan
    return float(offset - onset), float(pr), float(qt)
