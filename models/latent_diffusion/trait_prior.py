"""What a recording of a condition is like: a distribution of traits, drawn from before the denoiser is asked.

Traits are coordinates of about unit variance: of the beat that the simulator draws
(`models.simulator.beat_components`), and of the recording's levels (`models.latent_diffusion.residual_levels`). A small
conditional flow (rectified flow, Liu et al. 2023; flow matching, Lipman et al. 2023) learns how they are distributed
under a condition. So the simulator draws ECGs of people who do not exist.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import PriorArchitecture
from models.conditioning import ConditionEncoder, ConditionTensors
from models.latent_diffusion.guidance import extrapolate
from models.latent_diffusion.residual_levels import Levels
from models.latent_diffusion.time_features import time_features
from models.simulator.beat_components import EventComponents

FURTHEST: Final = 4.0
"""Standard deviations from the mean that traits may lie: nobody's are drawn far from all."""
STEPS: Final = 8
"""Solver steps of a draw, two network evaluations each."""
DROPOUT: Final = 0.1
TIME_SCALE: Final = 1000
TIME_FEATURES: Final = 64
WEIGHTS_POWER: Final = 0.5
"""Power of a trait's spread by which it counts in the loss: large ones are what a recording looks like."""


@dataclass(frozen=True)
class Traits:
    """Traits of a batch.

    Attributes:
        amplitude: (B, 8, events) mV of the beat's events, None where no beat is drawn.
        levels: (B, size) coordinates of `models.latent_diffusion.residual_levels.Levels`, None where none are drawn.
    """

    amplitude: Tensor | None
    levels: Tensor | None


class PriorBlock(nn.Module):
    """Residual layer, modulated by flow time and condition. (B, C) to (B, C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 3 * width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Dropout(DROPOUT), nn.Linear(width, width))
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift, gate = self.modulation(embedding).chunk(3, dim=-1)
        return x + gate * self.layers(self.norm(x) * (1 + scale) + shift)


class TraitPrior(nn.Module):
    """Draws traits for a condition.

    Args:
        architecture: components of the beat, widths.
        beat: whether the beat is among the traits.
        levels: the recording's levels, if they are.
    """

    def __init__(self, architecture: PriorArchitecture, beat: bool, levels: Levels | None) -> None:
        super().__init__()
        width = architecture.width
        self.events = EventComponents(architecture.components) if beat else None
        self.levels = levels
        self.sizes = [self.events.size if self.events else 0, levels.size if levels else 0]
        self.condition = ConditionEncoder(architecture.token_width)
        self.time = nn.Linear(TIME_FEATURES, width)
        self.pooled = nn.Linear(architecture.token_width, width)
        self.stem = nn.Linear(sum(self.sizes), width)
        self.blocks = nn.ModuleList(PriorBlock(width) for _ in range(architecture.blocks))
        self.head = nn.Linear(width, sum(self.sizes))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def spread(self) -> Tensor:
        """Spread of each trait, (traits,), beat and levels each relative to their largest."""
        parts = [self.events.importance] if self.events else []
        return torch.cat([*parts, self.levels.spread / self.levels.spread.max()] if self.levels else parts)

    def forward(self, noisy: Tensor, time: Tensor, condition: ConditionTensors) -> Tensor:
        """Velocity dy/dt of the flow at time t, from traits (0) to white noise (1).

        Args:
            noisy: (B, traits) y_t = (1 − t) y + t ε.
            time: (B,) t.
            condition: of B rows.
        """
        return self._velocity(noisy, time, self._pooled(condition))

    def draw(
        self,
        condition: ConditionTensors,
        generators: Sequence[torch.Generator],
        guidance: float = 1.0,
        precision: torch.dtype = torch.float32,
    ) -> Traits:
        """Traits of a recording of each condition, by the midpoint rule.

        Args:
            condition: of B rows.
            generators: one per row, on the CPU; every draw of the row comes from it.
            guidance: scale of classifier-free guidance; 1 for none, more for traits more typical of the condition.
            precision: of the network, but for what reads the condition.
        """
        pooled, guides = self._pooled(condition), guidance != 1.0
        if guides:
            pooled = torch.cat([pooled, self._pooled(condition.hidden())])
        state = torch.stack([torch.randn(sum(self.sizes), generator=one) for one in generators]).to(pooled.device)

        def at(state: Tensor, time: float) -> Tensor:
            with torch.autocast(state.device.type, precision, enabled=precision != torch.float32):
                velocity = self._velocity(state.repeat(1 + guides, 1), state.new_full((len(pooled),), time), pooled)
            velocity = velocity.float()
            if not guides:
                return velocity
            of_condition, of_anybody = velocity.chunk(2)
            return extrapolate(of_condition, of_anybody, guidance)

        times = torch.linspace(1, 0, STEPS + 1).tolist()
        for now, then in itertools.pairwise(times):
            half = state + 0.5 * (then - now) * at(state, now)
            state = state + (then - now) * at(half, 0.5 * (now + then))
        beat, levels = state.clamp(-FURTHEST, FURTHEST).split(self.sizes, dim=1)
        return Traits(self.events.amplitude(beat) if self.events else None, levels if self.levels else None)

    def _pooled(self, condition: ConditionTensors) -> Tensor:
        tokens, mask = self.condition(condition)
        return self.pooled((tokens * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True))

    def _velocity(self, noisy: Tensor, time: Tensor, pooled: Tensor) -> Tensor:
        embedding = F.silu(self.time(time_features(time * TIME_SCALE, TIME_FEATURES)) + pooled)
        x = self.stem(noisy)
        for block in self.blocks:
            x = block(x, embedding)
        return self.head(x)


class PriorObjective(nn.Module):
    """Flow-matching loss of the prior; the forward pass returns the loss.

    Args:
        prior: what learns; its components are fitted beforehand.
    """

    def __init__(self, prior: TraitPrior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, traits: Tensor, condition: ConditionTensors) -> dict[str, Tensor]:
        """Loss of (B, traits) under B conditions."""
        rows, device = len(traits), traits.device
        time = (torch.randperm(rows, device=device) + torch.rand(rows, device=device)) / rows
        noise = torch.randn_like(traits)
        noisy = (1 - time[:, None]) * traits + time[:, None] * noise
        shown = condition.dropped()
        weight = self.prior.spread.pow(WEIGHTS_POWER)
        error = (self.prior(noisy, time, shown).float() - (noise - traits)).square()
        return {"loss": (error * weight).mean() / weight.mean()}
