"""How fast the hearts of a group of patients beat: a law to draw heart rates from, made of no single patient's rate.

A law is made of quantiles, each a mean of all rates of the group, weighted by how likely each of them is the quantile
(Harrell and Davis, Biometrika 69:635, 1982). A quantile is used only where no patient's rate makes more than half of
it, the dominance rule of statistical disclosure control (Hundepool et al., Statistical Disclosure Control, 2012): the
quartiles need 5 patients, the 5 and 95 % quantiles 26. A patient counts once, with the median of their recordings.
Between and beyond its quantiles the law is linear in the normal score. So its tails are those of a normal distribution,
as wide as the group is there, and do not end at whoever has the lowest or highest rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import betainc, ndtri

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
TAIL: Final = 0.005
"""The law ends at this quantile and at its mirror image."""
LARGEST_WEIGHT: Final = 0.5
"""Of one patient's rate in a quantile."""
SMALLEST_SPREAD_BPM: Final = 1.0
"""Per unit of normal score, also where all patients share one rate: it is not given away."""
RANGE_BPM: Final = (25.0, 220.0)


@dataclass(frozen=True)
class HeartRateLaw:
    """Heart rates of a group: where the law bends.

    Attributes:
        scores: normal scores, rising, from that of the 0.5 % quantile to that of the 99.5 % quantile.
        rates_bpm: heart rate at each.
    """

    scores: tuple[float, ...]
    rates_bpm: tuple[float, ...]

    def draw(self, share: float) -> float:
        """The heart rate in bpm below which `share` (0 … 1) of the law lies; it rises with the share."""
        return float(np.interp(ndtri(TAIL + share * (1 - 2 * TAIL)), self.scores, self.rates_bpm))


def heart_rate_law(rates_bpm: np.ndarray, patients: np.ndarray, min_patients: int) -> HeartRateLaw | None:
    """The law of a group.

    Args:
        rates_bpm: (recordings,) NaN where unknown.
        patients: (recordings,) patient of each.
        min_patients: patients whose rate must be known.

    Returns:
        The law; None where fewer than `min_patients` rates are known, or fewer than the 5 that quartiles need.
    """
    known = np.isfinite(rates_bpm)
    of_patient = np.sort(patient_medians(rates_bpm[known], patients[known]))
    count = len(of_patient)
    if count == 0 or count < min_patients:
        return None
    weights = {share: order_weights(count, share) for share in QUANTILES}
    used = [share for share in QUANTILES if weights[share].max() <= LARGEST_WEIGHT]
    if len(used) < 3:
        return None
    quantiles = np.array([weights[share] @ of_patient for share in used])
    slopes = np.maximum(np.diff(quantiles) / np.diff(ndtri(used)), SMALLEST_SPREAD_BPM)
    slopes = np.concatenate([slopes[:1], slopes, slopes[-1:]])
    scores = ndtri([TAIL, *used, 1 - TAIL])
    rise = np.concatenate([[0.0], np.cumsum(slopes * np.diff(scores))])
    # Counted from the median, which stays where it is when a slope is raised. The law ends in range rather than being
    # cut there, so that no rate is drawn again and again.
    middle = used.index(0.5)
    rates = np.clip(quantiles[middle] + rise - rise[middle + 1], *RANGE_BPM)
    return HeartRateLaw(tuple(scores.tolist()), tuple(rates.tolist()))


def patient_medians(rates_bpm: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """(patients,) median heart rate of each patient, from (recordings,) rates without NaN."""
    order = np.lexsort((rates_bpm, patients))
    rising = rates_bpm[order]
    _, first, count = np.unique(patients[order], return_index=True, return_counts=True)
    return (rising[first + (count - 1) // 2] + rising[first + count // 2]) / 2


def order_weights(count: int, share: float) -> np.ndarray:
    """(count,) weight of each rate, the lowest first, in the Harrell–Davis estimate of a quantile.

    As in `scipy.stats.mstats.hdquantiles`, which does not tell the weights.
    """
    edges = np.arange(count + 1) / count
    return np.diff(betainc((count + 1) * share, (count + 1) * (1 - share), edges))
