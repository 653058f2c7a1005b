"""Condition delivery: do ECGs satisfy what is true of real ECGs of the same condition, as often as these do?

A criterion says of a condition that a measured feature is above, below or between values ("PR interval above 200 ms"
of first-degree AV block). Its share p of real ECGs is not 1, since neither definitions nor measurements are perfect: a
cohort is held against p, not against 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from models.evaluation.metrics import Estimate, patient_numbers, patient_weights, percentile_interval, wilson

Comparison = Literal["above", "below", "between", "present", "absent"]

LEAST_PATIENTS: Final = 10
"""Patients, or synthetic ECGs, below which a share is flagged and left out of distances."""
FAR_OFF: Final = 0.10
"""Difference of shares that counts as a criterion not delivered."""
DRAWS: Final = 20
"""Draws of real training recordings behind the reference value of a distance."""


def satisfied(values: np.ndarray, comparison: Comparison, value: float, upper: float | None = None) -> np.ndarray:
    """Which of some measured values satisfy a comparison; one that was not measured (NaN) satisfies none.

    Args:
        values: any shape; 1 and 0 for "present" and "absent".
        comparison: "above" and "below" `value`, "between" `value` and `upper` inclusive, "present" or "absent".
    """
    with np.errstate(invalid="ignore"):
        match comparison:
            case "above":
                return values > value
            case "below":
                return values < value
            case "between":
                assert upper is not None
                return (values >= value) & (values <= upper)
            case "present":
                return values > 0.5
            case "absent":
                return values < 0.5


@dataclass(frozen=True)
class Outcomes:
    """Criteria in a set of ECGs.

    Attributes:
        asked: (n, criteria) bool: the ECG is of the criterion's condition.
        satisfied: (n, criteria) bool; a feature that cannot be measured is not satisfied, so that an ECG without a P
            wave has no long PR interval.
        patients: (n,) patient of each ECG; every synthetic ECG its own.
    """

    asked: np.ndarray
    satisfied: np.ndarray
    patients: np.ndarray

    @property
    def patient_counts(self) -> np.ndarray:
        """(criteria,) patients behind each criterion."""
        number = patient_numbers(self.patients) if len(self.patients) else np.zeros(0, int)
        return np.array([len(np.unique(number[asked])) for asked in self.asked.T])

    def shares(self, weights: np.ndarray) -> np.ndarray:
        """Share of the asked ECGs that satisfy each criterion, Σ w·asked·satisfied / Σ w·asked.

        Args:
            weights: (samples, n).

        Returns:
            (samples, criteria); NaN where nothing was asked.
        """
        hits = weights @ (self.asked & self.satisfied).astype(np.float64)
        asked = weights @ self.asked.astype(np.float64)
        return np.divide(hits, asked, out=np.full(hits.shape, np.nan), where=asked > 0)

    def share_estimates(self) -> list[Estimate]:
        """Each share with its Wilson interval, which counts patients, not ECGs."""
        shares = self.shares(np.ones((1, len(self.patients))))[0]
        return [
            wilson(share * count, int(count)) if count else Estimate(np.nan, np.nan, np.nan)
            for share, count in zip(shares, self.patient_counts, strict=True)
        ]


class Distance(NamedTuple):
    """How far the shares of a cohort are from those of real ECGs, over the criteria that both have enough ECGs of.

    Attributes:
        mean: mean over criteria of |p − q|, with its interval. Never 0 with finitely many ECGs: compare `among_real`.
        among_real: the same mean for real training recordings in the cohort's place, as many per criterion.
        rms: √ mean((p − q)² − v) with v the bootstrap variance of p − q: without sampling noise, 0 if that explains it.
        far_off: share of criteria with |p − q| above `FAR_OFF`, with its interval.
        far_off_among_real: the same of real training recordings.
        criteria: number of criteria compared.
    """

    mean: Estimate
    among_real: float
    rms: Estimate
    far_off: Estimate
    far_off_among_real: float
    criteria: int


def delivery_distance(synthetic: Outcomes, real: Outcomes, train: Outcomes, samples: int, seed: int) -> Distance:
    """Distance between the shares of a cohort and of real ECGs.

    Both sets are resampled by patient. A resample adds noise to |p − q|, so its distances lie above the value: their
    mean excess is taken off the interval (bias estimate of Efron and Tibshirani 1993, §10.2), which stays in 0 to 1.

    Args:
        synthetic, real: the same criteria in both; real means held out.
        train: the same criteria in training recordings, whose patients are none of `real`.
        samples: bootstrap resamples.
    """
    compared = (synthetic.patient_counts >= LEAST_PATIENTS) & (real.patient_counts >= LEAST_PATIENTS)
    nothing = Estimate(np.nan, np.nan, np.nan)
    if not compared.any():
        return Distance(nothing, np.nan, nothing, nothing, np.nan, 0)
    synthetic, real, train = (
        Outcomes(one.asked[:, compared], one.satisfied[:, compared], one.patients) for one in (synthetic, real, train)
    )
    one_of_each = [np.ones((1, len(one.patients))) for one in (synthetic, real)]
    difference = (synthetic.shares(one_of_each[0]) - real.shares(one_of_each[1]))[0]
    drawn = synthetic.shares(patient_weights(synthetic.patients, samples, seed))
    drawn = drawn - real.shares(patient_weights(real.patients, samples, seed + 1))
    variance = np.nanvar(drawn, axis=0)
    of_real = np.abs(_shares_at(train, synthetic.asked.sum(axis=0), seed) - real.shares(one_of_each[1]))
    # A resample's difference holds the noise of the sample and that of the resample.
    rms = lambda of, noises: np.sqrt(np.maximum(np.mean(of**2 - noises * variance, axis=-1), 0.0))  # noqa: E731
    absolute = np.abs(drawn)
    return Distance(
        mean=_less_bias(float(np.abs(difference).mean()), np.nanmean(absolute, axis=1)),
        among_real=float(np.nanmean(of_real)),
        rms=percentile_interval(float(rms(difference, 1)), rms(np.where(np.isfinite(drawn), drawn, difference), 2)),
        far_off=_less_bias(float((np.abs(difference) > FAR_OFF).mean()), (absolute > FAR_OFF).mean(axis=1)),
        far_off_among_real=float((of_real > FAR_OFF).mean()),
        criteria=int(compared.sum()),
    )


def _less_bias(value: float, resampled: np.ndarray) -> Estimate:
    """Percentile interval, moved by the mean excess of the resamples over the value."""
    return percentile_interval(value, np.clip(resampled - (resampled.mean() - value), 0.0, 1.0))


def _shares_at(outcomes: Outcomes, sizes: Sequence[int] | np.ndarray, seed: int) -> np.ndarray:
    """(DRAWS, criteria) shares of random subsets without replacement of so many ECGs, of all where there are fewer."""
    rng = np.random.default_rng(seed)
    shares = np.full((DRAWS, len(sizes)), np.nan)
    for one, size in enumerate(sizes):
        hits = outcomes.satisfied[outcomes.asked[:, one], one]
        if len(hits):
            taken = min(int(size), len(hits))
            shares[:, one] = [rng.choice(hits, taken, replace=False).mean() for _ in range(DRAWS)]
    return shares
