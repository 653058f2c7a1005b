"""The prior of beats: draws the usual beat, whether there is an ectopic beat, and which, for a condition.

A beat is its coordinates among training beats (`models.simulator.beat_components`). A small conditional flow (rectified
flow, Liu et al. 2023; flow matching, Lipman et al. 2023) learns how the coordinates of both beats are distributed
together, given the condition and whether there is an ectopic beat; this is drawn first, from its probability under the
condition. So both beats belong to the same person, who does not exist.
"""

from __future__ import annotations

import itertools
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import counter_random
from models.architecture import BeatPriorArchitecture
from models.beats.beats import Beats
from models.beats.coarse_keys import with_coarse_keys
from models.conditioning import ConditionEncoder, ConditionTensors, FourierFeatures
from models.simulator.beat_components import FURTHEST, EventComponents

STEPS: Final = 8
"""Solver steps of a draw, two network evaluations each."""
ROWS_AT_ONCE: Final = 256
"""Rows that are drawn together, always as many."""
DROPOUT: Final = 0.1
HEADS: Final = 4
TIME_OCTAVES: Final = 8
IMPORTANCE_POWER: Final = 0.5
"""Power of a coordinate's spread by which it counts in the loss: large ones are what a beat looks like."""
ECTOPIC_WEIGHT: Final = 0.3
PRESENCE_WEIGHT: Final = 0.1
"""Weights in the loss of the ectopic beat, where there is one, and of whether there is one; the usual beat's is 1."""


