"""Multi-lead R-peak detection.

One envelope of QRS energy is built from all leads (band-pass, squared slope, moving average: Pan and Tompkins, IEEE
TBME 32:230–236, 1985), each lead weighted by how clearly it stands out of its own noise, so that a flat or noisy lead
does not spoil the others. A second envelope, of the deflection itself, finds ectopic beats that are as large as the
others but too slow for the first. T waves and pacemaker spikes are told from beats by when they come and how steep they
are for their size. All of it needs no more than 100 Hz, so that a faster recording costs little more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import scipy.fft
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, find_peaks, sosfreqz

from models.ecg.medians import median

SHORTEST_SIGNAL_S = 0.5
LOWEST_RATE_HZ = 100
STEEP_BAND_HZ, SLOW_BAND_HZ = (6.0, 30.0), (1.5, 20.0)
SMALLEST_LEAD_MV = 0.02
"""A lead whose QRS band spans less is flat."""
WINDOW_S = 2.0
"""Windows in each of which something must stand out of the rest; one beat fits in even at 30 bpm."""
REFRACTORY_S = 0.19
STEEP = 0.42
"""Share of the usual QRS envelope that a beat reaches."""
SLOW_STEEP, SLOW_SIZE = 0.12, 0.7
"""Shares of the usual envelope and the usual deflection that an ectopic beat reaches."""
T_WAVE_S, SPIKE_S = 0.40, 0.28
"""A T wave follows its beat within this time at 60 bpm and more; a pacemaker spike precedes its beat within this."""
SMALLER, SLOWER = 0.6, 0.45
"""Of a beat and a T wave or spike near it, the other has less than this share of its envelope; or, a T wave, less than
this share of its steepness for its size."""
LEFT = np.array([1.0, 1.0, 0.3, 0.3, 0.5, 1.0, 1.0, 1.0], dtype=np.float32)
"""Weight of each lead in where a beat's R peak is: V1 to V3 see an R' or S of the right ventricle that comes later."""
REFINE_S, SAME_HUMP_S = 0.03, 0.025
SLOW_REFINE_S = 0.12
"""A slow deflection is steepest this far from its top at most."""
CHUNK = 64
"""Recordings searched at once: bounds memory."""


def in_samples(r_peaks_s: Sequence[np.ndarray], rate_hz: float) -> list[np.ndarray]:
    """R peaks in samples as `locate_r_peaks` finds them, from float32 seconds; to 1/1000 sample in 10 s at 500 Hz.

    A peak midway between two samples is exactly there again, so that it is rounded to the same sample.
    """
    found = []
    for seconds in r_peaks_s:
        samples = seconds.astype(np.float64) * rate_hz
        half = np.round(2 * samples) / 2
        found.append(np.where((half / rate_hz).astype(np.float32) == seconds, half, samples))
    return found


def mean_rr(r_peaks: np.ndarray) -> float:
    """Mean RR interval, in the unit of the peaks; NaN for fewer than two.

    The mean counts every beat: the median of bigeminy is one of its two intervals. Intervals above three times the
    median, in which the signal is lost or the heart pauses, belong to no rate.
    """
    intervals = np.diff(r_peaks)
    return float(intervals[intervals <= 3 * median(intervals)].mean()) if len(intervals) else np.nan


def locate_r_peaks(signal: np.ndarray, rate_hz: float) -> list[np.ndarray]:
    """R peaks of each recording, between samples where need be: at 100 Hz, whole samples would cost 3 bpm at 140 bpm.

    Args:
        signal: (batch, 8, samples), mV, leads in the order of `models.leads.INDEPENDENT_LEADS`; any lead may be flat.
        rate_hz: sampling rate; made for 100 to 1000 Hz and heart rates of 20 to 280 bpm.

    Returns:
        Per recording the ascending positions, in samples, at which the QRS deflection over all leads is largest; empty
        when nothing stands out as a QRS complex.

    Raises:
        ValueError: `signal` is not three-dimensional.
    """
    if signal.ndim != 3:
        raise ValueError(f"expected (batch, 8, samples), got {signal.shape}")
    if signal.shape[2] < SHORTEST_SIGNAL_S * rate_hz:
        return [np.empty(0) for _ in signal]
    return [peaks for at in range(0, len(signal), CHUNK) for peaks in _locate(signal[at : at + CHUNK], rate_hz)]


def _locate(signal: np.ndarray, rate_hz: float) -> list[np.ndarray]:
    # Means of neighbouring samples: noise above the bands is of no use.
    step = max(1, int(rate_hz // LOWEST_RATE_HZ))
    whole = signal.shape[-1] // step * step
    coarse = np.zeros((*signal.shape[:2], whole // step), dtype=np.float32)
    with np.errstate(invalid="ignore"):
        for at in range(step):
            coarse += signal[..., at:whole:step]
    coarse /= step
    rate_hz = rate_hz / step
    steep, slow, deflection, slow_deflection = _envelopes(np.nan_to_num(coarse, posinf=0.0, neginf=0.0), rate_hz)
    level, found = _levels(steep, rate_hz), []
    for row in range(len(signal)):
        peaks, are_slow = _pick(steep[row], slow[row], level[row], rate_hz)
        sharp = _refine(peaks[~are_slow], deflection[row], rate_hz)
        broad = _tops(
            _largest(peaks[are_slow], round(SLOW_REFINE_S * rate_hz), slow_deflection[row]), slow_deflection[row]
        )
        found.append(step * np.unique(np.concatenate([sharp, broad])) + (step - 1) / 2)
    return found


def _envelopes(signal: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Over all leads: steepness and size of what moves, each about 1 at a QRS complex, and the deflection in mV in the
    band of each."""
    steep, slow = _bands(signal, rate_hz)
    active = np.ptp(steep, axis=-1) > SMALLEST_LEAD_MV
    reach = max(1, round(0.01 * rate_hz))
    slope = np.zeros_like(steep)
    slope[..., reach:-reach] = steep[..., 2 * reach :] - steep[..., : -2 * reach]
    steepness, size = _root_mean_square(slope, 0.09 * rate_hz), _root_mean_square(slow, 0.12 * rate_hz)
    floor, scale = _floor_and_scale(steepness)
    weight = np.where(active, np.clip(1.0 - 2.0 * floor / scale, 0.05, 1.0), 0.0).astype(np.float32)
    share = weight / np.maximum(weight.sum(axis=-1, keepdims=True), 1e-6)
    # Clipping keeps one lead's artefact from outweighing a QRS complex seen by the others.
    steepness = np.minimum(steepness / scale[..., None], 1.2)
    size = np.minimum(size / _floor_and_scale(size)[1][..., None], 2.0)
    over_leads = [np.einsum("bl,bls->bs", share, each) for each in (steepness, size)]
    deflections = [np.sqrt(np.einsum("bl,bls->bs", weight * LEFT, each * each)) for each in (steep, slow)]
    return over_leads[0], over_leads[1], deflections[0], deflections[1]


