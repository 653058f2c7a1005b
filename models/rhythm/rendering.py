"""The simulator's ECG of given beats at given times, for a batch: closed form, on the device, no loop over rows.

As in `models.simulator.beat_events`, a beat is a sum of Gaussian events whose places and widths follow its pace. Here
every sample asks which beats it can belong to, instead of every beat being added where it lies: a QRS complex is that
of the nearest R peak, a P wave that of the next one, a T wave that of the last two. Nothing is scattered, so that a sum
has one order on every device, and all events of a row are one matrix product.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from models.beats.beats import Beats
from models.rhythm.atrial_waves import atrial_waves
from models.rhythm.rhythm import (
    ATRIAL_PREMATURE,
    FIBRILLATION,
    FLUTTER,
    P_WAVES,
    PACED,
    SINUS,
    VENTRICULAR_PREMATURE,
    Rhythm,
    passed,
)
from models.simulator.beat_events import (
    EVENTS,
    LAST_RR_SHARE,
    P_EXPONENT,
    PACE_RANGE_S,
    QRS_EXPONENT,
    T_EXPONENT,
    USUAL_RR_S,
)

P_AFTER_R_S, T_BEFORE_R_S = 0.014, 0.05
"""How far P waves reach behind their R peak and T waves before theirs, at the slowest pace."""
FAR_S: Final = 1e3
"""Distance of a sample from the beat of a wave that it does not have."""
SMALLEST_EXPONENT: Final = 30.0
"""Of a Gaussian: far from its centre it would be a denormal number, which processors handle a hundred times slower."""
SAMPLES_AT_ONCE: Final = {"cpu": 32_000, "cuda": 1_024_000}
"""Samples rendered at once, over rows: a million need less than 1 GB."""


def _events(power: float) -> Tensor:
    """(events, 2): centre in widths and one over the width in 1/s, both times √½, of the events that follow RR so."""
    events = EVENTS[torch.isclose(EVENTS[:, 2], torch.tensor(power))]
    return math.sqrt(0.5) * torch.stack([events[:, 0] / events[:, 1], 1.0 / events[:, 1]], dim=1)


P_EVENTS, QRS_EVENTS, T_EVENTS = (_events(power) for power in (P_EXPONENT, QRS_EXPONENT, T_EXPONENT))
"""In this order they are `EVENTS`."""


def render(beats: Beats, rhythm: Rhythm, rate_hz: float, samples: int, seeds: Tensor) -> Tensor:
    """ECGs of given beats at a given rhythm; differentiable in the amplitudes.

    Ventricular premature beats, and paced beats of somebody whose beats mostly are not, are the ectopic beat, where
    there is one. Only sinus, atrial premature and paced beats have P waves, and only where atria make them; where
    they fibrillate or flutter, their waves are added (`models.rhythm.atrial_waves`).

    Args:
        beats: usual and ectopic beat of each row.
        rhythm: of as many rows, on the same device.
        rate_hz: sampling rate.
        samples: length.
        seeds: (B,) int64; atrial waves are drawn from them.

    Returns:
        (B, 8, samples) mV, leads in the order of `models.leads.INDEPENDENT_LEADS`. A row does not depend on others.
    """
    ectopic = is_ectopic(beats, rhythm)
    pace_s = _pace(rhythm.r_times_s)
    time_s = torch.arange(samples, device=seeds.device) / rate_hz
    ecg = sum_of_events(beats.usual, rhythm, ~ectopic, pace_s, rate_hz, samples)
    rows = ectopic.any(dim=1).nonzero()[:, 0]
    if len(rows):
        of_rows = beats.ectopic[rows], rhythm[rows], ectopic[rows], pace_s[rows]
        ecg = ecg.index_add_(0, rows, sum_of_events(*of_rows, rate_hz, samples))
    rows = ((rhythm.atrial == FIBRILLATION) | (rhythm.atrial == FLUTTER)).nonzero()[:, 0]
    return ecg.index_add_(0, rows, atrial_waves(rhythm[rows], time_s, seeds[rows]))


def is_ectopic(beats: Beats, rhythm: Rhythm) -> Tensor:
    """Which beats have the ectopic shape, (B, P)."""
    paced = rhythm.kinds == PACED
    mostly_paced = 2 * paced.sum(dim=1, keepdim=True) >= (rhythm.kinds >= 0).sum(dim=1, keepdim=True)
    return ((rhythm.kinds == VENTRICULAR_PREMATURE) | (paced & ~mostly_paced)) & beats.has_ectopic[:, None]


def _pace(r_times_s: Tensor) -> Tensor:
    """RR interval in seconds that each beat's waves follow, (B, P): the usual one and, in part, the last one."""
    last_rr = r_times_s.diff(dim=1)
    usual = last_rr.nanmedian(dim=1, keepdim=True).values.nan_to_num(nan=USUAL_RR_S)
    last_rr = torch.cat([usual, torch.where(last_rr.isfinite(), last_rr, usual)], dim=1)
    return ((1 - LAST_RR_SHARE) * usual + LAST_RR_SHARE * last_rr).clamp(*PACE_RANGE_S)


