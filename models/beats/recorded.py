"""The usual and the ectopic beat of recordings, fitted as events of the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from models.beats.beats import Beats
from models.ecg.median_beats import GRID_HZ, R_INDEX, median_beats
from models.simulator.beat_events import fit_median_beats

VENTRICULAR_PREMATURE: Final = 2
PACED: Final = 4
FEWEST: Final = 2
"""Beats that a median needs."""
ECTOPIC_FROM_S: Final = -0.1
"""What comes earlier is the T wave of the beat before: an ectopic beat has no P wave."""


def beats_of_recordings(
    signal: np.ndarray, r_peaks: Sequence[np.ndarray], kinds: Sequence[np.ndarray], rate_hz: float
) -> tuple[np.ndarray, Beats]:
    """Fit the events to the median of each recording's usual beats and to that of its ectopic ones.

    Both are fitted at the usual RR interval of the recording. Where fewer than two beats are usual, the usual beat is
    that of all.

    Args:
        signal: (n, 8, samples) mV.
        r_peaks: positions in samples per recording, from `models.ecg.r_peaks.locate_r_peaks`.
        kinds: the kind of each of these beats: `VENTRICULAR_PREMATURE`, `PACED`, or any other number. Ventricular
            premature beats are ectopic, and paced ones of somebody whose beats mostly are not paced.
        rate_hz: sampling rate.

    Returns:
        Index of each recording with at least two R peaks, (kept,), and their beats.
    """
    ectopic = [_ectopic(kind) for kind in kinds]
    usual_peaks = [
        peaks[~other] if (~other).sum() >= FEWEST else peaks for peaks, other in zip(r_peaks, ectopic, strict=True)
    ]
    found = median_beats(signal, usual_peaks, rate_hz)
    rows = found.rows
    rr_s = np.array([np.median(np.diff(r_peaks[row])) / rate_hz for row in rows])
    usual = fit_median_beats(found.beat, rr_s)
    with_ectopic = np.flatnonzero([ectopic[row].any() for row in rows])
    # A single beat is given twice: a median is of at least two.
    twice = [np.repeat(r_peaks[row][ectopic[row]], 2) for row in rows[with_ectopic]]
    others = median_beats(signal[rows[with_ectopic]], twice, rate_hz).beat
    # Held where it begins, so that its baseline is not drawn through the beat before.
    first = R_INDEX + round(ECTOPIC_FROM_S * GRID_HZ)
    others = others[..., np.maximum(np.arange(others.shape[-1]), first)]
    drawn = torch.zeros_like(usual)
    drawn[with_ectopic] = fit_median_beats(others, rr_s[with_ectopic], ECTOPIC_FROM_S)
    has_ectopic = torch.zeros(len(rows), dtype=torch.bool)
    has_ectopic[with_ectopic] = True
    return rows, Beats(usual, drawn, has_ectopic)


def _ectopic(kinds: np.ndarray) -> np.ndarray:
    paced = kinds == PACED
    return (kinds == VENTRICULAR_PREMATURE) | (paced & (2 * paced.sum() < len(kinds)))
