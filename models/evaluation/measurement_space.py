"""ECGs as points in the space of their measurements, scaled by real training recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.preprocessing import QuantileTransformer

RARELY_MISSING: Final = 0.01
"""Share below which a missing value is no direction of its own."""


@dataclass(frozen=True)
class MeasurementSpace:
    """Normal scores of measurements, and whether each that is often missing is there.

    A measurement becomes the normal quantile of its rank among real training recordings, so that units, skewness and
    single outliers weigh nothing (van der Waerden, 1952). A missing value stands at the median, 0, and, where more than
    1 % of the training recordings lack it, in a column of its own, scaled to unit variance there: an ECG without a
    P wave is told from one with a usual PR interval.

    Attributes:
        scores: of the measurements.
        marked: columns whose absence is a column.
        missing: (marked,) share of training recordings without each.
    """

    scores: QuantileTransformer
    marked: np.ndarray
    missing: np.ndarray

    @classmethod
    def fit(cls, training: np.ndarray) -> MeasurementSpace:
        """Fit to real training recordings.

        Args:
            training: (n, measurements), NaN where missing.
        """
        # A column that nobody has would have no ranks.
        known = np.where(np.isfinite(training).any(axis=0), training, 0.0)
        scores = QuantileTransformer(
            n_quantiles=min(1000, len(training)), output_distribution="normal", subsample=len(training)
        ).fit(known)
        share = 1 - np.isfinite(training).mean(axis=0)
        marked = np.flatnonzero((share > RARELY_MISSING) & (share < 1 - RARELY_MISSING))
        return cls(scores, marked, share[marked])

    def points(self, measured: np.ndarray) -> np.ndarray:
        """(n, measurements), NaN where missing, to (n, measurements + marked) float64 without missing values.

        Scores are clipped at 3, which a value beyond all training recordings would otherwise pass.
        """
        absent = ~np.isfinite(measured)
        scores = np.clip(self.scores.transform(np.where(absent, np.nan, measured)), -3, 3)
        spread = np.sqrt(self.missing * (1 - self.missing))
        marks = (absent[:, self.marked] - self.missing) / spread
        return np.concatenate([np.where(absent, 0.0, scores), marks], axis=1)
