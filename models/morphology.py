"""What people's beats look like: principal components of the simulator's parameters over training recordings.

A beat is event amplitudes (`models.beat_events`), 8 leads × events.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from models.beat_events import EVENTS, event_shapes
from models.leads import INDEPENDENT_LEADS

LEADS: Final = len(INDEPENDENT_LEADS)
FURTHEST: Final = 4.0
"""Standard deviations from the mean that coordinates may lie: nobody's beat is drawn far from all."""


class EventComponents(nn.Module):
    """Event amplitudes as coordinates and back; fitted in closed form to training recordings.

    Components are principal with regard to the beat that amplitudes draw, each lead relative to its usual power, not to
    the amplitudes themselves: neighbouring events overlap.

    Args:
        components: how many are kept.
    """

    metric: Tensor
    mean: Tensor
    axes: Tensor
    spread: Tensor

    def __init__(self, components: int) -> None:
        super().__init__()
        size = LEADS * len(EVENTS)
        self.components = min(components, size)
        self.register_buffer("metric", torch.zeros(LEADS, len(EVENTS), len(EVENTS)))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("axes", torch.zeros(self.components, size))
        self.register_buffer("spread", torch.ones(self.components))

    def fit(self, amplitude: Tensor) -> None:
        """Fit to (N, 8, events) amplitudes."""
        seconds = torch.arange(-0.5, 0.75, 0.004)
        shapes = event_shapes(seconds, torch.tensor([0.8]))[0].double()
        root = torch.linalg.cholesky(shapes @ shapes.mT * 0.004 + 1e-6 * torch.eye(len(EVENTS), dtype=torch.float64))
        power = (amplitude.double() @ root).square().sum(dim=2).mean(dim=0).sqrt().clamp_min(1e-6)
        self.metric = (root / power[:, None, None]).float()
        vectors = self._vectors(amplitude).double()
        mean = vectors.mean(dim=0)
        _, values, axes = torch.linalg.svd(vectors - mean, full_matrices=False)
        # Where recordings are fewer than components, the rest of these stand for nothing.
        kept = min(self.components, len(values))
        self.mean, self.axes = mean.float(), torch.zeros_like(self.axes)
        self.spread = torch.full_like(self.spread, 1e-6)
        self.axes[:kept] = axes[:kept].float()
        self.spread[:kept] = (values[:kept] / math.sqrt(max(1, len(vectors) - 1))).clamp_min(1e-6).float()

    def coordinates(self, amplitude: Tensor) -> Tensor:
        """(B, 8, events) mV to (B, components) of about unit variance, no further than `FURTHEST` from 0."""
        return ((self._vectors(amplitude) - self.mean) @ self.axes.mT / self.spread).clamp(-FURTHEST, FURTHEST)

    def amplitude(self, coordinates: Tensor) -> Tensor:
        """(B, components) to (B, 8, events) mV."""
        vectors = (coordinates * self.spread) @ self.axes + self.mean
        by_lead = vectors.unflatten(1, (LEADS, -1)).transpose(0, 1)  # (8, B, events)
        return torch.linalg.solve_triangular(self.metric, by_lead, upper=False, left=False).transpose(0, 1)

    def nearest(self, amplitude: Tensor) -> Tensor:
        """The amplitudes (B, 8, events) that coordinates can say, nearest to these."""
        return self.amplitude(self.coordinates(amplitude))

    def _vectors(self, amplitude: Tensor) -> Tensor:
        """(B, 8 · events), whose distance is that of the beats."""
        return (amplitude.transpose(0, 1) @ self.metric.to(amplitude.dtype)).transpose(0, 1).flatten(1)
