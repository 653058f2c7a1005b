"""Cardiac phase per sample: where in the cardiac cycle each sample lies, as input of a generator.

What `models.ecg.cardiac_phase` says per latent step, for every sample of a batch. Only R peaks inside the window count,
because those beyond it are not known of a recording.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ecg.cardiac_phase import BUMP_S, HARMONICS, LOG_RR_SPREAD, RR_RANGE_S, USUAL_RR_S
from models.rhythm.rhythm import ESCAPE, VENTRICULAR_PREMATURE, Rhythm, padded

PHASE_CHANNELS: Final = 2 + 2 * HARMONICS + 2
"""A bump at every R peak and one at those of ventricles, cos kθ and sin kθ, log RR of this and the last beat."""


def phase_channels(rhythm: Rhythm, rate_hz: float, samples: int) -> Tensor:
    """The channels of a batch.

    The phase θ runs from 0 to 2π between two R peaks; before the first and after the last it goes on at the pace of the
    nearest interval.

    Args:
        rhythm: of B recordings.
        rate_hz: sampling rate.
        samples: length of the window.

    Returns:
        (B, `PHASE_CHANNELS`, samples) float32.
    """
    inside = (rhythm.r_times_s >= 0) & (rhythm.r_times_s < samples / rate_hz)
    times, kinds = padded(rhythm.r_times_s, rhythm.kinds, inside, max(2, rhythm.r_times_s.shape[1]))
    known = inside.sum(dim=1, keepdim=True)
    # Where fewer than two R peaks are known, beats a usual interval apart stand in.
    first = torch.where(known > 0, times[:, :1], 0.0)
    second = torch.where(known > 1, times[:, 1:2], first + USUAL_RR_S)
    peaks = torch.where(times.isfinite(), times, torch.inf)
    filled = torch.cat([first, second, peaks[:, 2:]], dim=1)
    sample_s = (torch.arange(samples, device=times.device) / rate_hz).expand(len(times), -1).contiguous()

    # A bump is far narrower than an RR interval: only the peaks on either side of a sample matter.
    after = torch.searchsorted(peaks.contiguous(), sample_s, right=True)
    ventricular = (kinds == VENTRICULAR_PREMATURE) | (kinds == ESCAPE)
    bumps = []
    for of in (peaks, torch.where(ventricular, peaks, torch.inf)):
        ends = F.pad(of, (1, 1), value=torch.inf)
        distance = torch.stack([sample_s - ends.gather(1, after), ends.gather(1, after + 1) - sample_s]) / BUMP_S
        bumps.append(torch.exp(-0.5 * distance.square()).sum(dim=0))

    interval = torch.minimum((after - 1).clamp_min(0), (known - 2).clamp_min(0))
    before = (interval - 1).clamp_min(0)
    start = filled.gather(1, interval)
    rr = filled.gather(1, interval + 1) - start
    rr_before = filled.gather(1, before + 1) - filled.gather(1, before)
    turns = 2 * math.pi * ((sample_s - start) / rr)[:, None] * torch.arange(1, HARMONICS + 1, device=rr.device)[:, None]
    intervals = torch.stack([rr, rr_before], dim=1).clamp(*RR_RANGE_S)
    logs = (intervals / USUAL_RR_S).log() / LOG_RR_SPREAD
    return torch.cat([torch.stack(bumps, dim=1), turns.cos(), turns.sin(), logs], dim=1)
