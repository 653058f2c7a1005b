"""What a recording holds besides the heart: baseline wander, muscle and amplifier noise; no mains hum."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SLOWEST_HZ, FASTEST_HZ = 0.05, 0.5
"""Band of the baseline wander."""
WHITE, COLOURED = 0.4, 4.0
"""Power of muscle noise at frequency f is WHITE + COLOURED / f, with f in Hz and held at 1 Hz below that."""
LOWEST_NOISE_HZ = 0.5
SWELL, SWELL_HZ = 0.4, 0.15


def baseline_wander(level_mv: Tensor, leads: int, samples: int, rate_hz: float, generator: torch.Generator) -> Tensor:
    """Slow drift, (batch, leads, samples) mV: tones between 0.05 and 0.5 Hz whose amplitude falls as 1/f.

    The tones lie closer together than a recording can resolve, and each lead has its own Gaussian sine and cosine part
    of each: a stationary Gaussian process, for the price of one matrix product.

    Args:
        level_mv: (batch,) standard deviation.
    """
    spacing = min(SLOWEST_HZ, 0.5 * rate_hz / samples)
    tones = torch.arange(SLOWEST_HZ, FASTEST_HZ + spacing / 2, spacing)
    angle = 2 * math.pi * tones[:, None] * torch.arange(samples) / rate_hz
    # A Gaussian sine and cosine part of deviation s make a tone of deviation s.
    deviation = 1.0 / tones
    deviation = deviation / deviation.square().sum().sqrt()
    parts = torch.cat([angle.sin(), angle.cos()]) * deviation.repeat(2)[:, None]
    weight = torch.randn(len(level_mv), leads, len(parts), generator=generator)
    return (weight * level_mv[:, None, None]) @ parts


def muscle_noise(level_mv: Tensor, leads: int, samples: int, rate_hz: float, generator: torch.Generator) -> Tensor:
    """Noise of skeletal muscle and electrodes, (batch, leads, samples) mV.

    Gaussian, power falling as 1/f to a white floor, swelling and fading within the recording, its level differing
    between leads.

    Args:
        level_mv: (batch,) typical standard deviation.
    """
    batch = len(level_mv)
    frequency = torch.fft.rfftfreq(samples, 1.0 / rate_hz)
    power = WHITE + COLOURED / frequency.clamp_min(1.0)
    power = torch.where(frequency < LOWEST_NOISE_HZ, 0.0, power)
    # By Parseval a Gaussian spectrum of this size gives a signal of deviation 1, up to the single Nyquist bin.
    size = (power / power.sum()).sqrt() * (0.5 * samples)
    spectrum = torch.randn(batch, leads, len(frequency), 2, generator=generator)
    coloured = torch.fft.irfft(torch.view_as_complex(spectrum) * size, n=samples)
    lead_level = torch.exp(0.35 * torch.randn(batch, leads, 1, generator=generator)) * level_mv[:, None, None]
    start = 2 * math.pi * torch.rand(batch, 1, generator=generator)
    angle = 2 * math.pi * SWELL_HZ * torch.arange(samples) / rate_hz
    swell = 1.0 + SWELL * (torch.cos(start) * torch.sin(angle) + torch.sin(start) * torch.cos(angle))
    return coloured * lead_level * swell[:, None]
