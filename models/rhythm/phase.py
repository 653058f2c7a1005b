"""Cardiac phase per sample: where in the cardiac cycle each sample lies, as input of a generator.

What `models.ecg.cardiac_phase` says per latent step, for every sample of a batch. Only R peaks inside the window count,
because those beyond it are not known of a recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ecg.cardiac_phase import BUMP_S, HARMONICS, LOG_RR_SPREAD, RR_RANGE_S, USUAL_RR_S
from models.rhythm.rhythm import ESCAPE, VENTRICULAR_PREMATURE, Rhythm, padded, passed

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
    sample_s = torch.arange(samples, device=times.device) / rate_hz

    # A bump is far narrower than an RR interval: only the peaks on either side of a sample matter.
    after = passed(times, rate_hz, samples)
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
    angle = 2 * math.pi * (sample_s - start) / rr
    turns = list(multiples(angle, HARMONICS))
    intervals = torch.stack([rr, rr_before], dim=1).clamp(*RR_RANGE_S)
    logs = (intervals / USUAL_RR_S).log() / LOG_RR_SPREAD
    return torch.stack([*bumps, *(cos for cos, _ in turns), *(sin for _, sin in turns), *logs.unbind(dim=1)], dim=1)


def multiples(angle: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cosine and sine of an angle and its multiples up to `count`, by the addition theorems."""
    cos, sin = angle.cos(), angle.sin()
    of_multiple = cos, sin
    for number in range(count):
        if number:
            last_cos, last_sin = of_multiple
            of_multiple = last_cos * cos - last_sin * sin, last_sin * cos + last_cos * sin
        yield of_multiple
