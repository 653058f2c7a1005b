"""LUDB: signals in mV, and the R peaks and boundaries that cardiologists marked on every lead.

LUDB measures the delineator; nothing is trained or chosen on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import wfdb

from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS

RATE_HZ: Final = 500
BOUNDARIES: Final = ("P onset", "QRS onset", "QRS offset", "T offset")
Waves = list[tuple[str, float, int, float]]
"""(kind, onset, peak, offset) of each wave marked on a lead; p, N or t; NaN where a boundary was not marked."""


@dataclass(frozen=True)
class Annotated:
    """A recording and its references.

    Attributes:
        signal: (8, samples) float32 mV at `RATE_HZ`.
        r_peaks_s: (beats,) of lead II.
        boundaries_s: (beats, 4) `BOUNDARIES` in seconds, each the median over the leads; NaN where fewer than half of
            the leads show the wave.
        lead_ii_s: the same as marked on lead II alone.
        qrs_ms, pr_ms, qt_ms: median over the beats, NaN where no beat shows the wave.
    """

    signal: np.ndarray
    r_peaks_s: np.ndarray
    boundaries_s: np.ndarray
    lead_ii_s: np.ndarray
    qrs_ms: float
    pr_ms: float
    qt_ms: float


def read_ludb(folder: Path, count: int | None = None) -> list[Annotated]:
    """The first recordings of LUDB, or all, in the order of their numbers."""
    headers = sorted((folder / "data").glob("*.hea"), key=lambda path: int(path.stem))
    return [_read(header.with_suffix("")) for header in headers[:count]]


def _read(stem: Path) -> Annotated:
    record = wfdb.rdrecord(str(stem), physical=False)
    channel = {name.upper(): index for index, name in enumerate(record.sig_name)}
    # Counts are µV; the header's gains rescale each lead on its own and break the lead identities.
    signal = np.stack([record.d_signal[:, channel[lead.upper()]] for lead in INDEPENDENT_LEADS]) / 1000.0
    waves = {lead: _waves(stem, lead) for lead in STANDARD_LEADS}
    r_peaks = np.array([peak for symbol, _, peak, _ in waves["II"] if symbol == "N"])
    of_leads, of_ii = (
        np.array([_boundaries(leads, peak) for peak in r_peaks]) / RATE_HZ
        for leads in (list(waves.values()), [waves["II"]])
    )
    p, onset, offset, t = of_leads.T
    qrs, pr, qt = (_median_ms(interval) for interval in (offset - onset, onset - p, t - onset))
    return Annotated(signal.astype(np.float32), r_peaks / RATE_HZ, of_leads, of_ii, qrs, pr, qt)


def _waves(stem: Path, lead: str) -> Waves:
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


def _boundaries(leads: list[Waves], r_peak: int) -> tuple[float, float, float, float]:
    """`BOUNDARIES` of one beat in samples, each the median of those marked on the leads."""
    waves = [wave for lead in leads for wave in lead]
    qrs = [wave for wave in waves if wave[0] == "N" and abs(wave[2] - r_peak) < 50]
    p = [onset for kind, onset, peak, _ in waves if kind == "p" and 0 < r_peak - peak < 200]
    t = [offset for kind, _, peak, offset in waves if kind == "t" and 0 < peak - r_peak < 350]
    enough = (len(leads) + 1) // 2
    return (
        _median(p) if len(p) >= enough else np.nan,
        _median([wave[1] for wave in qrs]),
        _median([wave[3] for wave in qrs]),
        _median(t) if len(t) >= enough else np.nan,
    )


def _median(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else np.nan


def _median_ms(seconds: np.ndarray) -> float:
    return 1000.0 * _median(seconds.tolist())
