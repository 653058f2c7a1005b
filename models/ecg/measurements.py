"""What an electrocardiograph prints above the traces: heart rate, intervals, axis, ST levels.

The same functions measure real, simulated and generated ECGs, so that their distributions can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.ecg.delineation import Boundaries, delineate, pr_level
from models.ecg.median_beats import GRID_HZ, MedianBeats, median_beats
from models.ecg.quality_flags import flat_standard_leads
from models.leads import INDEPENDENT_LEADS, LIMB_LEAD_IDENTITIES, STANDARD_LEADS, to_twelve_leads

SCALAR_FEATURES: Final = (
    "heart_rate_bpm",
    "rr_irregularity",
    "r_peaks",
    "pr_ms",
    "qrs_ms",
    "qt_ms",
    "qtc_ms",
    "axis_deg",
)
IRREGULAR_RR: Final = 0.12
"""`rr_irregularity` above which a rhythm counts as irregular."""
LEAD_FEATURES: Final = ("st_level_mv", "t_amplitude_mv", "r_amplitude_mv")

CHUNK = 256
"""Recordings measured at once: bounds memory."""
ST_AFTER_J = round(0.06 * GRID_HZ)


def measure(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> dict[str, np.ndarray]:
    """Measure each recording.

    Args:
        signal: (batch, 8, samples), mV, leads in the order of `models.leads.INDEPENDENT_LEADS`.
        r_peaks: positions in samples per recording, from `models.ecg.r_peaks.locate_r_peaks`.
        rate_hz: sampling rate.

    Returns:
        Feature name to array. (batch,) each: `heart_rate_bpm` (60 over the mean RR), `rr_irregularity` (standard
        deviation of RR over its mean), `r_peaks` (count), `pr_ms`, `qrs_ms`, `qt_ms`, `qtc_ms` (Fridericia: QT over the
        cube root of RR in seconds), `axis_deg` (frontal QRS axis, −180 to 180), `p_present` (bool).
        (batch, 12) each, in the order of `models.leads.STANDARD_LEADS`: `st_level_mv` (60 ms after the J point),
        `t_amplitude_mv` (signed), `r_amplitude_mv` (largest positive QRS deflection), all against the PR segment.
        NaN where a value cannot be measured: fewer than two R peaks, no such wave, a flat lead.
    """
    parts = [
        _measure(np.asarray(signal[at : at + CHUNK], dtype=np.float32), r_peaks[at : at + CHUNK], rate_hz)
        for at in range(0, len(signal), CHUNK)
    ]
    if not parts:
        return _measure(np.zeros((0, len(INDEPENDENT_LEADS), 1), dtype=np.float32), [], rate_hz)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _measure(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> dict[str, np.ndarray]:
    batch = len(signal)
    measured = {name: np.full(batch, np.nan) for name in SCALAR_FEATURES}
    measured |= {name: np.full((batch, len(STANDARD_LEADS)), np.nan) for name in LEAD_FEATURES}
    measured["p_present"] = np.zeros(batch, dtype=bool)
    clean = np.nan_to_num(signal, posinf=0.0, neginf=0.0)
    measured["r_peaks"][:] = [len(peaks) for peaks in r_peaks]
    beats = median_beats(clean, r_peaks, rate_hz)
    if not len(beats.rows):
        return measured
    rows = beats.rows
    measured["heart_rate_bpm"][rows] = 60.0 / beats.rr_s
    measured["rr_irregularity"][rows] = [np.std(rr) / np.mean(rr) for rr in (np.diff(r_peaks[row]) for row in rows)]
    flat = flat_standard_leads(signal[rows])
    found = of_median_beats(beats, delineate(beats))
    found |= {name: np.where(flat, np.nan, found[name]) for name in LEAD_FEATURES}
    found["axis_deg"] = np.where(flat[:, :2].any(axis=-1), np.nan, found["axis_deg"])
    for name, values in found.items():
        measured[name][rows] = values
    return measured


def of_median_beats(beats: MedianBeats, found: Boundaries) -> dict[str, np.ndarray]:
    """What `measure` returns but for the rhythm, from median beats and their boundaries: (kept,) or (kept, 12) each."""
    to_ms = 1000.0 / GRID_HZ
    qt_ms = (found.t_end - found.qrs_onset) * to_ms
    return {
        "pr_ms": (found.qrs_onset - found.p_onset) * to_ms,
        "qrs_ms": (found.qrs_offset - found.qrs_onset) * to_ms,
        "qt_ms": qt_ms,
        "qtc_ms": qt_ms / np.cbrt(beats.rr_s),
        "p_present": np.isfinite(found.p_onset),
        "axis_deg": _axis(beats, found),
        **_amplitudes(beats, found),
    }


def _amplitudes(beats: MedianBeats, found: Boundaries) -> dict[str, np.ndarray]:
    """ST level, T and R amplitude of the twelve leads, (kept, 12) each."""
    beat = to_twelve_leads(beats.beat - pr_level(beats.beat, found.qrs_onset)[..., None])
    samples, row = np.arange(beat.shape[-1]), np.arange(len(beat))
    qrs = _inside(samples, found.qrs_onset, found.qrs_offset)
    r_amplitude = np.where(qrs[:, None], beat, -np.inf).max(axis=-1)
    r_amplitude = np.where(qrs.any(axis=-1, keepdims=True), np.maximum(r_amplitude, 0.0), np.nan)
    at = np.nan_to_num(found.qrs_offset).astype(int) + ST_AFTER_J
    at = np.minimum(at, len(samples) - 3)
    st_level = np.mean([beat[row, :, at + shift] for shift in (-2, -1, 0, 1, 2)], axis=0)
    st_level = np.where(np.isfinite(found.qrs_offset)[:, None], st_level, np.nan)
    # The T wave: from 80 ms after the J point to the global T end; its amplitude is the largest deflection, signed.
    wave = _inside(samples, found.qrs_offset + 40, found.t_end)
    masked = np.where(wave[:, None], beat, 0.0)
    highest, lowest = masked.max(axis=-1), masked.min(axis=-1)
    t_amplitude = np.where(wave.any(axis=-1, keepdims=True), np.where(highest >= -lowest, highest, lowest), np.nan)
    return {"st_level_mv": st_level, "t_amplitude_mv": t_amplitude, "r_amplitude_mv": r_amplitude}


def _axis(beats: MedianBeats, found: Boundaries) -> np.ndarray:
    """Frontal QRS axis in degrees from the net QRS area of I and aVF, (kept,)."""
    beat = beats.beat[:, :2] - pr_level(beats.beat[:, :2], found.qrs_onset)[..., None]
    qrs = _inside(np.arange(beat.shape[-1]), found.qrs_onset, found.qrs_offset)
    lead_i, lead_ii = np.moveaxis(np.where(qrs[:, None], beat, 0.0).sum(axis=-1), 1, 0)
    of_i, of_ii = LIMB_LEAD_IDENTITIES["aVF"]
    # An augmented lead sees √3/2 of what a bipolar lead sees.
    degrees = np.degrees(np.arctan2((of_i * lead_i + of_ii * lead_ii) * 2.0 / np.sqrt(3.0), lead_i))
    return np.where(qrs.any(axis=-1), degrees, np.nan)


def _inside(samples: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """(kept, samples) mask of start ≤ sample ≤ stop; all False where either is NaN."""
    with np.errstate(invalid="ignore"):
        return (samples >= start[:, None]) & (samples <= stop[:, None])
