"""What an electrocardiograph prints above the traces: heart rate, intervals, axis, ST levels; and signal quality.

The same functions measure real, simulated and generated ECGs, so that their distributions can be compared.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.ndimage import uniform_filter1d

from models.ecg.delineation import Boundaries, delineate, pr_level
from models.ecg.median_beats import GRID_HZ, MedianBeats, median_beats
from models.ecg.r_peaks import detect_r_peaks, locate_r_peaks
from models.leads import INDEPENDENT_LEADS, LIMB_LEAD_IDENTITIES, STANDARD_LEADS, to_twelve_leads

__all__ = ["SCALAR_FEATURES", "detect_r_peaks", "measure", "quality_flags"]

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
LEAD_FEATURES: Final = ("st_level_mv", "t_amplitude_mv", "r_amplitude_mv")

CHUNK = 256
"""Recordings measured at once: bounds memory."""
ST_AFTER_J = round(0.06 * GRID_HZ)
FLAT_MV = 0.02
FLAT_S = 2.0
SATURATION_MV = 32.7
"""Amplitudes beyond this do not fit 16 bits at 1 µV."""
CLIPPED_S = 0.06
NOISY_MV = 0.03
WANDER_MV = 0.5


def measure(signal: np.ndarray, rate_hz: float) -> dict[str, np.ndarray]:
    """Measure each recording.

    Args:
        signal: (batch, 8, samples), mV, leads in the order of `models.leads.INDEPENDENT_LEADS`.
        rate_hz: sampling rate.

    Returns:
        Feature name to array. (batch,) each: `heart_rate_bpm` (60 over the median RR), `rr_irregularity` (standard
        deviation of RR over its mean), `r_peaks` (count), `pr_ms`, `qrs_ms`, `qt_ms`, `qtc_ms` (Fridericia: QT over the
        cube root of RR in seconds), `axis_deg` (frontal QRS axis, −180 to 180), `p_present` (bool).
        (batch, 12) each, in the order of `models.leads.STANDARD_LEADS`: `st_level_mv` (60 ms after the J point),
        `t_amplitude_mv` (signed), `r_amplitude_mv` (largest positive QRS deflection), all against the PR segment.
        NaN where a value cannot be measured: fewer than two R peaks, no such wave, a flat lead.
    """
    parts = [
        _measure(np.asarray(signal[at : at + CHUNK], dtype=np.float32), rate_hz) for at in range(0, len(signal), CHUNK)
    ]
    if not parts:
        return _measure(np.zeros((0, len(INDEPENDENT_LEADS), 1), dtype=np.float32), rate_hz)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _measure(signal: np.ndarray, rate_hz: float) -> dict[str, np.ndarray]:
    batch = len(signal)
    measured = {name: np.full(batch, np.nan) for name in SCALAR_FEATURES}
    measured |= {name: np.full((batch, len(STANDARD_LEADS)), np.nan) for name in LEAD_FEATURES}
    measured["p_present"] = np.zeros(batch, dtype=bool)
    clean = np.nan_to_num(signal, posinf=0.0, neginf=0.0)
    r_peaks = locate_r_peaks(clean, rate_hz)
    measured["r_peaks"][:] = [len(peaks) for peaks in r_peaks]
    beats = median_beats(clean, r_peaks, rate_hz)
    if not len(beats.rows):
        return measured
    rows = beats.rows
    measured["heart_rate_bpm"][rows] = 60.0 / beats.rr_s
    measured["rr_irregularity"][rows] = [np.std(rr) / np.mean(rr) for rr in (np.diff(r_peaks[row]) for row in rows)]
    found = delineate(beats)
    to_ms = 1000.0 / GRID_HZ
    measured["pr_ms"][rows] = (found.qrs_onset - found.p_onset) * to_ms
    measured["qrs_ms"][rows] = (found.qrs_offset - found.qrs_onset) * to_ms
    measured["qt_ms"][rows] = (found.t_end - found.qrs_onset) * to_ms
    measured["qtc_ms"][rows] = measured["qt_ms"][rows] / np.cbrt(beats.rr_s)
    measured["p_present"][rows] = np.isfinite(found.p_onset)
    flat = _flat_standard_leads(signal[rows])
    for name, values in _amplitudes(beats, found).items():
        measured[name][rows] = np.where(flat, np.nan, values)
    axis = _axis(beats, found)
    measured["axis_deg"][rows] = np.where(flat[:, :2].any(axis=-1), np.nan, axis)
    return measured


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


def _flat_leads(signal: np.ndarray) -> np.ndarray:
    """(batch, leads): the lead spans less than `FLAT_MV` or holds values that are not finite."""
    with np.errstate(invalid="ignore"):
        moves: np.ndarray = np.asarray(np.ptp(signal, axis=-1)) > FLAT_MV
    return ~moves


def _flat_standard_leads(signal: np.ndarray) -> np.ndarray:
    """(batch, 12): a derived lead is only as good as the leads it comes from."""
    flat = _flat_leads(signal)
    limb = flat[:, :2].any(axis=-1, keepdims=True).repeat(len(LIMB_LEAD_IDENTITIES), axis=-1)
    return np.concatenate([flat[:, :2], limb, flat[:, 2:]], axis=-1)


def quality_flags(signal: np.ndarray, rate_hz: float) -> list[list[str]]:
    """What is wrong with each recording; an empty list when nothing is.

    Args:
        signal: (batch, 8, samples), mV, leads in the order of `models.leads.INDEPENDENT_LEADS`.
        rate_hz: sampling rate.

    Returns:
        Flags per recording. Per lead (suffix `_i` … `_v6`): `flat_lead` (spans less than 20 µV, or stands still for two
        seconds), `saturated_lead` (leaves the 16-bit range), `clipped_lead` (stays at its extreme for 60 ms at a
        stretch, more than 0.5 mV from its median). Per recording: `no_r_peaks`, `baseline_wander` (slow drift with a
        standard deviation above 0.5 mV in some lead), `noisy` (high-frequency noise above 30 µV in some lead).
    """
    flags: list[list[str]] = [[] for _ in range(len(signal))]
    for at in range(0, len(signal), CHUNK):
        chunk = np.asarray(signal[at : at + CHUNK], dtype=np.float32)
        clean = np.nan_to_num(chunk, posinf=0.0, neginf=0.0)
        flat = _flat_leads(chunk) | _stands_still(clean, rate_hz)
        per_lead = {
            "flat_lead": flat,
            "saturated_lead": np.abs(clean).max(axis=-1) >= SATURATION_MV,
            "clipped_lead": _clipped(clean, rate_hz) & ~flat,
        }
        for name, found in per_lead.items():
            for row, lead in zip(*np.nonzero(found), strict=True):
                flags[at + row].append(f"{name}_{INDEPENDENT_LEADS[lead].lower()}")
        per_recording = {
            "no_r_peaks": np.asarray([not len(peaks) for peaks in detect_r_peaks(clean, rate_hz)]),
            "baseline_wander": _wander(clean, rate_hz) > WANDER_MV,
            "noisy": _noise(clean).max(axis=-1) > NOISY_MV,
        }
        for name, found in per_recording.items():
            for row in np.nonzero(found)[0]:
                flags[at + row].append(name)
    return flags


def _longest_run(mask: np.ndarray, length: int) -> np.ndarray:
    """Whether `length` neighbouring samples are all True, over the last axis."""
    if mask.shape[-1] < length:
        return np.zeros(mask.shape[:-1], dtype=bool)
    total = np.cumsum(np.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(1, 0)]), axis=-1)
    return (total[..., length:] - total[..., :-length] == length).any(axis=-1)


def _stands_still(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    return _longest_run(np.abs(np.diff(signal, axis=-1)) < 1e-5, round(FLAT_S * rate_hz))


def _clipped(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    highest, lowest = signal.max(axis=-1, keepdims=True), signal.min(axis=-1, keepdims=True)
    middle = np.median(signal, axis=-1, keepdims=True)
    length = max(4, round(CLIPPED_S * rate_hz))
    at_top = _longest_run((signal == highest) & (highest - middle > 0.5), length)
    return at_top | _longest_run((signal == lowest) & (middle - lowest > 0.5), length)


def _wander(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    """Standard deviation of the one-second moving average, largest over leads, (batch,) mV."""
    window = max(3, round(rate_hz))
    return uniform_filter1d(signal, window, axis=-1, mode="nearest").std(axis=-1).max(axis=-1)


def _noise(signal: np.ndarray) -> np.ndarray:
    """High-frequency noise per lead, (batch, leads) mV: from the median absolute second difference."""
    second = np.diff(signal, n=2, axis=-1)
    # White noise of deviation s gives second differences of deviation √6 s; 0.6745 turns a median into a deviation.
    return np.median(np.abs(second), axis=-1) / (0.6745 * np.sqrt(6.0))
