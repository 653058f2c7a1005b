"""What training recordings show of each rhythm: a few robust numbers over many patients, none of any one recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.architecture import RhythmStatistics
from models.simulator.rhythm_series import RHYTHMS, USUAL, VARIABILITY_RANGE

FEWEST_PATIENTS: Final = 20
EARLY: Final = 0.85
"""A beat is premature when its RR interval is shorter than this share of the recording's median."""
SMALLEST_SPREAD_BPM: Final = 1.0


def rhythm_statistics(
    r_peaks_s: Sequence[np.ndarray], rhythms: Sequence[int], patients: Sequence[str]
) -> dict[str, RhythmStatistics]:
    """Numbers of every rhythm.

    Args:
        r_peaks_s: R peaks of each training recording in seconds.
        rhythms: rhythm of each, an index into `RHYTHMS`.
        patients: patient of each.

    Returns:
        Rhythm to its numbers; a rhythm of fewer than 20 patients gets the simulator's (`USUAL`).
    """
    found = {}
    for index, name in enumerate(RHYTHMS):
        chosen = [row for row, rhythm in enumerate(rhythms) if rhythm == index and len(r_peaks_s[row]) > 3]
        supported = len({patients[row] for row in chosen})
        if supported < FEWEST_PATIENTS:
            found[name] = USUAL[name]
            continue
        # Only where the simulator sets premature beats apart from the rhythm are they measured apart.
        ectopic = USUAL[name].ectopic_share > 0
        series = [np.diff(r_peaks_s[row]) for row in chosen]
        early = [_early(rr) if ectopic else np.zeros(len(rr), dtype=bool) for rr in series]
        variability = [_variability(rr, premature) for rr, premature in zip(series, early, strict=True)]
        rates = 60.0 / np.array([np.median(rr) for rr in series])
        low, lower, median, upper, high = np.percentile(rates, [5, 25, 50, 75, 95])
        logs = np.log(np.clip(variability, *VARIABILITY_RANGE))
        log_lower, log_median, log_upper = np.percentile(logs, [25, 50, 75])
        spread = max((upper - lower) / 1.349, SMALLEST_SPREAD_BPM)
        found[name] = RhythmStatistics(
            patients=supported,
            heart_rate_bpm=round(median, 2),
            heart_rate_spread_bpm=round(spread, 2),
            # Rates that are all alike still get a range, so that no single value is given away.
            heart_rate_range_bpm=(round(min(low, median - spread), 2), round(max(high, median + spread), 2)),
            rr_variability=round(float(np.exp(log_median)), 4),
            rr_variability_log_spread=round((log_upper - log_lower) / 1.349, 4),
            ectopic_share=round(float(np.mean([premature.mean() for premature in early])), 4) if ectopic else 0.0,
        )
    return found


def _early(rr: np.ndarray) -> np.ndarray:
    """Which intervals end in a premature beat."""
    return rr < EARLY * np.median(rr)


def _variability(rr: np.ndarray, early: np.ndarray) -> float:
    """Standard deviation of RR over its mean, without the intervals before and after a premature beat."""
    after = np.concatenate([[False], early[:-1]])
    usual = rr[~(early | after)]
    kept = usual if len(usual) > 2 else rr
    return float(kept.std() / kept.mean())
