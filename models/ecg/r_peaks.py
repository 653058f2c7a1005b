"""Multi-lead R-peak detection.

One envelope of QRS energy is built from all leads (band-pass, squared slope, moving average: Pan and Tompkins, IEEE
TBME 32:230–236, 1985), each lead weighted by how clearly it stands out of its own noise, so that a flat or noisy lead
does not spoil the others. Peaks of the envelope are taken against a local threshold, with a refractory period,
rejection of T waves and a search back through long gaps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import median_filter, uniform_filter1d
from scipy.signal import butter, find_peaks, sosfiltfilt

QRS_BAND_HZ = (6.0, 30.0)
REFRACTORY_S = 0.25
T_WAVE_S = 0.38
"""A second, much smaller peak this soon after a QRS complex is its T wave."""
SHORTEST_SIGNAL_S = 0.5
LEVEL_WINDOW_S = 2.0
"""Window of the local QRS level: one beat fits even at 30 bpm."""
ACCEPT, SEARCH_BACK = 0.38, 0.2
"""Share of the local QRS level that a peak must reach, at first sight and in a gap."""
REFINE_S, SAME_HUMP_S = 0.07, 0.025
SMALLEST_LEAD_MV = 0.02
"""A lead whose QRS band spans less is flat."""
CHUNK = 256
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


def locate_r_peaks(signal: np.ndarray, rate_hz: float) -> list[np.ndarray]:
    """R peaks of each recording, between samples where need be: at 100 Hz, whole samples would cost 3 bpm at 140 bpm.

    Args:
        signal: (batch, 8, samples), mV, leads in the order of `models.leads.INDEPENDENT_LEADS`; any lead may be flat.
        rate_hz: sampling rate; made for 100 to 1000 Hz and heart rates of 30 to 220 bpm.

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
    clean = np.nan_to_num(np.asarray(signal, dtype=np.float32), posinf=0.0, neginf=0.0)
    envelope, weight = qrs_envelope(clean, rate_hz)
    level = _local_level(envelope, rate_hz)
    deflection = _deflection(clean, weight, rate_hz)
    return [_refine(_pick(envelope[row], level[row], rate_hz), deflection[row], rate_hz) for row in range(len(clean))]