class ConditionReader(nn.Module):
    """Learned queries that attend to condition tokens; what they find is one embedding."""

    def __init__(self, token_width: int, queries: int, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, token_width))
        self.key_value = nn.Linear(token_width, 2 * token_width)
        self.out = nn.Linear(queries * token_width, width)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, T, token_width) tokens and (B, T) mask, True where attention may look, to (B, width)."""
        key, value = (each.unflatten(2, (HEADS, -1)) for each in self.key_value(tokens).chunk(2, dim=-1))
        query = self.queries.unflatten(1, (HEADS, -1))
        likeness = torch.einsum("qhd,bthd->bhqt", query, key) / query.shape[-1] ** 0.5
        share = likeness.masked_fill(~mask[:, None, None], -torch.inf).softmax(dim=-1)
        return self.out(torch.einsum("bhqt,bthd->bqhd", share, value).flatten(1))


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


class BeatPrior(nn.Module):
    """Draws beats for a condition.

    Args:
        architecture: components, widths, and whether the keys are coarse.

    Attributes:
        sizes: coordinates of the usual and of the ectopic beat.
    """

    def __init__(self, architecture: BeatPriorArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        width = architecture.width
        self.usual = EventComponents(architecture.components)
        self.ectopic = EventComponents(architecture.ectopic_components)
        self.sizes = [self.usual.size, self.ectopic.size]
        self.condition = ConditionEncoder(architecture.token_width)
        self.reader = ConditionReader(architecture.token_width, architecture.queries, width)
        self.presence = nn.Linear(width, 1)
        self.with_ectopic = nn.Parameter(torch.zeros(width))
        self.fourier = FourierFeatures(TIME_OCTAVES)
        self.time = nn.Linear(2 * TIME_OCTAVES, width)
        self.stem = nn.Linear(sum(self.sizes), width)
        self.blocks = nn.ModuleList(PriorBlock(width) for _ in range(architecture.blocks))
        self.head = nn.Linear(width, sum(self.sizes))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def fit_components(self, beats: Beats) -> None:
        """Fit both sets of components, in closed form; without ectopic beats theirs stand for nothing."""
        self.usual.fit(beats.usual)
        if int(beats.has_ectopic.sum()) > 1:
            self.ectopic.fit(beats.ectopic[beats.has_ectopic])

    def coordinates(self, beats: Beats) -> Tensor:
        """(B, coordinates) of usual and ectopic beat; those of an ectopic beat that is not there are 0."""
        ectopic = self.ectopic.coordinates(beats.ectopic) * beats.has_ectopic[:, None]
        return torch.cat([self.usual.coordinates(beats.usual), ectopic], dim=1)

    def beats(self, coordinates: Tensor, has_ectopic: Tensor) -> Beats:
        """Beats of (B, coordinates); no row has an ectopic beat where no components of such were fitted."""
        usual, ectopic = coordinates.clamp(-FURTHEST, FURTHEST).split(self.sizes, dim=1)
        there = has_ectopic & self.ectopic.metric.any()
        drawn = torch.where(there[:, None, None], self.ectopic.amplitude(ectopic), 0.0)
        return Beats(self.usual.amplitude(usual), drawn, there)

    def read(self, condition: ConditionTensors) -> Tensor:
        """What the prior knows of conditions, (B, width)."""
        return self.reader(*self.condition(with_coarse_keys(condition) if self.architecture.coarse_keys else condition))

    def velocity(self, noisy: Tensor, time: Tensor, read: Tensor, has_ectopic: Tensor) -> Tensor:
        """Velocity dy/dt of the flow at time t, from coordinates (0) to white noise (1).

        Args:
            noisy: (B, coordinates) y_t = (1 − t) y + t ε; those of an ectopic beat that is not there do not matter.
            time: (B,) t.
            read: (B, width) from `read`.
            has_ectopic: (B,) bool.
        """
        there = has_ectopic.to(noisy.dtype)[:, None]
        usual, ectopic = noisy.split(self.sizes, dim=1)
        embedding = F.silu(self.time(self.fourier(time)) + read + there * self.with_ectopic)
        x = self.stem(torch.cat([usual, ectopic * there], dim=1))
        for block in self.blocks:
            x = block(x, embedding)
        return self.head(x)

    def forward(
        self, coordinates: Tensor, has_ectopic: Tensor, condition: ConditionTensors, time: Tensor, noise: Tensor
    ) -> Tensor:
        """Loss of each row, (B,): flow matching of the beats, log loss of whether there is an ectopic one.

        Args:
            coordinates: (B, coordinates) of beats.
            has_ectopic: (B,) bool.
            condition: of B rows.
            time: (B,) in 0 to 1.
            noise: (B, coordinates), standard normal.
        """
        read, there = self.read(condition), has_ectopic.to(noise.dtype)
        noisy = torch.lerp(coordinates, noise, time[:, None])
        error = (self.velocity(noisy, time, read, has_ectopic) - (noise - coordinates)).square()
        usual, ectopic = error.split(self.sizes, dim=1)
        presence = F.binary_cross_entropy_with_logits(self.presence(read)[:, 0], there, reduction="none")
        of_usual = _weighted_mean(usual, self.usual.importance)
        of_ectopic = _weighted_mean(ectopic, self.ectopic.importance)
        return of_usual + ECTOPIC_WEIGHT * there * of_ectopic + PRESENCE_WEIGHT * presence

    @torch.no_grad()
    def draw(
        self,
        condition: ConditionTensors,
        seeds: Tensor,
        attempt: int = 0,
        has_ectopic: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Beats:
        """Beats of a recording of each condition, by the midpoint rule.

        Args:
            condition: of B rows.
            seeds: (B,) int64 row seeds; a row's beats depend on its condition, its seed and `attempt` only.
            attempt: 0 for the first draw of a row, other numbers for others.
            has_ectopic: (B,) bool, where it is known already, for example from a drawn rhythm; None to draw it.
            guidance: classifier-free guidance scale of the condition (Ho and Salimans 2022); 1 for none.
        """
        nobody = torch.zeros(0, sum(self.sizes), device=seeds.device)
        parts = [self.beats(nobody, nobody.new_zeros(0, dtype=torch.bool))]
        for at in range(0, len(seeds), ROWS_AT_ONCE):
            # Groups of one size, the last one filled up: products of other sizes may round differently.
            rows = torch.arange(at, at + ROWS_AT_ONCE, device=seeds.device).clamp_max(len(seeds) - 1)
            known = None if has_ectopic is None else has_ectopic[rows]
            parts.append(self._draw(condition[rows], seeds[rows], attempt, known, guidance)[: len(seeds) - at])
        return Beats.stack(parts)

    def _draw(
        self,
        condition: ConditionTensors,
        seeds: Tensor,
        attempt: int,
        has_ectopic: Tensor | None,
        guidance: float,
    ) -> Beats:
        read = self.read(condition)
        unconditional = None if guidance == 1.0 else self.read(condition.hidden())
        if has_ectopic is None:
            share = torch.sigmoid(self.presence(read)[:, 0])
            has_ectopic = counter_random.uniform(seeds, "ectopic beat", ()) < share
        there = has_ectopic

        def at(time: float, state: Tensor) -> Tensor:
            times = state.new_full((len(state),), time)
            found = self.velocity(state, times, read, there)
            if unconditional is None:
                return found
            return torch.lerp(self.velocity(state, times, unconditional, there), found, guidance)

        state = counter_random.normal(seeds, f"beats {attempt}", (sum(self.sizes),))
        times = torch.linspace(1, 0, STEPS + 1).tolist()
        for now, then in itertools.pairwise(times):
            half = state + 0.5 * (then - now) * at(now, state)
            state = state + (then - now) * at(0.5 * (now + then), half)
        return self.beats(state, has_ectopic)


def _weighted_mean(error: Tensor, importance: Tensor) -> Tensor:
    weight = importance.pow(IMPORTANCE_POWER)
    return error @ weight / weight.sum()
