"""What people's beats look like: principal components of the simulator's parameters over training recordings.

A beat is event amplitudes (`models.simulator.beat_events`), 8 leads × events. What is fine in a beat, a notch or a
fragmented QRS complex, is large in few people and next to nothing in most. A prior that draws each fine component by
itself gives everybody a middling share, and QRS complexes come out broad and P waves lost; so how large the fine
components are together is a coordinate of its own.
"""

from __future__ import annotations

import itertools
import math
from typing import Final

import torch
from torch import Tensor, nn

from models.leads import INDEPENDENT_LEADS
from models.simulator.beat_events import EVENTS, event_shapes

LEADS: Final = len(INDEPENDENT_LEADS)
FURTHEST: Final = 4.0
"""Standard deviations from the mean that coordinates may lie: nobody's beat is drawn far from all."""
P_WAVE_BEFORE_S: Final = -0.07
"""Events before it are of the P wave."""
P_WAVE_WEIGHT: Final = 2.0
"""P waves count by this factor: by power alone, few components keep half of them, and PR intervals grow."""
SCALED_FROM: Final = (8, 32)
"""Components at which groups begin whose common size is a coordinate of its own, up to the next or to the last."""
SMALLEST_SIZE: Final = 0.05
SIZE_SPREAD: Final = 0.5
"""Spread of a common size, by which it counts in the prior's loss, relative to that of the largest component."""


class EventComponents(nn.Module):
    """Event amplitudes as coordinates and back; fitted in closed form to training recordings.

    Components are principal with regard to the beat that amplitudes draw, each lead relative to its usual power, not to
    the amplitudes themselves: neighbouring events overlap. Coordinates are the components', those of a group divided by
    their root mean square, and after them the logarithms of these root mean squares.

    Args:
        components: how many are kept.

    Attributes:
        size: how many coordinates there are.
    """

    metric: Tensor
    mean: Tensor
    axes: Tensor
    spread: Tensor
    size_mean: Tensor
    size_std: Tensor

    def __init__(self, components: int) -> None:
        super().__init__()
        events = LEADS * len(EVENTS)
        self.components = min(components, events)
        self.groups = list(itertools.pairwise([*(low for low in SCALED_FROM if low < components - 1), self.components]))
        self.size = self.components + len(self.groups)
        self.register_buffer("metric", torch.zeros(LEADS, len(EVENTS), len(EVENTS)))
        self.register_buffer("mean", torch.zeros(events))
        self.register_buffer("axes", torch.zeros(self.components, events))
        self.register_buffer("spread", torch.ones(self.components))
        self.register_buffer("size_mean", torch.zeros(len(self.groups)))
        self.register_buffer("size_std", torch.ones(len(self.groups)))

    def fit(self, amplitude: Tensor) -> None:
        """Fit to (N, 8, events) amplitudes."""
        seconds = torch.arange(-0.5, 0.75, 0.004)
        shapes = event_shapes(seconds, torch.tensor([0.8]))[0].double()
        gram = shapes @ shapes.mT * 0.004 + 1e-6 * torch.eye(len(EVENTS), dtype=torch.float64)
        power = (amplitude.double() @ torch.linalg.cholesky(gram)).square().sum(dim=2).mean(dim=0).sqrt()
        weight = torch.where(EVENTS[:, 0] < P_WAVE_BEFORE_S, P_WAVE_WEIGHT, 1.0).double()
        root = torch.linalg.cholesky(gram * weight[:, None] * weight)
        # Contiguous as after loading, so that products round alike.
        self.metric = (root / power.clamp_min(1e-6)[:, None, None]).float().contiguous()
        vectors = self._vectors(amplitude).double()
        mean = vectors.mean(dim=0)
        _, values, axes = torch.linalg.svd(vectors - mean, full_matrices=False)
        # Where recordings are fewer than components, the rest of these stand for nothing.
        kept = min(self.components, len(values))
        self.mean, self.axes = mean.float(), torch.zeros_like(self.axes)
        self.spread = torch.full_like(self.spread, 1e-6)
        self.axes[:kept] = axes[:kept].float()
        self.spread[:kept] = (values[:kept] / math.sqrt(max(1, len(vectors) - 1))).clamp_min(1e-6).float()
        if self.groups:
            sizes = self._sizes(self._components(amplitude)).log()
            self.size_mean, self.size_std = sizes.mean(dim=0), sizes.std(dim=0).clamp_min(1e-3)

    @property
    def importance(self) -> Tensor:
        """Spread of each coordinate relative to the largest, (size,)."""
        return torch.cat([self.spread / self.spread.max(), torch.full_like(self.size_mean, SIZE_SPREAD)])

    def coordinates(self, amplitude: Tensor) -> Tensor:
        """(B, 8, events) mV to (B, size) of about unit variance, no further than `FURTHEST` from 0."""
        components = self._components(amplitude)
        sizes = self._sizes(components)
        relative = components / self._per_component(sizes)
        return torch.cat([relative, (sizes.log() - self.size_mean) / self.size_std], dim=1).clamp(-FURTHEST, FURTHEST)

    def amplitude(self, coordinates: Tensor) -> Tensor:
        """(B, size) to (B, 8, events) mV."""
        components, sizes = coordinates.split([self.components, len(self.groups)], dim=1)
        wanted = (sizes * self.size_std + self.size_mean).exp()
        components = components * self._per_component(wanted / self._sizes(components))
        vectors = (components * self.spread) @ self.axes + self.mean
        by_lead = vectors.unflatten(1, (LEADS, -1)).transpose(0, 1)  # (8, B, events)
        return torch.linalg.solve_triangular(self.metric, by_lead, upper=False, left=False).transpose(0, 1)

    def nearest(self, amplitude: Tensor) -> Tensor:
        """The amplitudes (B, 8, events) that coordinates can say, nearest to these."""
        return self.amplitude(self.coordinates(amplitude))

    def _components(self, amplitude: Tensor) -> Tensor:
        found = (self._vectors(amplitude) - self.mean) @ self.axes.mT / self.spread
        return found.clamp(-FURTHEST, FURTHEST)

    def _sizes(self, components: Tensor) -> Tensor:
        """Root mean square of every group, (B, groups)."""
        found = [components[:, low:high].square().mean(dim=1).sqrt() for low, high in self.groups]
        return torch.stack(found, dim=1).clamp_min(SMALLEST_SIZE) if found else components[:, :0]

    def _per_component(self, sizes: Tensor) -> Tensor:
        """(B, groups) to a factor for every component, (B, components), 1 outside groups."""
        first = self.groups[0][0] if self.groups else self.components
        parts = [sizes.new_ones(len(sizes), first)]
        parts += [sizes[:, [group]].expand(-1, high - low) for group, (low, high) in enumerate(self.groups)]
        return torch.cat(parts, dim=1)

    def _vectors(self, amplitude: Tensor) -> Tensor:
        """(B, 8 · events), whose distance is that of the beats."""
        return (amplitude.transpose(0, 1) @ self.metric.to(amplitude.dtype)).transpose(0, 1).flatten(1)