def _bands(signal: np.ndarray, rate_hz: float) -> list[np.ndarray]:
    """The signal in each of the two bands, by Butterworth filters of order two forwards and backwards."""
    samples = signal.shape[-1]
    pad = min(round(0.6 * rate_hz), samples - 1)
    before, after = 2 * signal[..., :1] - signal[..., pad:0:-1], 2 * signal[..., -1:] - signal[..., -2 : -pad - 2 : -1]
    length = scipy.fft.next_fast_len(samples + 3 * pad, real=True)
    spectrum = scipy.fft.rfft(np.concatenate([before, signal, after], axis=-1), length)
    return [
        scipy.fft.irfft(spectrum * response**2, length)[..., pad : pad + samples]
        for response in _responses(length, rate_hz)
    ]


@cache
def _responses(length: int, rate_hz: float) -> list[np.ndarray]:
    """How the filter of each band passes the frequencies of a signal of some length."""
    frequencies, found = scipy.fft.rfftfreq(length, 1 / rate_hz), []
    for band in (STEEP_BAND_HZ, SLOW_BAND_HZ):
        filter_ = butter(2, band, "bandpass", fs=rate_hz, output="sos")
        found.append(np.abs(sosfreqz(filter_, worN=frequencies, fs=rate_hz)[1]).astype(np.float32))
    return found


def _root_mean_square(wave: np.ndarray, window: float) -> np.ndarray:
    mean = uniform_filter1d(wave * wave, max(3, round(window)), axis=-1, mode="nearest")
    # A running sum leaves rounding errors just below zero.
    return np.sqrt(np.maximum(mean, 0.0))


