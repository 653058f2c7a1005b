"""What the transformer sees beside the noisy signal: the guide.

Two kinds of channels, both per sample: an ECG of the simulator (`models.rhythm.rendering`), filtered like a recording,
which says what beats and atrial waves look like, and the cardiac phase (`models.rhythm.phase`), which says when the
heart beats. In training both are those of the recording: its usual and its ectopic beat, a little off anew at every
step, in its rhythm. In generation the rhythm comes from `models.rhythm.drawn` and the beats from `models.beats.prior`.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from models.beats.beats import Beats
from models.beats.prior import BeatPrior
from models.flow.spectral_filter import SpectralFilter
from models.leads import INDEPENDENT_LEADS
from models.rhythm.phase import PHASE_CHANNELS, phase_channels
from models.rhythm.rendering import render
from models.rhythm.rhythm import Rhythm

GUIDE_CHANNELS: Final = len(INDEPENDENT_LEADS) + PHASE_CHANNELS
"""Channels of a guide: the simulated ECG, then the cardiac phase."""
JITTER: Final = 0.25
"""Standard deviation by which beats shown in training are off, per coordinate and in units of its spread, so that the
transformer does not take them for exact."""


def guide(beats: Beats, rhythm: Rhythm, spectral_filter: SpectralFilter, rate_hz: float, seeds: Tensor) -> Tensor:
    """The guide of recordings.

    Args:
        beats: of B recordings.
        rhythm: of each.
        spectral_filter: of the recordings, which says how long they are.
        rate_hz: sampling rate.
        seeds: (B,) int64; f-waves and flutter waves are drawn from them.

    Returns:
        (B, GUIDE_CHANNELS, samples).
    """
    samples = spectral_filter.samples
    ecg = render(beats, rhythm, rate_hz, samples, seeds)
    return torch.cat([spectral_filter(ecg), phase_channels(rhythm, rate_hz, samples)], dim=1)


def jittered(prior: BeatPrior, coordinates: Tensor, has_ectopic: Tensor) -> Beats:
    """Beats near these coordinates of a prior, (B, coordinates), off at random."""
    return prior.beats(coordinates + JITTER * torch.randn_like(coordinates), has_ectopic)
