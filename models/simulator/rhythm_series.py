"""The RR series of an ECG that is to be generated: drawn by the simulator from the row's seed, heart rate and rhythm.

A rhythm is what a condition's statements imply about when the heart beats. How regular it is, and how fast where the
condition does not say, is drawn from a few robust numbers of the training recordings of that rhythm; where too few
patients support such numbers, the simulator's own stand in.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from scipy.special import ndtr, ndtri

from models.architecture import RhythmStatistics
from models.simulator.rhythms import draw_beats

FIBRILLATION: Final = "atrial fibrillation"

USUAL: Final[dict[str, RhythmStatistics]] = {
    "sinus": RhythmStatistics.usual((60.0, 95.0), rr_variability=0.03),
    "sinus bradycardia": RhythmStatistics.usual((40.0, 57.0), rr_variability=0.035),
    "sinus tachycardia": RhythmStatistics.usual((103.0, 140.0), rr_variability=0.015),
    "sinus arrhythmia": RhythmStatistics.usual((55.0, 85.0), rr_variability=0.11),
    FIBRILLATION: RhythmStatistics.usual((60.0, 135.0), rr_variability=0.21),
    "ectopic beats": RhythmStatistics.usual((60.0, 95.0), rr_variability=0.03, ectopic_share=0.1),
}
"""Rhythms and the numbers that stand in where training recordings do not support better ones
(`models.simulator.simulated_conditions`)."""

RHYTHMS: Final = tuple(USUAL)
"""Rhythms in the order of `ConditionTensors.rhythm`; the first is that of conditions that name none."""

VARIABILITY_RANGE: Final = (0.002, 0.4)
LARGEST_DEVIATION: Final = 1.645
"""Standard normal draws are limited to their 5–95 % range, so that no extreme of a training recording returns."""
PACE_TOLERANCE: Final = 0.002
"""Relative error of the mean RR interval that needs no correction."""
CORRECTIONS: Final = 8
ATTEMPTS: Final = 6
"""Series that are drawn at most until one has the asked mean."""


def draw_r_peaks(
    rhythm: int,
    heart_rate_bpm: float | None,
    statistics: RhythmStatistics,
    duration_s: float,
    generator: torch.Generator,
) -> np.ndarray:
    """R peaks of one recording.

    Args:
        rhythm: index into `RHYTHMS`.
        heart_rate_bpm: the rate asked for, or None to draw one of the rhythm's.
        statistics: of that rhythm.
        duration_s: length of the recording in seconds.
        generator: every draw comes from it.

    Returns:
        (P,) ascending seconds from the start of the recording, all inside it. Their mean RR interval is 60 / heart
        rate, as nearly as beats that enter and leave the recording let it be.
    """
    of_rate, of_variability = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    rate = _draw_rate(statistics, of_rate) if heart_rate_bpm is None else float(heart_rate_bpm)
    deviation = float(ndtri(ndtr(-LARGEST_DEVIATION) + of_variability * (1 - 2 * ndtr(-LARGEST_DEVIATION))))
    variability = statistics.rr_variability * np.exp(statistics.rr_variability_log_spread * deviation)
    fibrillation = RHYTHMS[rhythm] == FIBRILLATION
    best, smallest = np.empty(0), np.inf
    for _ in range(ATTEMPTS):
        beats = draw_beats(
            torch.tensor([rate]),
            torch.tensor([float(np.clip(variability, *VARIABILITY_RANGE))]),
            duration_s,
            generator,
            torch.tensor([fibrillation]),
            torch.tensor([statistics.ectopic_share]),
        )
        peaks, error = _at_pace(beats.r_time_s[0].double().numpy(), 60.0 / rate, duration_s)
        if error < smallest:
            best, smallest = peaks, error
        if smallest < PACE_TOLERANCE:
            break
    return best


def _draw_rate(statistics: RhythmStatistics, share: float) -> float:
    """The heart rate below which `share` of a normal distribution limited to the 5–95 % range lies."""
    median, spread = statistics.heart_rate_bpm, statistics.heart_rate_spread_bpm
    low, high = (ndtr((end - median) / spread) for end in statistics.heart_rate_range_bpm)
    return float(median + spread * ndtri(low + share * (high - low)))


def _at_pace(times_s: np.ndarray, rr_s: float, duration_s: float) -> tuple[np.ndarray, float]:
    """Stretch time about the middle of the recording until the mean RR inside it is the one asked for.

    Stretching moves beats over the edges, which can change the mean again; the best of several tries is kept.

    Returns:
        The beats inside the recording, and the relative error of their mean RR interval.
    """
    middle, best, smallest = 0.5 * duration_s, np.empty(0), np.inf
    for _ in range(CORRECTIONS):
        inside = times_s[(times_s >= 0) & (times_s < duration_s)]
        if len(inside) < 2:
            break
        factor = rr_s / float(np.mean(np.diff(inside)))
        if abs(factor - 1) < smallest:
            best, smallest = inside, abs(factor - 1)
        if smallest < PACE_TOLERANCE:
            break
        times_s = middle + (times_s - middle) * factor
    return best, smallest