def qrs_envelope(signal: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """QRS energy over all leads, and the weight each lead had in it.

    Returns:
        Envelope (batch, samples), about 1 at a QRS complex and near 0 between; weights (batch, leads), 0 if flat.
    """
    band = sosfiltfilt(butter(2, QRS_BAND_HZ, "bandpass", fs=rate_hz, output="sos"), signal, axis=-1).astype(np.float32)
    active = np.ptp(band, axis=-1) > SMALLEST_LEAD_MV
    reach = max(1, round(0.01 * rate_hz))
    slope = np.zeros_like(band)
    slope[..., reach:-reach] = band[..., 2 * reach :] - band[..., : -2 * reach]
    energy = uniform_filter1d(slope * slope, max(3, round(0.09 * rate_hz)), axis=-1, mode="nearest")
    # A running sum leaves rounding errors just below zero.
    lead_envelope = np.sqrt(np.maximum(energy, 0.0))
    ordered = np.partition(lead_envelope, [lead_envelope.shape[-1] // 2, int(0.98 * lead_envelope.shape[-1])], axis=-1)
    floor, scale = ordered[..., lead_envelope.shape[-1] // 2], ordered[..., int(0.98 * lead_envelope.shape[-1])]
    scale = np.maximum(scale, 1e-6)
    weight = np.where(active, np.clip(1.0 - 2.0 * floor / scale, 0.05, 1.0), 0.0).astype(np.float32)
    # Clipping keeps one lead's artefact from outweighing a QRS complex seen by the others.
    shaped = np.minimum(lead_envelope / scale[..., None], 1.2)
    total = np.maximum(weight.sum(axis=-1, keepdims=True), 1e-6)
    return np.einsum("bl,bls->bs", weight / total, shaped), weight


def _local_level(envelope: np.ndarray, rate_hz: float) -> np.ndarray:
    """Height of a QRS complex around each sample: running median of the maxima of two-second windows."""
    samples = envelope.shape[-1]
    window = min(samples, round(LEVEL_WINDOW_S * rate_hz))
    count = -(-samples // window)
    # The last window reaches back, so that a short rest does not count as a window without beats.
    starts = np.minimum(np.arange(count) * window, samples - window)
    maxima = np.stack([envelope[:, start : start + window].max(axis=-1) for start in starts], axis=-1)
    smooth = median_filter(maxima, size=(1, min(5, count)), mode="nearest")
    return smooth[:, np.minimum(np.arange(samples) // window, count - 1)]


def _deflection(signal: np.ndarray, weight: np.ndarray, rate_hz: float) -> np.ndarray:
    """Size of the deflection from the local baseline over all leads, (batch, samples)."""
    baseline = uniform_filter1d(signal, max(3, round(0.3 * rate_hz)), axis=-1, mode="nearest")
    return np.einsum("bl,bls->bs", weight, np.abs(signal - baseline))


def _pick(envelope: np.ndarray, level: np.ndarray, rate_hz: float) -> np.ndarray:
    """Envelope peaks that are QRS complexes."""
    if level.max(initial=0.0) < 0.2 or np.quantile(envelope, 0.15) > 0.5 * np.median(level):
        return np.empty(0, dtype=np.int64)
    padded = np.concatenate([[0.0], envelope, [0.0]])  # lets a peak lie on the first or last sample
    candidates = find_peaks(padded, distance=max(1, round(REFRACTORY_S * rate_hz)))[0] - 1
    height = envelope[candidates] / np.maximum(level[candidates], 1e-6)
    peaks = _without_t_waves(candidates[height >= ACCEPT], envelope, rate_hz)
    if len(peaks) < 3:
        return peaks
    gaps = np.diff(peaks)
    usual = np.median(gaps)
    if gaps.max() <= 1.66 * usual:
        return peaks
    quiet = candidates[(height >= SEARCH_BACK) & (height < ACCEPT)]
    found = [
        one
        for one in quiet
        if 0.6 * usual < one - peaks[(at := np.searchsorted(peaks, one)) - 1]
        and 0 < at < len(peaks)
        and peaks[at] - one > 0.6 * usual
    ]
    return np.sort(np.concatenate([peaks, np.asarray(found, dtype=peaks.dtype)]))


def _without_t_waves(peaks: np.ndarray, envelope: np.ndarray, rate_hz: float) -> np.ndarray:
    """Drop peaks that follow a QRS complex too soon and are less than 60 % of its height."""
    kept: list[int] = []
    for peak in peaks:
        if kept and peak - kept[-1] < T_WAVE_S * rate_hz and envelope[peak] < 0.6 * envelope[kept[-1]]:
            continue
        kept.append(int(peak))
    return np.asarray(kept, dtype=np.int64)


def _largest(around: np.ndarray, reach: int, deflection: np.ndarray) -> np.ndarray:
    """Index of the largest deflection within `reach` samples of each place."""
    places = np.clip(around[:, None] + np.arange(-reach, reach + 1), 0, len(deflection) - 1)
    return places[np.arange(len(around)), deflection[places].argmax(axis=1)]


def _refine(peaks: np.ndarray, deflection: np.ndarray, rate_hz: float) -> np.ndarray:
    """Move each peak to the largest deflection near it, and on to the top of the parabola through it."""
    if not len(peaks):
        return peaks.astype(float)
    last = len(deflection) - 1
    top = _largest(peaks, round(REFINE_S * rate_hz), deflection)
    # A QRS complex with two humps of like size (bundle branch block) must be taken by the same hump in every beat.
    usual = peaks + round(float(np.median(top - peaks)))
    same = _largest(usual, round(SAME_HUMP_S * rate_hz), deflection)
    top = np.unique(np.where(deflection[same] > 0.6 * deflection[top], same, top))
    before, at, after = deflection[np.maximum(top - 1, 0)], deflection[top], deflection[np.minimum(top + 1, last)]
    bend = before - 2.0 * at + after
    inner = (top > 0) & (top < last) & (bend < 0)
    shift = np.where(inner, 0.5 * (before - after) / np.where(inner, bend, -1.0), 0.0)
    return top + np.clip(shift, -0.5, 0.5)
