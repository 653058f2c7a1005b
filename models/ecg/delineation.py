"""Wave boundaries of median beats: QRS onset and offset, P onset, T end.

Boundaries are global, one set per recording, as a person with callipers on simultaneous leads would place them: the QRS
complex by the spatial velocity over all leads, the end of T and the onset of P by the tangent to the steepest slope of
the wave's principal component (Lepeschkin and Surawicz, Circulation 6:378–388, 1952).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from models.ecg.median_beats import GRID_HZ, R_INDEX, MedianBeats, earliest_p_s

QRS_BEFORE, QRS_AFTER = 75, 100
"""Samples around the R peak in which the QRS complex may begin and end: 150 and 200 ms."""
QRS_ONSET_SHARE, QRS_OFFSET_SHARE = 0.05, 0.07
"""Share of the largest spatial velocity below which the heart is quiet; the ST segment is never quite flat."""
QUIET_RUN = 6
"""Samples of quiet that end a QRS complex: 12 ms, longer than a notch is."""
LATE_WAVE, LATE_WAVE_SHARE = 20, 0.10
"""Samples after a quiet run, 40 ms, in which a velocity of this share means that the complex goes on."""
SMALLEST_P_MV = 0.07
"""Height of a P wave's principal component over the eight leads."""
LEAST_P_COHERENCE = 0.4
PR_LIMITS = (0.06 * GRID_HZ, 0.40 * GRID_HZ)


@dataclass(frozen=True)
class Boundaries:
    """Positions in the median beat, in samples at `GRID_HZ`, each (kept,) float; NaN where the wave was not found."""

    qrs_onset: np.ndarray
    qrs_offset: np.ndarray
    p_onset: np.ndarray
    t_peak: np.ndarray
    t_end: np.ndarray


def delineate(beats: MedianBeats) -> Boundaries:
    """Find the global wave boundaries of median beats."""
    onset, offset = _qrs(beats.beat)
    t_peak, t_end = _t_wave(beats, onset, offset)
    return Boundaries(onset, offset, _p_onset(beats, onset), t_peak, t_end)


def pr_level(beat: np.ndarray, qrs_onset: np.ndarray) -> np.ndarray:
    """Mean of the 20 ms before the QRS complex per lead, (kept, leads) mV: what ST, T and R are measured against."""
    samples = np.arange(beat.shape[-1])
    onset = np.nan_to_num(qrs_onset, nan=R_INDEX - 25)[:, None]
    segment = (samples >= onset - 10) & (samples < onset)
    return _window_mean(beat, segment)


def _window_mean(beat: np.ndarray, window: np.ndarray) -> np.ndarray:
    weight = window.astype(beat.dtype)
    return np.einsum("bls,bs->bl", beat, weight) / np.maximum(weight.sum(axis=-1), 1.0)[:, None]


def _spatial_velocity(beat: np.ndarray, reach: int = 3, sigma: float = 2.0) -> np.ndarray:
    """Length of the slope vector over all leads, (kept, samples), in mV per `2 * reach` samples."""
    slope = np.zeros_like(beat)
    slope[..., reach:-reach] = beat[..., 2 * reach :] - beat[..., : -2 * reach]
    return gaussian_filter1d(np.sqrt((slope * slope).sum(axis=1)), sigma, axis=-1)


def _quiet_runs(quiet: np.ndarray) -> np.ndarray:
    """True where `QUIET_RUN` quiet samples begin."""
    runs = np.lib.stride_tricks.sliding_window_view(quiet, QUIET_RUN, axis=-1).all(axis=-1)
    return np.pad(runs, ((0, 0), (0, QUIET_RUN - 1)))


