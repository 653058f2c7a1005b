"""The simulator with events at set places: what differs between people is how large each event is in each lead.

ECGSYN describes a beat by events i of amplitude a_i, phase θ_i and width b_i (`models.simulator.ecgsyn`; McSharry et
al., IEEE TBME 50:289–294, 2003). Seven events a lead with free places draw any beat, but draw the same beat in many
ways, and a model that learned their parameters would mix ways that do not fit together. With more events, whose places
and widths are the same for everybody, a beat has one description, linear in the beat: fitting is least squares, and
whatever is true of beats on average is true of amplitudes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.ecg.median_beats import BEFORE_R_S, GRID_HZ, median_beats
from models.simulator.beat_sum import BeatWaves, sum_of_beats
from models.simulator.isolated_beats import COARSER, isolated

P_EXPONENT, QRS_EXPONENT, T_EXPONENT = 0.2, 0.0, 1.0 / 3.0
"""Power of RR (in seconds) that place and width follow, as in `models.simulator.hearts`."""
RIDGE: Final = 0.02
AT_ONCE: Final = 64
USUAL_RR_S: Final = 0.8
"""RR interval where fewer than two R peaks are known."""
LAST_RR_SHARE: Final = 0.3
"""Waves follow the usual RR interval of a recording and, by this share, the last one: repolarisation remembers."""
PACE_RANGE_S: Final = (0.25, 2.5)


def _events() -> Tensor:
    """(events, 3): centre and width in seconds at an RR interval of 1 s, and the power of RR that both follow.

    Denser where beats change faster: neighbours are one width apart.
    """
    p_wave = [(centre, 0.022, P_EXPONENT) for centre in np.arange(-0.260, -0.075, 0.022)]
    qrs = [(centre, 0.0085, QRS_EXPONENT) for centre in np.arange(-0.0680, 0.0681, 0.0085)]
    t_wave = [(centre, 0.028, T_EXPONENT) for centre in np.arange(0.085, 0.460, 0.028)]
    return torch.tensor([*p_wave, *qrs, *t_wave], dtype=torch.float32)


EVENTS: Final = _events()
"""Centre and width in seconds at an RR interval of 1 s, and the power of RR that both follow: (events, 3)."""


@dataclass(frozen=True)
class EventFit:
    """Usual beats of recordings as events.

    Attributes:
        rows: (n,) index of each recording among those given; recordings with fewer than two beats are left out.
        amplitude: (n, 8, events) mV.
    """

    rows: Tensor
    amplitude: Tensor


def event_shapes(seconds: Tensor, rr_s: Tensor) -> Tensor:
    """Events of amplitude 1: (samples,) seconds from the R peak and (B,) RR intervals to (B, events, samples)."""
    scale = rr_s[:, None] ** EVENTS[:, 2]
    centre, width = EVENTS[:, 0] * scale, EVENTS[:, 1] * scale
    return torch.exp(-0.5 * ((seconds - centre[..., None]) / width[..., None]).square())


def fit_events(signal: np.ndarray, r_peaks: list[np.ndarray], rate_hz: float) -> EventFit:
    """Fit the events to each recording's median beat, by ridge least squares.

    Args:
        signal: (batch, 8, samples) mV.
        r_peaks: positions in samples per recording, from `models.ecg.r_peaks.locate_r_peaks`.
        rate_hz: sampling rate.
    """
    beats = median_beats(signal, r_peaks, rate_hz)
    return EventFit(torch.from_numpy(beats.rows), fit_median_beats(beats.beat, beats.rr_s))


def fit_median_beats(beat: np.ndarray, rr_s: np.ndarray, from_s: float = -BEFORE_R_S) -> Tensor:
    """Fit the events to median beats, by ridge least squares.

    Args:
        beat: (n, 8, samples) mV, as `models.ecg.median_beats` makes them.
        rr_s: (n,) usual RR interval in seconds.
        from_s: seconds from the R peak before which nothing belongs to the beat; events centred there get 0.

    Returns:
        (n, 8, events) mV.
    """
    seconds = torch.from_numpy(np.arange(beat.shape[-1])[::COARSER] / GRID_HZ - BEFORE_R_S).float()
    used = EVENTS[:, 0] >= from_s
    amplitude = torch.zeros(len(beat), beat.shape[1], len(EVENTS))
    for at in range(0, len(beat), AT_ONCE):
        rows = slice(at, at + AT_ONCE)
        pace_s = torch.from_numpy(rr_s[rows]).float()
        part, weight = isolated(torch.from_numpy(np.ascontiguousarray(beat[rows, :, ::COARSER])), seconds, pace_s)
        shapes = event_shapes(seconds, pace_s)[:, used]
        weighted = shapes * weight * (seconds >= from_s)
        gram = weighted @ shapes.mT + RIDGE * torch.eye(shapes.shape[1])
        amplitude[rows][:, :, used] = torch.linalg.solve(gram, weighted @ part.mT).mT
    return amplitude


def simulated_ecg(amplitude: Tensor, r_times_s: Tensor, rate_hz: float, samples: int) -> Tensor:
    """ECGs of given beats at given times; differentiable in the amplitudes.

    Args:
        amplitude: (B, 8, events) mV.
        r_times_s: (B, P) ascending R peaks in seconds from the first sample, padded with NaN; P at least 2.
        rate_hz: sampling rate.
        samples: length.

    Returns:
        (B, 8, samples) mV: every beat at the recording's usual pace and, in part, that of its own RR interval. The bits
        of a row do not depend on other rows.
    """
    there = torch.isfinite(r_times_s)
    last_rr = torch.where(there[:, 1:], r_times_s.diff(dim=1), torch.nan)
    usual = last_rr.nanmedian(dim=1).values.nan_to_num(nan=USUAL_RR_S)[:, None]
    last_rr = torch.cat([usual, torch.where(last_rr.isfinite(), last_rr, usual)], dim=1)
    pace_s = ((1 - LAST_RR_SHARE) * usual + LAST_RR_SHARE * last_rr).clamp(*PACE_RANGE_S)
    times, size = r_times_s.nan_to_num(nan=0.0), torch.ones_like(r_times_s)
    centre, width, exponent = (
        column.expand(len(amplitude), -1) for column in EVENTS.to(amplitude.device).unbind(dim=1)
    )
    parts = []
    for at in range(0, len(amplitude), AT_ONCE):
        rows = slice(at, at + AT_ONCE)
        waves = BeatWaves(amplitude[rows].mT, centre[rows], width[rows], exponent[rows])
        timing = there[rows], times[rows], pace_s[rows], size[rows]
        parts.append(sum_of_beats(waves, *timing, rate_hz, samples, PACE_RANGE_S))
    return torch.cat(parts)