def sum_of_events(
    amplitude: Tensor, rhythm: Rhythm, chosen: Tensor, pace_s: Tensor, rate_hz: float, samples: int
) -> Tensor:
    """The chosen beats of a rhythm, all of one shape a row.

    Args:
        amplitude: (B, 8, events) mV.
        rhythm: of B rows.
        chosen: (B, P) bool.
        pace_s: (B, P) RR interval that each beat's waves follow.
        rate_hz: sampling rate.
        samples: length.

    Returns:
        (B, 8, samples) mV.
    """
    at_once = max(1, SAMPLES_AT_ONCE.get(amplitude.device.type, SAMPLES_AT_ONCE["cuda"]) // samples)
    parts = [
        amplitude[rows] @ _basis(rhythm[rows], chosen[rows], pace_s[rows], rate_hz, samples)
        for rows in (slice(at, at + at_once) for at in range(0, len(amplitude), at_once))
    ]
    return torch.cat([amplitude.new_zeros(0, amplitude.shape[1], samples), *parts])


def _basis(rhythm: Rhythm, chosen: Tensor, pace_s: Tensor, rate_hz: float, samples: int) -> Tensor:
    """What each event adds to each sample at an amplitude of 1, over the chosen beats: (rows, events, samples)."""
    times, kinds = rhythm.r_times_s, rhythm.kinds
    sample_s = torch.arange(samples, device=times.device) / rate_hz
    with_p = (rhythm.atrial == P_WAVES)[:, None] & ((kinds == SINUS) | (kinds == ATRIAL_PREMATURE) | (kinds == PACED))
    # Beats are numbered from 1; 0 and the number after the last stand for none.
    following = passed(times + P_AFTER_R_S, rate_hz, samples) + 1
    nearest = passed(0.5 * (times[:, :-1] + times[:, 1:]), rate_hz, samples) + 1
    last = passed(times - T_BEFORE_R_S, rate_hz, samples)

    def fill(basis: Tensor, of: Tensor, number: Tensor, events: Tensor, power: float) -> Tensor:
        start = torch.where(of, times, -FAR_S).nan_to_num(nan=-FAR_S)
        distance = sample_s - F.pad(start, (1, 1), value=-FAR_S).gather(1, number)
        if power:
            distance = distance * F.pad(pace_s**-power, (1, 1), value=1.0).gather(1, number)
        centre, sharpness = events.to(distance.device)[..., None].unbind(dim=1)
        torch.addcmul(-centre, distance[:, None], sharpness, out=basis)
        torch.addcmul(basis.new_zeros(()), basis, basis, value=-1.0, out=basis)
        return basis.clamp_min_(-SMALLEST_EXPONENT).exp_()

    counts = [len(P_EVENTS), len(QRS_EVENTS), len(T_EVENTS)]
    basis = times.new_empty(len(times), sum(counts), samples)
    p_wave, qrs, t_wave = basis.split(counts, dim=1)
    fill(p_wave, chosen & with_p, following, P_EVENTS, P_EXPONENT)
    fill(qrs, chosen, nearest, QRS_EVENTS, QRS_EXPONENT)
    fill(t_wave, chosen, last, T_EVENTS, T_EXPONENT)
    t_wave += fill(torch.empty_like(t_wave), chosen, (last - 1).clamp_min(0), T_EVENTS, T_EXPONENT)
    return basis
