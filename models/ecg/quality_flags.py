"""Signal quality: how each flag of `models.ecg.quality_vocabulary` is found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import uniform_filter1d

from models.leads import INDEPENDENT_LEADS, LIMB_LEAD_IDENTITIES

CHUNK = 256
"""Recordings checked at once: bounds memory."""
FLAT_MV = 0.02
FLAT_S = 2.0
SATURATION_MV = 32.7
"""Amplitudes beyond this do not fit 16 bits at 1 µV."""
CLIPPED_S = 0.06
NOISY_MV = 0.03
WANDER_MV = 0.5


def quality_flags(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> list[list[str]]:
    """What is wrong with each recording; an empty list when nothing is.

    Args:
        signal: (batch, 8, samples), mV, leads in the order of `models.leads.INDEPENDENT_LEADS`.
        r_peaks: of each recording, from `models.ecg.r_peaks.locate_r_peaks`.
        rate_hz: sampling rate.

    Returns:
        Flags per recording: names of `LEAD_FLAGS` with the lead as suffix (`flat_lead_v2`), and of `RECORDING_FLAGS`.
    """
    flags: list[list[str]] = [[] for _ in range(len(signal))]
    for at in range(0, len(signal), CHUNK):
        chunk = np.asarray(signal[at : at + CHUNK], dtype=np.float32)
        clean = np.nan_to_num(chunk, posinf=0.0, neginf=0.0)
        flat = flat_leads(chunk) | _stands_still(clean, rate_hz)
        per_lead = {
            "flat_lead": flat,
            "saturated_lead": np.abs(clean).max(axis=-1) >= SATURATION_MV,
            "clipped_lead": _clipped(clean, rate_hz) & ~flat,
        }
        for name, found in per_lead.items():
            for row, lead in zip(*np.nonzero(found), strict=True):
                flags[at + row].append(f"{name}_{INDEPENDENT_LEADS[lead].lower()}")
        per_recording = {
            "no_r_peaks": np.asarray([not len(peaks) for peaks in r_peaks[at : at + CHUNK]]),
            "baseline_wander": _wander(clean, rate_hz) > WANDER_MV,
            "noisy": _noise(clean).max(axis=-1) > NOISY_MV,
        }
        for name, found in per_recording.items():
            for row in np.nonzero(found)[0]:
                flags[at + row].append(name)
    return flags


def flat_leads(signal: np.ndarray) -> np.ndarray:
    """(batch, leads): the lead spans less than `FLAT_MV` or holds values that are not finite."""
    with np.errstate(invalid="ignore"):
        moves: np.ndarray = np.asarray(np.ptp(signal, axis=-1)) > FLAT_MV
    return ~moves


def flat_standard_leads(signal: np.ndarray) -> np.ndarray:
    """(batch, 12): a derived lead is only as good as the leads it comes from."""
    flat = flat_leads(signal)
    limb = flat[:, :2].any(axis=-1, keepdims=True).repeat(len(LIMB_LEAD_IDENTITIES), axis=-1)
    return np.concatenate([flat[:, :2], limb, flat[:, 2:]], axis=-1)


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


def _longest_run(mask: np.ndarray, length: int) -> np.ndarray:
    """Whether `length` neighbouring samples are all True, over the last axis."""
    if mask.shape[-1] < length:
        return np.zeros(mask.shape[:-1], dtype=bool)
    total = np.cumsum(np.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(1, 0)]), axis=-1)
    return (total[..., length:] - total[..., :-length] == length).any(axis=-1)
