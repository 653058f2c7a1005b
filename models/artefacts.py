"""What a recording holds besides the heart: baseline wander, muscle and amplifier noise; no mains hum."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def baseline_wander(level_mv: Tensor, leads: int, samples: int, rate_hz: float, generator: torch.Generator) -> Tensor:
    """Slow drift, (batch, leads, samples) mV: five tones between 0.05 and 0.5 Hz, slower ones larger.

    Args:
        level_mv: (batch,) standard deviation.
    """
    batch, tones = len(level_mv), 5
    time = torch.arange(samples) / rate_hz
    frequency = 0.05 + 0.45 * torch.rand(batch, tones, 1, generator=generator)
    angle = 2 * math.pi * frequency * time
    # Leads share tones, each with its own sine and cosine part: eight leads for the price of one.
    parts = torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
    weight = torch.randn(batch, leads, 2 * tones, generator=generator) * (0.15 / frequency).mT.repeat(1, 1, 2)
    return level_mv[:, None, None] * (weight @ parts) / math.sqrt(tones)


def muscle_noise(level_mv: Tensor, leads: int, samples: int, rate_hz: float, generator: torch.Generator) -> Tensor:
    """Noise of skeletal muscle and electrodes, (batch, leads, samples) mV.

    Gaussian, power falling as 1/f to a white floor, swelling and fading within the recording, its level differing
    between leads.

    Args:
        level_mv: (batch,) typical standard deviation.
    """
    batch = len(level_mv)
    white = torch.randn(batch, leads, samples, generator=generator)
    frequency = torch.fft.rfftfreq(samples, 1.0 / rate_hz)
    shape = torch.sqrt(0.4 + 4.0 / frequency.clamp_min(1.0))
    shape = torch.where(frequency < 0.5, 0.0, shape)
    coloured = torch.fft.irfft(torch.fft.rfft(white) * shape, n=samples)
    coloured = coloured / coloured.std(dim=-1, keepdim=True).clamp_min(1e-6)
    lead_level = torch.exp(0.35 * torch.randn(batch, leads, 1, generator=generator))
    time = torch.arange(samples) / rate_hz
    swell = 1.0 + 0.4 * torch.sin(2 * math.pi * (0.15 * time + torch.rand(batch, 1, 1, generator=generator)))
    return level_mv[:, None, None] * lead_level * swell * coloured
