"""f-waves of atrial fibrillation and saw-tooth waves of atrial flutter.

The model of Stridh and Sörnmo (IEEE TBME 48:105–111, 2001): a saw-tooth of a few harmonics; in fibrillation its
frequency and amplitude wander. Flutter waves keep their place relative to the R peaks, as conduction in a fixed ratio
has it.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from models.counter_random import normal, uniform
from models.rhythm.phase import multiples
from models.rhythm.rhythm import FLUTTER, Rhythm

HARMONICS: Final = 4
F_WAVE_MV, FLUTTER_WAVE_MV = 0.026, 0.08
"""Median amplitude of the fundamental where it is largest: V1, and II in flutter."""
LOG_SPREAD, LEAD_LOG_SPREAD = 0.55, 0.2
"""Spread of its logarithm between people, and between the leads of one."""
# Leads I, II, V1 … V6.
F_WAVE_LEADS: Final = (0.3, 0.55, 1.0, 0.6, 0.35, 0.25, 0.25, 0.25)
FLUTTER_LEADS: Final = (0.15, -1.0, 0.6, 0.3, -0.1, -0.25, -0.35, -0.35)
"""Amplitude in the leads of the largest one. Typical flutter turns about the tricuspid valve: its saw-teeth point
downwards in the inferior leads and upwards in V1 (Issa, Miller and Zipes, Clinical Arrhythmology, 2019)."""
LEAD_LAG: Final = 0.5
"""Spread between leads of the phase of f-waves, in rad."""
SWING_HZ, SWING, SWELL_HZ, SWELL = (0.1, 0.3), (0.2, 0.5), (0.1, 0.4), (0.2, 0.45)
"""Ranges of the rate and depth, in Hz, of the wandering frequency, and of rate and depth of the wandering amplitude."""


def atrial_waves(rhythm: Rhythm, time_s: Tensor, seeds: Tensor) -> Tensor:
    """The waves of some rows.

    Args:
        rhythm: whose atria fibrillate or flutter, at `atrial_rate_hz`.
        time_s: (samples,) seconds.
        seeds: (B,) int64.

    Returns:
        (B, 8, samples) mV.
    """
    flutter = (rhythm.atrial == FLUTTER)[:, None]
    share = uniform(seeds, "atrial waves", (7,))

    def between(column: int, low: float, high: float) -> Tensor:
        return low + (high - low) * share[:, column, None]

    def turning(column: int, hz: Tensor) -> Tensor:
        return torch.sin(2 * math.pi * (hz * time_s + share[:, column, None]))

    swing_hz = between(0, *SWING_HZ)
    wander = between(1, *SWING) / swing_hz * turning(2, swing_hz)
    swell = 1.0 + between(3, *SWELL) * turning(4, between(5, *SWELL_HZ))
    first_s = rhythm.r_times_s[:, :1].nan_to_num(nan=0.0)
    angle = 2 * math.pi * (rhythm.atrial_rate_hz[:, None] * (time_s - first_s) + share[:, 6, None])
    angle = torch.where(flutter, angle, angle + wander)
    size = torch.where(flutter, 1.0, swell) * torch.where(flutter, FLUTTER_WAVE_MV, F_WAVE_MV)

    deviation = normal(seeds, "atrial leads", (17,))
    leads = torch.where(flutter, time_s.new_tensor(FLUTTER_LEADS), time_s.new_tensor(F_WAVE_LEADS))
    gain = leads * torch.exp(LOG_SPREAD * deviation[:, :1] + LEAD_LOG_SPREAD * deviation[:, 1:9])
    lag = torch.where(flutter, 0.0, LEAD_LAG * deviation[:, 9:])
    # sin(k(angle + lag)) from sin and cos of k·angle: one product of matrices instead of a sine per lead and harmonic.
    parts, mixing = [], []
    for harmonic, (cos, sin) in enumerate(multiples(angle, HARMONICS), start=1):
        # Flutter waves are sharp saw-teeth, f-waves are rounder.
        weight = gain / torch.where(flutter, float(harmonic), float(harmonic) ** 2)
        parts += [sin * size, cos * size]
        mixing += [torch.cos(harmonic * lag) * weight, torch.sin(harmonic * lag) * weight]
    return torch.stack(mixing, dim=2) @ torch.stack(parts, dim=1)
