"""Textbook beats as events, for tests: P, QRS and T of a usual beat and a wide ventricular one without P wave."""

from __future__ import annotations

import torch

from models.beats.beats import Beats
from models.simulator.beat_events import EVENTS

USUAL_WAVES = (
    (-0.172, 0.03, 0.12),
    (-0.0255, 0.006, -0.08),
    (0.0, 0.01, 1.0),
    (0.0255, 0.008, -0.2),
    (0.281, 0.05, 0.25),
)
VENTRICULAR_WAVES = ((-0.02, 0.035, -1.2), (0.045, 0.03, -0.8), (0.3, 0.06, 0.5))
"""Centre and width in seconds, height in mV."""
LEADS = (0.6, 1.0, -0.7, -0.4, 0.5, 1.1, 1.2, 0.9)
VENTRICULAR_LEADS = (0.5, -0.8, 1.0, 0.9, 0.7, -0.4, -0.8, -0.9)


def _amplitudes(waves: tuple[tuple[float, float, float], ...], leads: tuple[float, ...]) -> torch.Tensor:
    """(8, events): heights sampled at the events' centres; neighbours one width apart add up to √(2π) of a height."""
    centre = EVENTS[:, 0]
    shape = sum(height * torch.exp(-0.5 * ((centre - at) / width) ** 2) for at, width, height in waves)
    return torch.tensor(leads)[:, None] * shape / 2.5066


def textbook_beats(count: int) -> Beats:
    """The same beats in every row."""
    usual, ectopic = _amplitudes(USUAL_WAVES, LEADS), _amplitudes(VENTRICULAR_WAVES, VENTRICULAR_LEADS)
    return Beats(usual.repeat(count, 1, 1), ectopic.repeat(count, 1, 1), torch.ones(count, dtype=torch.bool))
