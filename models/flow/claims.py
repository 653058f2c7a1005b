"""Which claims guides satisfy: a claim says that a measured feature is above, below or between values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from models.beats.beats import Beats
from models.beats.measured import measured_beats
from models.evaluation.delivery import Comparison, satisfied
from models.evaluation.textbook_rules import feature_values
from models.rhythm.rhythm import ATRIAL_PREMATURE, NO_BEAT, P_WAVES, PACED, SINUS, Rhythm
from models.simulator.beat_events import EVENTS, P_EXPONENT, USUAL_RR_S

HEART_RATE: Final = "heart_rate_bpm"
"""No guide is chosen by it: a condition says what it is, and drawn rhythms have exactly that."""
_OF_P_WAVE: Final = torch.isclose(EVENTS[:, 2], torch.tensor(P_EXPONENT))


class Claim(Protocol):
    """What is read of a claim, for example `tasks.knowledge.claims.Claim` or a `TextbookRule`."""

    @property
    def feature(self) -> str: ...
    @property
    def lead(self) -> str | None: ...
    @property
    def comparison(self) -> Comparison: ...
    @property
    def value(self) -> float: ...
    @property
    def upper(self) -> float | None: ...


def measured_guides(rhythm: Rhythm, beats: Beats, duration_s: float) -> dict[str, np.ndarray]:
    """What an electrocardiograph would measure on guides, without rendering them.

    Intervals and amplitudes are those of the usual beat at the mean RR interval, with its P wave where the rhythm has
    P waves; heart rate and irregularity those of the R peaks inside the recording.

    Args:
        rhythm: of B rows.
        beats: of each; NaN, as of refused rows, counts as 0.
        duration_s: length of the recordings.

    Returns:
        Feature to (B,) or (B, 12) values, as `models.ecg.measurements.measure` and `models.ecg.qrs_shape.qrs_shapes`
        name them; heart rate and irregularity NaN where fewer than two R peaks are inside.
    """
    rhythm, beats = rhythm.to("cpu"), beats.to("cpu")
    inside = (rhythm.r_times_s >= 0) & (rhythm.r_times_s < duration_s)
    times = torch.where(inside, rhythm.r_times_s, torch.nan).double()
    rr_s = times.diff(dim=1).numpy()
    known = np.isfinite(rr_s)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, rr_s, 0.0).sum(axis=1) / count
    variance = np.where(known, (rr_s - mean[:, None]) ** 2, 0.0).sum(axis=1) / count
    with np.errstate(divide="ignore", invalid="ignore"):
        rate, irregularity = 60.0 / mean, np.sqrt(variance) / mean
    several = known.any(axis=1)
    pace_s = torch.from_numpy(np.where(several, mean, USUAL_RR_S))
    usual = torch.where(_with_p_waves(rhythm)[:, None, None] | ~_OF_P_WAVE, beats.usual.nan_to_num(), 0.0)
    return {
        HEART_RATE: np.where(several, rate, np.nan),
        "rr_irregularity": np.where(several, irregularity, np.nan),
        **measured_beats(usual, pace_s),
    }


def _with_p_waves(rhythm: Rhythm) -> Tensor:
    """Whether most beats of a rhythm have a P wave, (B,), as `models.rhythm.rendering.render` draws them."""
    kinds = rhythm.kinds
    with_p = (kinds == SINUS) | (kinds == ATRIAL_PREMATURE) | (kinds == PACED)
    return (rhythm.atrial == P_WAVES) & (2 * with_p.sum(dim=1) > (kinds != NO_BEAT).sum(dim=1))


def satisfies(measured: dict[str, np.ndarray], claims: Sequence[Claim]) -> np.ndarray:
    """Which rows satisfy which claims, (B, claims) bool; what cannot be measured satisfies none."""
    found = np.zeros((len(measured[HEART_RATE]), len(claims)), dtype=bool)
    of_claim: dict[tuple[str, str | None, Comparison, float, float | None], np.ndarray] = {}
    for place, one in enumerate(claims):
        key = one.feature, one.lead, one.comparison, one.value, one.upper
        if key not in of_claim:
            values = feature_values(measured, one.feature, one.lead)
            of_claim[key] = satisfied(values, one.comparison, one.value, one.upper)
        found[:, place] = of_claim[key]
    return found