def _qrs(beat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """QRS onset and offset: the ends of quiet before and after the R peak."""
    velocity = _spatial_velocity(beat)
    samples = np.arange(velocity.shape[-1])
    peak = velocity[:, R_INDEX - 50 : R_INDEX + 50].max(axis=-1, initial=0.0)
    # What moves even in the quietest tenth of the neighbourhood is noise or a sloping baseline.
    floor_before = np.quantile(velocity[:, R_INDEX - 60 : R_INDEX - 20], 0.1, axis=-1)
    floor_after = np.quantile(velocity[:, R_INDEX + 25 : R_INDEX + QRS_AFTER], 0.1, axis=-1)
    quiet_before = velocity < (floor_before + QRS_ONSET_SHARE * (peak - floor_before))[:, None]
    quiet_after = velocity < (floor_after + QRS_OFFSET_SHARE * (peak - floor_after))[:, None]
    ends_before = _quiet_runs(quiet_before) & (samples > R_INDEX - QRS_BEFORE) & (samples < R_INDEX - QUIET_RUN)
    # The top of a late R' is quiet too, but its descent is to come: in a bundle branch block that is not the end.
    coming = np.lib.stride_tricks.sliding_window_view(
        np.pad(velocity, ((0, 0), (0, LATE_WAVE - 1))), LATE_WAVE, axis=-1
    )
    goes_on = coming.max(axis=-1) > (floor_after + LATE_WAVE_SHARE * (peak - floor_after))[:, None]
    starts_after = _quiet_runs(quiet_after & ~goes_on) & (samples > R_INDEX) & (samples < R_INDEX + QRS_AFTER)
    last = len(samples) - 1.0 - ends_before[:, ::-1].argmax(axis=-1)
    onset = np.where(ends_before.any(axis=-1), last + QUIET_RUN - 1.0, np.nan)
    offset = np.where(starts_after.any(axis=-1), starts_after.argmax(axis=-1).astype(float), np.nan)
    return onset, offset


def _principal_component(wave: np.ndarray, window: np.ndarray, sigma: float) -> np.ndarray:
    """The wave along the lead combination that holds most of its power inside the window, (kept, samples), smoothed."""
    masked = wave * window[:, None]
    _, vectors = np.linalg.eigh(masked @ masked.transpose(0, 2, 1))
    return gaussian_filter1d(np.einsum("bl,bls->bs", vectors[..., -1], wave), sigma, axis=-1)


def _t_wave(beats: MedianBeats, onset: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """T peak, and T end where the tangent to its steepest descent meets the PR level."""
    wave = beats.beat - pr_level(beats.beat, onset)[..., None]
    samples, row = np.arange(wave.shape[-1]), np.arange(len(wave))
    start = np.nan_to_num(offset, nan=R_INDEX + 30) + 30
    stop = np.maximum(R_INDEX + np.minimum(0.52, 0.62 * beats.rr_s) * GRID_HZ, start + 20)
    window = (samples >= start[:, None]) & (samples <= stop[:, None])
    component = _principal_component(wave, window, sigma=5.0)
    peak = np.where(window, np.abs(component), -1.0).argmax(axis=-1)
    component = component * np.sign(component[row, peak])[:, None]
    slope = np.gradient(component, axis=-1)
    latest = np.minimum(peak + 80, R_INDEX + np.minimum(0.70, 0.85 * beats.rr_s) * GRID_HZ)
    descent = (samples > peak[:, None]) & (samples <= latest[:, None])
    steepest = np.where(descent, slope, np.inf).argmin(axis=-1)
    fall = -slope[row, steepest]
    end = steepest + component[row, steepest] / np.maximum(fall, 1e-9)
    found = (fall > 1e-4) & (end < len(samples) + 20) & np.isfinite(onset) & np.isfinite(offset)
    return np.where(found, peak, np.nan), np.where(found, end, np.nan)


def _p_onset(beats: MedianBeats, onset: np.ndarray) -> np.ndarray:
    """P onset where the tangent to its steepest ascent meets the level before it; NaN where there is no P wave.

    A P wave is a bump of the principal component, higher than `SMALLEST_P_MV` on both sides, that repeats from beat to
    beat. In PTB-XL's validation fold, on which both bounds were chosen, 98 % of recordings in sinus rhythm have one and
    94 % of those in atrial fibrillation have none.
    """
    samples, row = np.arange(beats.beat.shape[-1]), np.arange(len(beats.beat))
    start = R_INDEX - earliest_p_s(beats.rr_s) * GRID_HZ
    stop = np.nan_to_num(onset, nan=R_INDEX - 25) - 5
    window = (samples >= start[:, None]) & (samples <= stop[:, None])
    component = _principal_component(_without_trend(beats.beat, window), window, sigma=4.0)
    # The sign of a principal component is arbitrary; its P wave stands out more than what is on the other side.
    component, height, peak = _most_prominent(component, window)
    slope = np.gradient(component, axis=-1)
    ascent = (samples < peak[:, None]) & (samples >= peak[:, None] - 45)
    steepest = np.where(ascent, slope, -np.inf).argmax(axis=-1)
    earlier = (samples < steepest[:, None]) & (samples >= np.maximum(steepest - 50, start - 10)[:, None])
    level_before = np.where(earlier, component, np.inf).min(axis=-1)
    rise = slope[row, steepest]
    with np.errstate(invalid="ignore"):
        p_onset = steepest - (component[row, steepest] - level_before) / np.maximum(rise, 1e-9)
        pr = onset - p_onset
        found = (height > SMALLEST_P_MV) & (beats.p_coherence > LEAST_P_COHERENCE) & (rise > 0)
        found &= (pr >= PR_LIMITS[0]) & (pr <= PR_LIMITS[1])
    return np.where(found, p_onset, np.nan)


def _most_prominent(component: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The component turned so that its most prominent wave inside the window is upright, that wave's height and peak.

    The height of a sample is that above the lowest points before and after it, so that the flank of something outside
    of the window has none.
    """
    row = np.arange(len(component))
    found = []
    for upright in (component, -component):
        inside = np.where(window, upright, np.inf)
        before = np.minimum.accumulate(inside, axis=-1)
        after = np.minimum.accumulate(inside[:, ::-1], axis=-1)[:, ::-1]
        height = np.where(window, upright - np.maximum(before, after), -np.inf)
        peak = height.argmax(axis=-1)
        found.append((height[row, peak], peak))
    (height, peak), (opposite, trough) = found
    turned = opposite > height
    component = np.where(turned[:, None], -component, component)
    return component, np.maximum(height, opposite), np.where(turned, trough, peak)


def _without_trend(beat: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Take the straight line fitted inside the window off each lead."""
    weight = window.astype(beat.dtype)
    samples = np.arange(beat.shape[-1], dtype=beat.dtype)
    centre = (weight * samples).sum(axis=-1) / np.maximum(weight.sum(axis=-1), 1.0)
    ramp = samples - centre[:, None]
    wave = beat - _window_mean(beat, window)[..., None]
    slope = np.einsum("bls,bs->bl", wave, ramp * weight) / np.maximum((ramp**2 * weight).sum(axis=-1), 1.0)[:, None]
    return wave - slope[..., None] * ramp[:, None]
