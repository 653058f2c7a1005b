"""Signal quality: how each flag of `models.ecg.quality_vocabulary` is found."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d
from scipy.signal import butter, sosfiltfilt

from models.ecg.electrode_swaps import electrode_swaps
from models.ecg.medians import median, median_of_sorted, quantile_of_sorted
from models.leads import INDEPENDENT_LEADS, LIMB_LEAD_IDENTITIES

CHUNK = 64
"""Recordings checked at once: bounds memory, and what is asked of the operating system again and again."""
FLAT_MV = 0.02
FLAT_S = 2.0
LOST_MV = 0.05
LOST_S = 3.0
BLOCK_S = 0.1
"""A lead that spans no more than `LOST_MV` for that long has lost its electrode: on PTB-XL's fold 9, no lead of 1,851
recordings spans less than 0.09 mV in three seconds. At 20 bpm, the lowest rate, a beat falls into them."""
PLAUSIBLE_MV = (0.5, 15.0)
"""Span of the largest lead, without its outermost percent; on PTB-XL's fold 9 0.67 to 11.7 mV."""
SATURATION_MV = 32.7
"""Amplitudes beyond this do not fit 16 bits at 1 µV."""
CLIPPED_S = 0.06
NOISE_HZ = (20.0, 40.0)
"""Where muscles are loud, QRS complexes (most of the time absent) are the only other thing, and every rate reaches."""
NOISY_MV = 0.03
BURST_MV = 0.1
BURST = 3.0
"""A burst is that many times as loud as the recording's usual noise."""
WANDER_MV = 0.5
MAINS_HZ = (50.0, 60.0)
MAINS_MV = 0.02
MAINS_BAND_HZ = 0.5
"""How far mains may be from its nominal frequency, or a recorder's clock from its own."""
SPIKE_S = 0.01
"""Half the width of what a pacemaker's pulse becomes in a recorder's filter."""
SPIKE_WINDOW_S = (-0.22, -0.07)
"""Where a pulse lies before an R peak; closer to it, steep QRS complexes look alike."""
SPIKE = 5.0
"""A pulse is that many times as large as what the recording holds of such pulses most of the time, which is noise."""
SPIKE_MV = 0.04
"""Median over leads and beats of the largest pulse. On PTB-XL's fold 9 at 100 Hz, it finds 18 of 23 recordings with the
statement PACE and 1 of the 1,828 others."""


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
        ordered = np.sort(clean, axis=-1)
        flat = flat_leads(chunk) | _stands_still(clean, rate_hz) | _lost(clean, rate_hz)
        per_lead = {
            "flat_lead": flat,
            "saturated_lead": np.maximum(ordered[..., -1], -ordered[..., 0]) >= SATURATION_MV,
            "clipped_lead": _clipped(clean, ordered, rate_hz) & ~flat,
        }
        for name, found in per_lead.items():
            for row, lead in zip(*np.nonzero(found), strict=True):
                flags[at + row].append(f"{name}_{INDEPENDENT_LEADS[lead].lower()}")
        peaks = r_peaks[at : at + CHUNK]
        noise, loudest = _noise(clean, rate_hz)
        per_recording = {
            "no_r_peaks": np.asarray([not len(one) for one in peaks]),
            "implausible_amplitude": _implausible(ordered),
            "baseline_wander": _wander(clean, rate_hz) > WANDER_MV,
            "noisy": noise.max(axis=-1) > NOISY_MV,
            "noise_burst": ((loudest > BURST_MV) & (loudest > BURST * noise)).any(axis=-1),
            **{f"mains_{line:g}_hz": _mains(clean, rate_hz, line) > MAINS_MV for line in MAINS_HZ},
            "pacemaker_spikes": _spikes(clean, peaks, rate_hz) > SPIKE_MV,
            **{f"electrode_swap_{name}": found for name, found in electrode_swaps(clean, peaks, rate_hz).items()},
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


def _clipped(signal: np.ndarray, ordered: np.ndarray, rate_hz: float) -> np.ndarray:
    highest, lowest, middle = ordered[..., -1:], ordered[..., :1], median_of_sorted(ordered)[..., None]
    length = max(4, round(CLIPPED_S * rate_hz))
    at_top = _longest_run((signal == highest) & (highest - middle > 0.5), length)
    return at_top | _longest_run((signal == lowest) & (middle - lowest > 0.5), length)


def _wander(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    """Standard deviation of the one-second moving average, largest over leads, (batch,) mV."""
    window = max(3, round(rate_hz))
    return uniform_filter1d(signal, window, axis=-1, mode="nearest").std(axis=-1).max(axis=-1)


def _lost(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    """(batch, leads): the lead spans hardly anything for some seconds."""
    block, blocks = max(1, round(BLOCK_S * rate_hz)), round(LOST_S / BLOCK_S)
    whole = signal.shape[-1] // block
    if whole < blocks:
        return np.zeros(signal.shape[:-1], dtype=bool)
    # Sample by sample of all blocks: reducing an axis this short takes ten times as long.
    tiles = np.moveaxis(signal[..., : whole * block].reshape(*signal.shape[:-1], whole, block), -1, 0)
    highest = maximum_filter1d(reduce(np.maximum, tiles), blocks, axis=-1)
    lowest = minimum_filter1d(reduce(np.minimum, tiles), blocks, axis=-1)
    inside = slice(blocks // 2, whole - (blocks - 1) // 2)
    found: np.ndarray = (highest - lowest)[..., inside].min(axis=-1) < LOST_MV
    return found


def _implausible(ordered: np.ndarray) -> np.ndarray:
    largest = (quantile_of_sorted(ordered, 0.995) - quantile_of_sorted(ordered, 0.005)).max(axis=-1)
    found: np.ndarray = (largest < PLAUSIBLE_MV[0]) | (largest > PLAUSIBLE_MV[1])
    return found


def _noise(signal: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Noise per lead, (batch, leads) mV each: in the median second, and in the loudest.

    It is a standard deviation from the median of absolute values, which short QRS complexes leave alone.
    """
    band = butter(4, NOISE_HZ, "bandpass", fs=rate_hz, output="sos")
    sizes = np.abs(sosfiltfilt(band, signal, axis=-1)).astype(np.float32) / np.float32(0.6745)
    length = min(round(rate_hz), sizes.shape[-1])
    whole = sizes.shape[-1] // length
    seconds = median(sizes[..., : whole * length].reshape(*sizes.shape[:-1], whole, length))
    return median(seconds), seconds.max(axis=-1)


def _mains(signal: np.ndarray, rate_hz: float, line_hz: float) -> np.ndarray:
    """Amplitude of a line above its surroundings, largest over leads, (batch,) mV; 0 where the rate is too low."""
    samples = signal.shape[-1]
    window = np.hanning(samples + 1)[:-1]
    frequency = np.fft.rfftfreq(samples, 1 / rate_hz)
    line = np.abs(frequency - line_hz) <= MAINS_BAND_HZ
    around = (np.abs(frequency - line_hz) <= 10 * MAINS_BAND_HZ) & ~line
    if line_hz > rate_hz / 2 or not line.any() or not around.any():
        return np.zeros(len(signal))
    spectrum = np.abs(np.fft.rfft(signal * window, axis=-1)[..., line | around]) * (2 / window.sum())
    if 2 * line_hz == rate_hz:
        spectrum[..., -1] /= 2  # at half the sampling rate there is but one bin
    inside = line[line | around]
    found: np.ndarray = spectrum[..., inside].max(axis=-1) - np.median(spectrum[..., ~inside], axis=-1)
    return found.max(axis=-1)


def _spikes(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> np.ndarray:
    """How far the narrowest pulse before QRS complexes stands out, (batch,) mV; 0 where it does not clearly."""
    width = max(1, round(SPIKE_S * rate_hz))
    start, end = (round(edge * rate_hz) for edge in SPIKE_WINDOW_S)
    pulses = np.abs(signal[..., width:-width] - (signal[..., : -2 * width] + signal[..., 2 * width :]) / 2)
    in_most_leads = median(pulses, axis=1)
    usual, window = median(in_most_leads), np.arange(start, end)
    found = np.zeros(len(signal))
    for row, peaks in enumerate(r_peaks):
        at = np.rint(peaks).astype(int) - width
        at = at[(at + start >= 0) & (at + end <= pulses.shape[-1])]
        if len(at):
            largest = median(in_most_leads[row][at[:, None] + window].max(axis=-1))
            found[row] = largest if largest > SPIKE * usual[row] else 0.0
    return found


def _longest_run(mask: np.ndarray, length: int) -> np.ndarray:
    """Whether `length` neighbouring samples are all True, over the last axis."""
    if mask.shape[-1] < length:
        return np.zeros(mask.shape[:-1], dtype=bool)
    run = 1
    while run < length:
        further = min(run, length - run)
        mask = mask[..., :-further] & mask[..., further:]
        run += further
    found: np.ndarray = np.any(mask, axis=-1)
    return found
