"""Spaces in which beats of one person lie close together, for beats as event amplitudes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from models.privacy.beat_encoder import BeatEncoder
from models.privacy.mean_beats import BEAT_RATE_HZ, BEAT_SAMPLES, BEFORE_R_S
from models.simulator.beat_components import EventComponents
from models.simulator.beat_events import USUAL_RR_S, event_shapes

Space = Callable[[Tensor], Tensor]
"""(B, 8, events) mV to points (B, d)."""

ROWS_AT_ONCE: Final = 1024


def coordinate_space(components: EventComponents) -> Space:
    """The prior's own coordinates, in which most people are recognised at once."""
    return components.coordinates


def encoder_space(encoder: BeatEncoder) -> Space:
    """The space of an encoder that recognises people; it sees every beat at an RR interval of `USUAL_RR_S`."""
    seconds = torch.arange(BEAT_SAMPLES) / BEAT_RATE_HZ - BEFORE_R_S
    shapes = event_shapes(seconds, torch.tensor([USUAL_RR_S]))[0]

    @torch.no_grad()
    def points(amplitude: Tensor) -> Tensor:
        beats = amplitude @ shapes.to(amplitude.device)
        beats = beats - beats.mean(dim=2, keepdim=True)
        return torch.cat([encoder(part) for part in beats.split(ROWS_AT_ONCE)])

    return points


def nearest_distance(points: Tensor, pool: Tensor) -> Tensor:
    """Distance (B,) of points (B, d) to the nearest of a pool (m, d) on the same device, by blocked products."""
    of_pool = pool.square().sum(dim=1)
    found = []
    for part in points.split(ROWS_AT_ONCE):
        nearest = (of_pool - 2 * (part @ pool.mT)).argmin(dim=1)
        # From the difference: the expanded form loses the digits that tell a copy from a neighbour.
        found.append((part - pool[nearest]).norm(dim=1))
    return torch.cat(found) if found else points.new_zeros(0)
