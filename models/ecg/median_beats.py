"""The median beat of a recording, on a common 500 Hz grid.

Aligning the beats and taking their median removes noise, ectopic beats and whatever is not locked to the QRS complex.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline

from models.ecg.medians import median
from models.ecg.r_peaks import mean_rr

GRID_HZ = 500
"""Rate of median beats, whatever the recording's own: 2 ms per sample, as electrocardiographs delineate."""
BEFORE_R_S, AFTER_R_S = 0.50, 0.74
R_INDEX = round(BEFORE_R_S * GRID_HZ)
ALIGN_S = 0.03
PR_SEGMENT_S = (0.12, 0.05)
"""Stretch before the R peak whose mean is taken off each beat before alignment."""
LATEST_P_S = 0.06
SMALLEST_SPREAD_MV = 0.005
"""Deviation between beats that no lead is below."""
EARLY, FEWEST_DUE = 0.85, 3
"""A beat is early when it follows the one before within this share of the mean RR interval."""


@dataclass(frozen=True)
class MedianBeats:
    """Median beats of the recordings that have at least two R peaks.

    Attributes:
        rows: (kept,) index of each in the batch.
        beat: (kept, 8, samples) mV at `GRID_HZ`, R peak at sample `R_INDEX`.
        rr_s: (kept,) mean RR interval in seconds (`models.ecg.r_peaks.mean_rr`).
        p_coherence: (kept,) share of the signal before the QRS complex that repeats from beat to beat, 0 to 1.
    """

    rows: np.ndarray
    beat: np.ndarray
    rr_s: np.ndarray
    p_coherence: np.ndarray


def earliest_p_s(rr_s: np.ndarray) -> np.ndarray:
    """How long before the R peak a P wave may begin, in seconds, so that the T wave of the beat before stays out."""
    return np.clip(rr_s - 0.42 * np.sqrt(rr_s), 0.17, 0.36)


def median_beats(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> MedianBeats:
    """Align the beats of each recording and take their median.

    Args:
        signal: (batch, 8, samples) mV.
        r_peaks: positions in samples per recording, from `models.ecg.r_peaks.locate_r_peaks`.
        rate_hz: sampling rate of `signal`.
    """
    before, after, slack = round(BEFORE_R_S * rate_hz), round(AFTER_R_S * rate_hz), round(ALIGN_S * rate_hz)
    rows = np.asarray([row for row, peaks in enumerate(r_peaks) if len(peaks) >= 2], dtype=np.int64)
    rr_s = np.asarray([mean_rr(r_peaks[row]) / rate_hz for row in rows])
    earliest = earliest_p_s(rr_s)
    native = np.zeros((len(rows), signal.shape[1], before + after + 1), dtype=np.float32)
    coherence = np.zeros(len(rows), dtype=np.float32)
    offsets = np.arange(-before - slack, after + slack + 1)
    centre = before + slack
    level = slice(centre - round(PR_SEGMENT_S[0] * rate_hz), centre - round(PR_SEGMENT_S[1] * rate_hz))
    beats_at: list[np.ndarray] = []
    of_count = defaultdict(list)
    for position, row in enumerate(rows):
        peaks = np.rint(_own_beats(r_peaks[row])).astype(np.int64)
        whole = peaks[(peaks >= centre) & (peaks < signal.shape[2] - after - slack)]
        # A recording too short for two whole beats is measured on cut ones, their edges repeated.
        beats_at.append(whole if len(whole) >= 2 else peaks)
        of_count[len(beats_at[-1])].append(position)
    lead = np.arange(signal.shape[1])[:, None]
    for several in of_count.values():
        index = np.stack([beats_at[position] for position in several])[..., None, None] + offsets
        index = np.minimum(np.maximum(index, 0), signal.shape[2] - 1)
        beats = signal[rows[several][:, None, None, None], lead, index]
        beats = _align(beats - beats[..., level].mean(axis=-1, keepdims=True), centre, round(0.08 * rate_hz), slack)
        native[several] = median(beats, axis=1)
        for position, of_one in zip(several, beats, strict=True):
            first = before - round(earliest[position] * rate_hz)
            coherence[position] = _coherence(of_one[..., first : before - round(LATEST_P_S * rate_hz) + 1])
    return MedianBeats(rows, native @ _interpolation(before, after, rate_hz), rr_s, coherence)


def _own_beats(r_peaks: np.ndarray) -> np.ndarray:
    """The beats that come when they are due; all where fewer than three do.

    Premature beats would be half of a bigeminy's median, and a beat early in atrial fibrillation rides on the T wave
    before it.
    """
    intervals = np.diff(r_peaks)
    due = r_peaks[1:][intervals >= EARLY * np.mean(intervals)]
    return due if len(due) >= FEWEST_DUE else r_peaks


def _align(beats: np.ndarray, centre: int, half: int, slack: int) -> np.ndarray:
    """Shift each beat by up to `slack` samples to fit its recording's median QRS complex, and cut the slack off.

    Args:
        beats: (recordings, beats, leads, samples).
    """
    template = median(beats[..., centre - half : centre + half + 1], axis=1)[:, None]
    misfit = [
        ((beats[..., centre - half + shift : centre + half + 1 + shift] - template) ** 2).sum(axis=(2, 3))
        for shift in range(-slack, slack + 1)
    ]
    shifts = np.argmin(misfit, axis=0)[..., None, None] + np.arange(beats.shape[-1] - 2 * slack)
    return np.take_along_axis(beats, shifts, axis=-1)


def _coherence(window: np.ndarray) -> float:
    """Share of the power of aligned beats, (beats, leads, samples), that their mean explains, after removing trends.

    A P wave repeats from beat to beat; fibrillation waves and noise do not.
    """
    count = len(window)
    ramp = np.linspace(-1.0, 1.0, window.shape[-1], dtype=window.dtype)
    window = window - window.mean(axis=-1, keepdims=True)
    window = window - ramp * ((window @ ramp) / (ramp @ ramp))[..., None]
    mean = window.mean(axis=0)
    spread = ((window - mean) ** 2).sum(axis=0) / max(count - 1, 1)
    # Each lead counts by how little it varies, so that a noisy one does not hide the P waves of the others.
    weight = 1.0 / (spread.mean(axis=-1) + SMALLEST_SPREAD_MV**2)
    explained = max(float(weight @ (mean**2 - spread / count).mean(axis=-1)), 0.0)
    return explained / (explained + float(weight @ spread.mean(axis=-1)) + 1e-9)


@cache
def _interpolation(before: int, after: int, rate_hz: float) -> np.ndarray:
    """Matrix of the cubic spline from a beat at `rate_hz` to `GRID_HZ`: one product resamples a whole batch."""
    source = np.arange(-before, after + 1) / rate_hz
    target = np.arange(-R_INDEX, round(AFTER_R_S * GRID_HZ) + 1) / GRID_HZ
    return CubicSpline(source, np.eye(len(source)))(target).T.astype(np.float32)
