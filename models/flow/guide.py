"""What the simulator shows the transformer beside the noisy signal: the guide.

Two kinds of channels, both per sample: an ECG of the simulator (`models.simulator.beat_events`), filtered like a
recording, which says what beats look like, and the cardiac phase (`models.ecg.cardiac_phase`), which says when the
heart beats. In training both are those of the recording: its usual beat, a little off anew at every step, at its R
peaks. In generation the R peaks come from `models.simulator.rhythm_series` and the beat from
`models.latent_diffusion.trait_prior`.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from models.ecg.cardiac_phase import phase_channel_count, phase_channels
from models.flow.spectral_filter import SpectralFilter
from models.leads import INDEPENDENT_LEADS
from models.simulator.beat_components import EventComponents
from models.simulator.beat_events import simulated_ecg

GUIDE_CHANNELS: Final = len(INDEPENDENT_LEADS) + phase_channel_count(1)
"""Channels of a guide: the simulated ECG, then the cardiac phase."""
JITTER: Final = 0.25
"""Standard deviation by which a beat shown in training is off, per coordinate and in units of its spread, so that the
transformer does not take it for exact."""


def guide(amplitude: Tensor, r_times_s: Tensor, spectral_filter: SpectralFilter, rate_hz: float) -> Tensor:
    """The guide of recordings.

    Args:
        amplitude: (B, 8, events) mV of the usual beat.
        r_times_s: (B, P) ascending R peaks in seconds from the first sample, padded with NaN.
        spectral_filter: of the recordings, which says how long they are.
        rate_hz: sampling rate.

    Returns:
        (B, GUIDE_CHANNELS, samples).
    """
    samples = spectral_filter.samples
    ecg = simulated_ecg(amplitude, r_times_s, rate_hz, samples)
    return torch.cat([spectral_filter(ecg), phase_channels(r_times_s, samples, 1, rate_hz)], dim=1)


def jittered(events: EventComponents, coordinates: Tensor) -> Tensor:
    """Event amplitudes (B, 8, events) of beats near these coordinates (B, size), off at random."""
    return events.amplitude(coordinates + JITTER * torch.randn_like(coordinates))
