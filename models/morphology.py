"""What people's beats look like: a distribution of the simulator's parameters, drawn from for a condition.

A beat is event amplitudes (`models.beat_events`), 8 leads × events. Their principal components over training recordings
are coordinates of unit variance; a small conditional flow (rectified flow, Liu et al. 2023; flow matching, Lipman et
al. 2023) learns how coordinates are distributed under a condition. So the simulator draws ECGs of people who do not
exist.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import MorphologyArchitecture
from models.beat_events import EVENTS, event_shapes
from models.conditioning import ConditionEncoder, ConditionTensors
from models.denoiser import time_features
from models.leads import INDEPENDENT_LEADS

LEADS: Final = len(INDEPENDENT_LEADS)
FURTHEST: Final = 4.0
"""Standard deviations from the mean that coordinates may lie: nobody's beat is drawn far from all."""
TIME_SCALE: Final = 1000
TIME_FEATURES: Final = 64
WEIGHTS_POWER: Final = 0.5
"""Power of a component's standard deviation by which it counts in the loss: large ones are the shape of the beat."""


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


class PriorBlock(nn.Module):
    """Residual layer, modulated by flow time and condition. (B, C) to (B, C)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 3 * width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width))
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(embedding).chunk(3, dim=-1)
        return x + gate * self.layers(self.norm(x) * (1 + scale) + shift)


class MorphologyPrior(nn.Module):
    """Draws event amplitudes for a condition.

    Args:
        architecture: components, widths, solver steps.
    """

    def __init__(self, architecture: MorphologyArchitecture) -> None:
        super().__init__()
        width = architecture.width
        self.steps = architecture.steps
        self.events = EventComponents(architecture.components)
        self.condition = ConditionEncoder(architecture.token_width)
        self.time = nn.Linear(TIME_FEATURES, width)
        self.pooled = nn.Linear(architecture.token_width, width)
        self.stem = nn.Linear(self.events.components, width)
        self.blocks = nn.ModuleList(PriorBlock(width, architecture.dropout) for _ in range(architecture.blocks))
        self.head = nn.Linear(width, self.events.components)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, noisy: Tensor, time: Tensor, condition: ConditionTensors) -> Tensor:
        """Velocity dy/dt of the flow at time t, from coordinates (0) to white noise (1).

        Args:
            noisy: (B, components) y_t = (1 − t) y + t ε.
            time: (B,) t.
            condition: of B rows.
        """
        tokens, mask = self.condition(condition)
        pooled = (tokens * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        embedding = F.silu(self.time(time_features(time * TIME_SCALE, TIME_FEATURES)) + self.pooled(pooled))
        x = self.stem(noisy)
        for block in self.blocks:
            x = block(x, embedding)
        return self.head(x)

    def draw(self, condition: ConditionTensors, generators: Sequence[torch.Generator]) -> Tensor:
        """Event amplitudes of somebody of each condition, by the midpoint rule.

        Args:
            condition: of B rows.
            generators: one per row, on the CPU; every draw of the row comes from it.

        Returns:
            (B, 8, events) mV.
        """
        device = condition.text.device
        state = torch.stack([torch.randn(self.events.components, generator=one) for one in generators]).to(device)
        times = torch.linspace(1, 0, self.steps + 1).tolist()
        for now, then in itertools.pairwise(times):
            half = state + 0.5 * (then - now) * self._at(state, now, condition)
            state = state + (then - now) * self._at(half, 0.5 * (now + then), condition)
        return self.events.amplitude(state.clamp(-FURTHEST, FURTHEST))

    def _at(self, state: Tensor, time: float, condition: ConditionTensors) -> Tensor:
        return self(state, torch.full((len(state),), time, device=state.device), condition)


class MorphologyObjective(nn.Module):
    """Flow-matching loss of the prior; the forward pass returns the loss.

    Args:
        prior: what learns; its components are fitted beforehand.
        condition_dropout: chance that a condition field is hidden, per field and row.
        unconditional: chance that the whole condition is hidden, per row.
    """

    def __init__(self, prior: MorphologyPrior, condition_dropout: float, unconditional: float) -> None:
        super().__init__()
        self.prior, self.condition_dropout, self.unconditional = prior, condition_dropout, unconditional

    def forward(self, coordinates: Tensor, condition: ConditionTensors) -> dict[str, Tensor]:
        """Loss of (B, components) coordinates under B conditions."""
        rows, device = len(coordinates), coordinates.device
        time = (torch.randperm(rows, device=device) + torch.rand(rows, device=device)) / rows
        noise = torch.randn_like(coordinates)
        noisy = (1 - time[:, None]) * coordinates + time[:, None] * noise
        shown = condition.dropped(self.condition_dropout, self.unconditional)
        weight = self.prior.events.spread.pow(WEIGHTS_POWER)
        error = (self.prior(noisy, time, shown).float() - (noise - coordinates)).square()
        return {"loss": (error * weight).mean() / weight.mean()}
