"""Fits the numbers that rhythms are drawn from (`models.rhythm.statistics`) to training recordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.rhythm.rhythm import ATRIAL_PREMATURE, P_WAVES, VENTRICULAR_PREMATURE, Rhythm
from models.rhythm.statistics import (
    ATRIAL_BEATS,
    ECTOPIES,
    RHYTHMS,
    SHARES,
    USUAL,
    VENTRICULAR_BEATS,
    EctopyStatistics,
    Quantiles,
    RhythmStatistics,
    SeriesStatistics,
)

FEWEST_PATIENTS: Final = 20
"""Patients that numbers must come from; where there are fewer, `USUAL` stands in."""
PREMATURE_KINDS: Final = {ATRIAL_BEATS: ATRIAL_PREMATURE, VENTRICULAR_BEATS: VENTRICULAR_PREMATURE}


def fit_statistics(
    rhythm: Rhythm, duration_s: float, stated: np.ndarray, stated_ectopy: np.ndarray, patients: Sequence[str]
) -> SeriesStatistics:
    """Numbers of every rhythm and of premature beats from training recordings.

    Args:
        rhythm: of B recordings, from `models.rhythm.recorded.rhythm_of_recordings`.
        duration_s: length of the recordings; beats outside of them do not count.
        stated: (B,) index into `RHYTHMS` of what each recording's statements say.
        stated_ectopy: (B,) index into `ECTOPIES`, likewise; a rhythm's numbers come from recordings without any.
        patients: patient of each.

    Returns:
        Numbers over at least 20 patients each, otherwise those of `USUAL`.
    """
    who = np.asarray(patients)
    rows = zip(rhythm.r_times_s.double().numpy(), rhythm.kinds.numpy(), strict=True)
    series = [_series(times_s, kinds, duration_s) for times_s, kinds in rows]
    measured = np.array([_rate_and_variability(rr) for rr, _ in series]).reshape(-1, 2)
    with_p = rhythm.atrial.numpy() == P_WAVES
    rhythms = {}
    for index, name in enumerate(RHYTHMS):
        # What is found premature where nobody said so is often the rhythm itself, sinus arrhythmia above all.
        chosen = (stated == index) & (stated_ectopy == 0) & np.isfinite(measured).all(axis=1)
        supported = len(set(who[chosen]))
        if supported < FEWEST_PATIENTS:
            rhythms[name] = USUAL.rhythms[name]
            continue
        rhythms[name] = RhythmStatistics(
            patients=supported,
            heart_rate_bpm=_quantiles(measured[chosen, 0], 1),
            rr_variability=_quantiles(measured[chosen, 1], 4),
            p_wave_share=round(float(with_p[chosen].mean()), 2),
        )
    ectopy = {}
    for name, kind in PREMATURE_KINDS.items():
        # Only where somebody said that there are premature beats is what was found surely one of them.
        shown = [row for row in np.flatnonzero(stated_ectopy == ECTOPIES.index(name)) if (series[row][1] == kind).any()]
        supported = len(set(who[shown]))
        numbers = [_prematurity(*series[row], kind) for row in shown]
        pauses = [pause for _, _, pause in numbers if np.isfinite(pause)]
        if supported < FEWEST_PATIENTS or len(pauses) < FEWEST_PATIENTS:
            ectopy[name] = USUAL.ectopy[name]
            continue
        ectopy[name] = EctopyStatistics(
            patients=supported,
            share=_quantiles(np.array([share for share, _, _ in numbers]), 3),
            coupling=_quantiles(np.array([coupling for _, coupling, _ in numbers]), 3),
            pause=_quantiles(np.array(pauses), 3),
        )
    return SeriesStatistics(rhythms=rhythms, ectopy=ectopy)


def _series(r_times_s: np.ndarray, kinds: np.ndarray, duration_s: float) -> tuple[np.ndarray, np.ndarray]:
    """RR intervals between the beats inside a recording, and the kinds of these beats."""
    inside = (r_times_s >= 0) & (r_times_s < duration_s)
    return np.diff(r_times_s[inside]), kinds[inside]


def _premature(kinds: np.ndarray) -> np.ndarray:
    return (kinds == ATRIAL_PREMATURE) | (kinds == VENTRICULAR_PREMATURE)


def _rate_and_variability(rr: np.ndarray) -> tuple[float, float]:
    """60 over the mean RR, and the standard deviation of RR over its mean."""
    if len(rr) < 3:
        return np.nan, np.nan
    return 60.0 / float(rr.mean()), float(rr.std() / rr.mean())


def _prematurity(rr: np.ndarray, kinds: np.ndarray, kind: int) -> tuple[float, float, float]:
    """Share of beats of a kind, and the medians of the RR intervals into and after them over the usual one."""
    of_kind, early = kinds == kind, _premature(kinds)
    undisturbed = rr[~(early[1:] | early[:-1])]
    # In bigeminy no interval is undisturbed: the one into and the one after are two usual ones together.
    usual = float(np.median(undisturbed)) if len(undisturbed) else float(rr.mean())
    into, after = rr[of_kind[1:]], rr[of_kind[:-1] & ~early[1:]]
    medians = [float(np.median(some)) / usual if len(some) else np.nan for some in (into, after)]
    return float(of_kind.mean()), medians[0], medians[1]


def _quantiles(values: np.ndarray, digits: int) -> Quantiles:
    """Quantiles of the finite values, rounded, so that no value is anybody's own to the last digit."""
    found = np.quantile(values[np.isfinite(values)], SHARES).round(digits).tolist()
    return found[0], found[1], found[2], found[3], found[4]
