"""R peaks by a second detector that shares nothing with ours: XQRS of the WFDB toolbox, on one lead.

`models.ecg.r_peaks` finds the R peaks of the recordings, hence the heart rates that are asked for, and would then
measure what was delivered: an error of its own would go unseen. XQRS (wavelet matched filter with a learned threshold)
reads lead II, or the next lead in which it finds beats, at 500 Hz: at 100 Hz it doubles beats and rates err by 20 bpm.
"""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
from scipy.signal import resample_poly

from models.ecg.r_peaks import mean_rr
from models.leads import INDEPENDENT_LEADS

RATE_HZ: Final = 500
LEAD_ORDER: Final = ("II", "V5", "I", "V2", "V1", "V3", "V4", "V6")
FEWEST_BEATS: Final = 3
MATCH_S: Final = 0.15
"""Two detectors mean the same beat within this distance (ANSI/AAMI EC57)."""
EDGE_S: Final = 0.6
"""Beats this close to either end are not compared: XQRS needs a run-up."""


def independent_r_peaks(signal: np.ndarray, rate_hz: int) -> list[np.ndarray]:
    """R peaks of each recording by XQRS.

    Args:
        signal: (n, 8, samples), mV, leads in the order of `models.leads.INDEPENDENT_LEADS`.

    Returns:
        Per recording the ascending times in seconds; empty where no lead shows three beats.
    """
    return [_of_one(each, rate_hz) for each in signal]


def _of_one(signal: np.ndarray, rate_hz: int) -> np.ndarray:
    from wfdb.processing import xqrs_detect

    found = np.empty(0)
    for lead in LEAD_ORDER:
        trace = signal[INDEPENDENT_LEADS.index(lead)].astype(np.float64)
        if not np.isfinite(trace).all() or not np.ptp(trace):
            continue
        fine = resample_poly(trace, RATE_HZ, rate_hz)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # the mean of no beats, where the detector learns from none
            found = np.sort(np.asarray(xqrs_detect(fine, RATE_HZ, verbose=False), dtype=np.float64)) / RATE_HZ
        if len(found) >= FEWEST_BEATS:
            return found
    return np.empty(0)


def heart_rates(r_peaks_s: list[np.ndarray]) -> np.ndarray:
    """60 over the mean RR interval in seconds, (n,) bpm; NaN for fewer than two R peaks."""
    return 60 / np.array([mean_rr(peaks) for peaks in r_peaks_s])


def compare_r_peaks(ours_s: list[np.ndarray], theirs_s: list[np.ndarray], duration_s: float) -> np.ndarray:
    """How far two detectors agree about each recording.

    Args:
        ours_s, theirs_s: R peaks in seconds.
        duration_s: of a recording; beats within `EDGE_S` of its ends are left out.

    Returns:
        (n, 2): F1 of the beats that both found, and the median distance between those in ms; NaN without any.
    """
    from wfdb.processing import Comparitor

    rows = []
    for ours, theirs in zip(ours_s, theirs_s, strict=True):
        inside = [peaks[(peaks > EDGE_S) & (peaks < duration_s - EDGE_S)] for peaks in (ours, theirs)]
        if not len(inside[0]) or not len(inside[1]):
            rows.append((0.0 if len(inside[0]) or len(inside[1]) else np.nan, np.nan))
            continue
        # A beat at the edge of one detector must not lose its partner at the other's.
        compared = [Comparitor(inside[0], theirs, MATCH_S), Comparitor(inside[1], ours, MATCH_S)]
        for each in compared:
            each.compare()
        sensitivity, precision = (each.tp / each.n_ref for each in compared)
        f1 = 2 * sensitivity * precision / (sensitivity + precision) if sensitivity + precision else 0.0
        apart = np.abs(compared[0].matched_ref_sample - compared[0].matched_test_sample) * 1000
        rows.append((f1, float(np.median(apart)) if len(apart) else np.nan))
    return np.array(rows, dtype=np.float64).reshape(-1, 2)
