"""Premature beats of a recording: by their shape beside the recording's usual beat and by when they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import uniform_filter1d

SHAPE_HZ: Final = 100.0
SHAPE_S: Final = np.arange(-12, 17) / SHAPE_HZ
"""Seconds from the R peak at which beats are compared: QRS complex and the beginning of the ST segment."""
SHIFTS: Final = (-2, -1, 0, 1, 2)
"""Samples by which a beat may be moved to fit the usual one."""
ALIKE: Final = 0.8
"""Correlation over all leads from which two beats have one shape."""
WIDER: Final = 1.05
"""Effective QRS width over that of the usual beat from which a beat of another shape is ventricular."""
SECOND_SHAPE: Final = 0.3
"""Share of beats from which those of another shape may be the usual ones, as in bigeminy."""
EARLY, PAUSE_AFTER = 0.87, 1.08
"""RR over the local usual one below which a beat is premature, and RR after it over that into it, at least."""
NEIGHBOURS: Final = 3
"""Intervals on either side that are the local usual ones."""


@dataclass(frozen=True)
class BeatShapes:
    """Shape of the beats of one recording.

    Attributes:
        correlation: (beats,) with the usual beat over all leads, at the best shift.
        width: (beats,) effective QRS width over that of the usual beat.
    """

    correlation: np.ndarray
    width: np.ndarray


def ventricular_beats(signal: np.ndarray, r_times_s: np.ndarray, rate_hz: float) -> np.ndarray:
    """Beats of another shape than the recording's usual beat and with a wider QRS complex.

    Args:
        signal: (8, samples) mV.
        r_times_s: (beats,) ascending seconds.
        rate_hz: sampling rate.

    Returns:
        (beats,) bool; False for beats that the edge cuts off.
    """
    if len(r_times_s) < 3:
        return np.zeros(len(r_times_s), dtype=bool)
    shapes = beat_shapes(signal, r_times_s, rate_hz)
    whole = (r_times_s + SHAPE_S[0] >= 0) & (r_times_s + SHAPE_S[-1] <= (signal.shape[1] - 1) / rate_hz)
    return whole & (shapes.correlation < ALIKE) & (shapes.width > WIDER)


def atrial_premature_beats(r_times_s: np.ndarray, ventricular: np.ndarray) -> np.ndarray:
    """Beats that come abruptly early, a longer interval following, and are not ventricular.

    Args:
        r_times_s: (beats,) ascending seconds.
        ventricular: (beats,) bool, from `ventricular_beats`.

    Returns:
        (beats,) bool; never the first or last one, nor a neighbour of a ventricular beat.
    """
    rr = np.diff(r_times_s)
    early = np.zeros(len(r_times_s), dtype=bool)
    if len(rr) < 3:
        return early
    clear = undisturbed(rr, ventricular)
    for beat in np.flatnonzero(~(ventricular[:-2] | ventricular[1:-1] | ventricular[2:])) + 1:
        near = np.arange(max(0, int(beat) - 1 - NEIGHBOURS), min(len(rr), int(beat) + NEIGHBOURS + 1))
        near = near[(near != beat - 1) & (near != beat) & clear[near]]
        local = np.median(rr[near]) if len(near) > 1 else 0.0
        early[beat] = rr[beat - 1] < EARLY * local and rr[beat] > PAUSE_AFTER * rr[beat - 1]
    return early


def undisturbed(intervals: np.ndarray, premature: np.ndarray) -> np.ndarray:
    """Which RR intervals have no premature beat on either side, (beats − 1,) bool; all, where too few are left."""
    found = ~(premature[1:] | premature[:-1])
    return found if found.sum() > 2 else np.ones(len(intervals), dtype=bool)


def beat_shapes(signal: np.ndarray, r_times_s: np.ndarray, rate_hz: float) -> BeatShapes:
    """Compare the beats of one recording with its usual beat; arguments as those of `ventricular_beats`."""
    beats = _cut(signal, r_times_s, rate_hz)
    vectors = beats.reshape(len(beats), -1)
    size = np.linalg.norm(vectors, axis=1) + 1e-6
    alike = (vectors @ vectors.T) / size[:, None] / size
    width = _effective_width(beats)
    usual = alike[np.argmax((alike > ALIKE).sum(axis=1) + alike.mean(axis=1))] > ALIKE
    if (~usual).mean() >= SECOND_SHAPE:
        # In bigeminy premature beats can be as many as the others: those that are wide and come early.
        into = np.concatenate([[np.nan], np.diff(r_times_s)])
        first, other = into[usual], into[~usual]
        early = np.nanmedian(first) < EARLY * np.nanmedian(other) if len(first) > 1 and len(other) > 1 else False
        if early and np.median(width[usual]) > np.median(width[~usual]):
            usual = ~usual
    template = np.median(beats[usual], axis=0)
    norm = np.linalg.norm(template) + 1e-6
    fits = [np.roll(beats, shift, axis=2).reshape(len(beats), -1) @ template.ravel() for shift in SHIFTS]
    return BeatShapes(np.max(fits, axis=0) / size / norm, width / _effective_width(template[None])[0])


def _cut(signal: np.ndarray, r_times_s: np.ndarray, rate_hz: float) -> np.ndarray:
    """Beats at 100 Hz about their exact R peak, (beats, 8, `SHAPE_S`), each lead's median taken off; cubic."""
    step = max(1, round(rate_hz / SHAPE_HZ))
    smooth = uniform_filter1d(signal, step, axis=1, mode="nearest") if step > 1 else signal
    place = (r_times_s[:, None] + SHAPE_S) * rate_hz
    at = np.floor(place).astype(int)
    part = place - at
    weights = (
        -part * (part - 1) * (part - 2) / 6,
        (part + 1) * (part - 1) * (part - 2) / 2,
        -(part + 1) * part * (part - 2) / 2,
        (part + 1) * part * (part - 1) / 6,
    )
    last = signal.shape[1] - 1
    beats = sum(
        smooth[:, np.clip(at + tap, 0, last)] * weight for tap, weight in zip((-1, 0, 1, 2), weights, strict=True)
    )
    beats = np.moveaxis(np.asarray(beats), 0, 1)
    return beats - np.median(beats, axis=2, keepdims=True)


def _effective_width(beats: np.ndarray) -> np.ndarray:
    """Area of the deflection over all leads over its height, (beats,) samples."""
    deflection = np.sqrt((beats**2).sum(axis=1))
    return deflection.sum(axis=1) / np.maximum(deflection.max(axis=1), 1e-6)
