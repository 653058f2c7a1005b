"""What the simulator shows the denoiser beside the noisy latent: the guide.

Two kinds of channels, each of which can be left out: cardiac phase (`models.ecg.cardiac_phase`), which says when the
heart beats, and an ECG of the simulator (`models.simulator.beat_events`), encoded like a recording, which says what its
beats look like. In training both are those of the recording: its R peaks and its usual beat. In generation R peaks come
from `models.simulator.rhythm_series` and the beat from `models.latent_diffusion.trait_prior`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.ecg.cardiac_phase import phase_channel_count
from models.simulator.beat_events import EVENTS, fit_events


def guide_channel_count(phase: bool, ecg: bool, samples_per_step: int, latent_channels: int) -> int:
    """Channels of a guide, cardiac phase first; 0 for none.

    Args:
        phase, ecg: which kinds there are.
        samples_per_step: samples that a latent step covers.
        latent_channels: channels of the latent.
    """
    return (phase_channel_count(samples_per_step) if phase else 0) + (latent_channels if ecg else 0)


def own_amplitudes(signal: np.ndarray, r_peaks: list[np.ndarray], rate_hz: float) -> tuple[Tensor, Tensor]:
    """Event amplitudes of recordings' usual beats.

    Args:
        signal: (B, 8, samples) mV.
        r_peaks: positions in samples per recording, from `models.ecg.r_peaks.locate_r_peaks`.
        rate_hz: sampling rate.

    Returns:
        (B, 8, events) mV, zero where fewer than two beats show what is usual, and (B,) bool, False there.
    """
    fit = fit_events(signal, r_peaks, rate_hz)
    amplitude, known = torch.zeros(*signal.shape[:2], len(EVENTS)), torch.zeros(len(signal), dtype=torch.bool)
    amplitude[fit.rows], known[fit.rows] = fit.amplitude, True
    return amplitude, known
