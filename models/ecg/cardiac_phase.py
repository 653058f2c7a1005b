"""Cardiac-phase channels: where in the cardiac cycle each latent step lies, as extra input of the denoiser.

In training they come from the recording's own R peaks, in generation from an RR series of the simulator
(`models.simulator.rhythm_series`). Both go through `phase_channels`, so that an R peak means the same place in either:
seconds from the first sample, between samples where need be.

A latent step (80 ms at 100 Hz) is too coarse for an R peak, and so is a sample for its exact place. So each step holds
one bump channel per sample it covers, and the bumps are wide enough for their heights to tell where between two samples
the peak lies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BUMP_S: Final = 0.02
"""Standard deviation of the bump that marks an R peak, in seconds."""
HARMONICS: Final = 3
"""cos kθ and sin kθ for k up to this."""
USUAL_RR_S: Final = 0.8
"""RR interval at which the interval channels are 0; it also stands in where fewer than two R peaks are known."""
RR_RANGE_S: Final = (0.2, 3.0)
LOG_RR_SPREAD: Final = 0.3
"""Spread of log RR between people, which brings the interval channels to about unit variance."""


def phase_channel_count(samples_per_step: int) -> int:
    """Channels per latent step: one bump per sample, cos and sin of each harmonic, log RR of this and the last beat."""
    return samples_per_step + 2 * HARMONICS + 2


def padded_times(r_peaks_s: Sequence[np.ndarray]) -> Tensor:
    """R peaks of several recordings in seconds as one (B, P) float32 tensor, padded with NaN."""
    padded = torch.full((len(r_peaks_s), max([2, *map(len, r_peaks_s)])), torch.nan)
    for row, found in enumerate(r_peaks_s):
        padded[row, : len(found)] = torch.from_numpy(np.asarray(found, dtype=np.float32))
    return padded


def times_within(r_peaks_s: Tensor, start_s: Tensor, duration_s: float) -> Tensor:
    """R peaks of pieces of recordings.

    Args:
        r_peaks_s: (B, P) ascending seconds, padded with NaN.
        start_s: (B,) where each piece begins.
        duration_s: how long the pieces are.

    Returns:
        (B, P) ascending seconds from the start of each piece, only those inside it, padded with NaN.
    """
    shifted = r_peaks_s - start_s[:, None]
    inside = (shifted >= 0) & (shifted < duration_s)
    ordered = torch.where(inside, shifted, torch.inf).sort(dim=1).values
    return torch.where(torch.isfinite(ordered), ordered, torch.nan)


def phase_channels(r_peaks_s: Tensor, steps: int, samples_per_step: int, rate_hz: float) -> Tensor:
    """The channels of some recordings.

    The phase θ runs from 0 to 2π between two R peaks; before the first and after the last it goes on at the pace of the
    nearest interval, since what lies beyond the recording is not known in training.

    Args:
        r_peaks_s: (B, P) ascending R peaks inside the recording in seconds, padded with NaN; P at least 2.
        steps: latent steps T.
        samples_per_step: samples that a latent step covers.
        rate_hz: sampling rate.

    Returns:
        (B, C, T) float32, C as `phase_channel_count` says.
    """
    rows = len(r_peaks_s)
    known = torch.isfinite(r_peaks_s).sum(dim=1, keepdim=True)
    peaks = torch.where(torch.isfinite(r_peaks_s), r_peaks_s, torch.inf)
    sample_s = (torch.arange(steps * samples_per_step, device=r_peaks_s.device) / rate_hz).expand(rows, -1).contiguous()
    # A bump is far narrower than an RR interval: only the peaks on either side of a sample matter.
    ends = F.pad(peaks, (1, 1), value=torch.inf)
    ends[:, 0] = -torch.inf
    after = torch.searchsorted(ends, sample_s, right=True)
    distance = torch.stack([sample_s - ends.gather(1, after - 1), ends.gather(1, after) - sample_s]) / BUMP_S
    bumps = torch.exp(-0.5 * distance.square()).sum(dim=0)
    folded = bumps.view(rows, steps, samples_per_step).transpose(1, 2)

    first = torch.where(known > 0, peaks[:, :1], 0.0)
    second = torch.where(known > 1, peaks[:, 1:2], first + USUAL_RR_S)
    peaks = torch.cat([first, second, peaks[:, 2:]], dim=1)
    centre_s = ((torch.arange(steps, device=peaks.device) + 0.5) * samples_per_step / rate_hz).expand(rows, -1)
    interval = torch.searchsorted(peaks, centre_s.contiguous(), right=True) - 1
    interval = torch.minimum(interval.clamp_min(0), (known - 2).clamp_min(0))
    start = peaks.gather(1, interval)
    rr = peaks.gather(1, interval + 1) - start
    before = (interval - 1).clamp_min(0)
    rr_before = peaks.gather(1, before + 1) - peaks.gather(1, before)
    angle = (
        2 * math.pi * ((centre_s - start) / rr)[:, None] * torch.arange(1, HARMONICS + 1, device=peaks.device)[:, None]
    )
    intervals = torch.stack([rr, rr_before], dim=1).clamp(*RR_RANGE_S)
    return torch.cat([folded, angle.cos(), angle.sin(), (intervals / USUAL_RR_S).log() / LOG_RR_SPREAD], dim=1)