def _floor_and_scale(envelope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and 98 % quantile over time: between beats, and at beats."""
    envelope = envelope[..., ::3]  # smooth over more samples than this
    half, most = envelope.shape[-1] // 2, int(0.98 * envelope.shape[-1])
    ordered = np.sort(envelope, axis=-1)
    return ordered[..., half], np.maximum(ordered[..., most], 1e-6)


def _levels(envelope: np.ndarray, rate_hz: float) -> np.ndarray:
    """Height of a usual QRS complex at each sample, (batch, samples); infinite where nothing stands out."""
    samples = envelope.shape[-1]
    window = min(samples, round(WINDOW_S * rate_hz))
    count = -(-samples // window)
    # The last window reaches back, so that a short rest does not count as a window without beats.
    starts = np.minimum(np.arange(count) * window, samples - window)
    pieces = [envelope[:, start : start + window] for start in starts]
    highest = np.stack([piece.max(axis=-1) for piece in pieces], axis=-1)
    lowest = np.stack([np.quantile(piece, 0.2, axis=-1) for piece in pieces], axis=-1)
    usual = np.quantile(highest, 0.75, axis=-1, keepdims=True)
    level = np.where((lowest > 0.5 * highest) | (usual < 0.2), np.inf, usual)
    return level[:, np.minimum(np.arange(samples) // window, count - 1)]


def _pick(steep: np.ndarray, slow: np.ndarray, level: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Peaks of the envelope that are QRS complexes, and which of them are slow for their size, as ectopic beats are."""
    padded = np.concatenate([[0.0], steep, [0.0]])  # lets a peak lie on the first or last sample
    at = find_peaks(padded, distance=max(1, round(REFRACTORY_S * rate_hz)))[0] - 1
    height = steep[at] / level[at]
    sure = height >= STEEP
    if not sure.any():
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)
    size = slow[_around(at, round(0.08 * rate_hz), len(slow))].max(axis=1)
    size = size / max(float(median(size[sure])), 1e-6)
    steepness = steep[at] / np.maximum(size, 1e-3)
    # T waves come earlier in fast rhythms (QT follows the cube root of RR).
    usual_s = float(median(np.diff(at[sure]))) / rate_hz if sure.sum() > 2 else 1.0
    t_wave_s = T_WAVE_S * float(np.cbrt(min(max(usual_s, 0.4), 1.0)))
    kept: list[int] = []
    for one in np.flatnonzero(sure | ((height >= SLOW_STEEP) & (size >= SLOW_SIZE))).tolist():
        if not kept:
            kept.append(one)
            continue
        last = kept[-1]
        gap_s, (before, now) = (at[one] - at[last]) / rate_hz, steep[at[[last, one]]]
        if gap_s < SPIKE_S and before < SMALLER * now:
            kept[-1] = one
        elif gap_s >= t_wave_s or (now >= SMALLER * before and steepness[one] >= SLOWER * steepness[last]):
            kept.append(one)
    # The recording may begin between a beat and its T wave; or with an ectopic beat, if others follow.
    slow_beats = steepness[kept] < SLOWER * median(steepness[sure])
    if at[kept[0]] < t_wave_s * rate_hz and slow_beats[0] and not slow_beats[1:].any():
        kept, slow_beats = kept[1:], slow_beats[1:]
    return at[kept], slow_beats


def _around(places: np.ndarray, reach: int, samples: int) -> np.ndarray:
    """(places, 2 reach + 1) indices of the samples around each place."""
    return np.minimum(np.maximum(places[:, None] + np.arange(-reach, reach + 1), 0), samples - 1)


def _largest(around: np.ndarray, reach: int, deflection: np.ndarray) -> np.ndarray:
    """Index of the largest deflection within `reach` samples of each place."""
    places = _around(around, reach, len(deflection))
    return places[np.arange(len(around)), deflection[places].argmax(axis=1)]


def _refine(peaks: np.ndarray, deflection: np.ndarray, rate_hz: float) -> np.ndarray:
    """Move each peak to the largest deflection near it."""
    if not len(peaks):
        return peaks.astype(float)
    top = _largest(peaks, round(REFINE_S * rate_hz), deflection)
    # A QRS complex with two humps of like size (bundle branch block) must be taken by the same hump in every beat.
    usual = peaks + round(float(median(top - peaks)))
    same = _largest(usual, round(SAME_HUMP_S * rate_hz), deflection)
    return _tops(np.unique(np.where(deflection[same] > 0.6 * deflection[top], same, top)), deflection)


def _tops(top: np.ndarray, deflection: np.ndarray) -> np.ndarray:
    """Each sample that is largest, moved on to the top of the parabola through it and its neighbours."""
    last = len(deflection) - 1
    before, at, after = deflection[np.maximum(top - 1, 0)], deflection[top], deflection[np.minimum(top + 1, last)]
    bend = before - 2.0 * at + after
    inner = (top > 0) & (top < last) & (bend < 0)
    shift = np.where(inner, 0.5 * (before - after) / np.where(inner, bend, -1.0), 0.0)
    return top + np.clip(shift, -0.5, 0.5)
