"""Conditional denoiser: a 1-D U-Net over the latent with cross-attention to the condition tokens.

Each residual block is modulated by the time step and the pooled condition (scale and shift after group normalisation,
as in Dhariwal and Nichol 2021); the coarsest level and the middle also attend to the tokens one by one. On the way up
their latent positions attend to each other: the beats of one recording resemble each other, however far apart. It
predicts v (see `models.latent_diffusion.diffusion`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import DenoiserArchitecture
from models.conditioning import ConditionEncoder, ConditionTensors
from models.ecg.beats import pad_to_multiple
from models.latent_diffusion.time_features import time_features

HEADS: Final = 4
"""Attention heads."""


class ResidualBlock(nn.Module):
    """Two convolutions, modulated in between. (B, inputs, T) and (B, E) to (B, outputs, T)."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.GroupNorm(8, inputs), nn.SiLU(), nn.Conv1d(inputs, outputs, 3, padding=1))
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.norm = nn.GroupNorm(8, outputs, affine=False)
        self.after = nn.Conv1d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.after.weight)  # starts as the shortcut
        nn.init.zeros_(self.after.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[..., None].chunk(2, dim=1)
        hidden = self.norm(self.before(x)) * (1 + scale) + shift
        return self.shortcut(x) + self.after(F.silu(hidden))


class Attention(nn.Module):
    """Multi-head attention of latent positions to condition tokens, or to each other."""

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key_value = nn.Linear(context, 2 * channels, bias=False)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def keys_values(self, tokens: Tensor) -> Tensor:
        """What positions attend to: (B, context, N) tokens to keys and values (2, B, heads, C / heads, N)."""
        return _at_each(self.key_value, tokens).unflatten(1, (2, HEADS, -1)).transpose(0, 1)

    def forward(self, x: Tensor, keys_values: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """(B, C, T) to the same.

        Args:
            x: positions.
            keys_values: of the tokens; None lets positions attend to each other.
            bias: added to scores, (B, 1, N, 1): minus infinity where attention may not look.
        """
        normed = self.norm(x)
        query = _at_each(self.query, normed).unflatten(1, (HEADS, -1))
        key, value = self.keys_values(normed) if keys_values is None else keys_values
        # Written out, and positions last: with a dozen tokens this is several times faster on CPUs than the fused
        # kernel, and nothing is copied to other places.
        scores = key.mT @ (query * query.shape[2] ** -0.5)
        attended = value @ (scores if bias is None else scores + bias).softmax(dim=2).to(value.dtype)
        return x + _at_each(self.out, attended.flatten(1, 2))


def _at_each(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer at each position: (B, inputs, T) to (B, outputs, T)."""
    return F.conv1d(x, layer.weight[..., None], layer.bias)


class Level(nn.Module):
    """One residual block and, if asked for, its attention to the condition and of latent positions to each other.

    Args:
        inputs, outputs: channels.
        embedding: size of what modulates the block.
        tokens: width of a token, 0 for no attention to them.
        around: whether positions attend to each other.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, tokens: int, around: bool) -> None:
        super().__init__()
        self.block = ResidualBlock(inputs, outputs, embedding)
        self.cross = Attention(outputs, tokens) if tokens else None
        self.around = Attention(outputs, outputs) if around else None

    def keys_values(self, tokens: Tensor) -> Tensor | None:
        """What the level attends to of (B, context, N) tokens, None for nothing."""
        return None if self.cross is None else self.cross.keys_values(tokens)

    def forward(self, x: Tensor, embedding: Tensor, keys_values: Tensor | None, bias: Tensor) -> Tensor:
        x = self.block(x, embedding)
        if self.cross is not None:
            x = self.cross(x, keys_values, bias)
        return x if self.around is None else self.around(x)


@dataclass(frozen=True)
class Context:
    """What a denoiser makes of all that stays as it is from step to step.

    Attributes:
        embedding: (B, E) of the condition as a whole, and of levels.
        keys_values: of the tokens, for each level in the order of the network, None for those that attend to none.
        bias: (B, 1, N, 1), minus infinity at tokens that are missing.
        guide: (B, guide_channels, T), or None.
    """

    embedding: Tensor
    keys_values: list[Tensor | None]
    bias: Tensor
    guide: Tensor | None


class Denoiser(nn.Module):
    """v-prediction of noisy latents under a condition.

    Args:
        architecture: widths, levels, tokens.
        latent_channels: channels of the latent.
        guide_channels: channels of the simulator's guide beside the latent; 0 for none (see
            `models.latent_diffusion.simulator_conditioning`).
        levels: numbers that say how strong the recording is (see `models.latent_diffusion.residual_levels`); 0 for
            none.
    """

    def __init__(
        self, architecture: DenoiserArchitecture, latent_channels: int, guide_channels: int = 0, levels: int = 0
    ) -> None:
        super().__init__()
        width, tokens = architecture.width, architecture.token_width
        embedding = 4 * width
        widths = [width * multiplier for multiplier in architecture.multipliers]
        self.width, self.halvings = width, len(widths) - 1

        self.condition = ConditionEncoder(tokens)
        self.time = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.pooled = nn.Linear(tokens, embedding)
        self.levels = nn.Linear(levels, embedding) if levels else None
        self.stem = nn.Conv1d(latent_channels + guide_channels, width, 3, padding=1)

        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        inputs, skips = width, []
        for index, level_width in enumerate(widths):
            seen = tokens if index == self.halvings else 0
            for _ in range(architecture.blocks):
                self.down.append(Level(inputs, level_width, embedding, seen, around=False))
                inputs = level_width
                skips.append(inputs)
            if index < self.halvings:
                self.shrink.append(nn.Conv1d(inputs, inputs, 4, stride=2, padding=1))

        self.middle = Level(inputs, inputs, embedding, tokens, around=True)

        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for index, level_width in reversed(list(enumerate(widths))):
            coarsest = index == self.halvings
            seen = tokens if coarsest else 0
            for _ in range(architecture.blocks):
                self.up.append(Level(inputs + skips.pop(), level_width, embedding, seen, around=coarsest))
                inputs = level_width
            if index > 0:
                self.grow.append(nn.ConvTranspose1d(inputs, inputs, 4, stride=2, padding=1))
        self.blocks = architecture.blocks
        self.head = nn.Sequential(nn.GroupNorm(8, inputs), nn.SiLU(), nn.Conv1d(inputs, latent_channels, 3, padding=1))
        nn.init.zeros_(self.head[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.head[-1].bias)  # type: ignore[arg-type]

    def in_precision(self, dtype: torch.dtype) -> Denoiser:
        """A copy for sampling with weights of another precision. What reads numbers off the condition keeps its own."""
        other = copy.deepcopy(self).to(dtype)
        other.condition = self.condition
        return other

    def forward(
        self,
        noisy: Tensor,
        steps: Tensor,
        condition: ConditionTensors,
        guide: Tensor | None = None,
        levels: Tensor | None = None,
    ) -> Tensor:
        """Predict v.

        Args:
            noisy: (B, latent_channels, T) standardised noisy latents; any T, padded inside to what halving needs.
            steps: (B,) time steps.
            condition: of B rows.
            guide: (B, guide_channels, T) the simulator's guide, if the network was made for one.
            levels: (B, levels) coordinates, if the network was made for them.

        Returns:
            (B, latent_channels, T).
        """
        return self.velocity(noisy, steps, self.context(condition, guide, levels))

    def context(self, condition: ConditionTensors, guide: Tensor | None, levels: Tensor | None) -> Context:
        """What `velocity` needs at every step beside the noisy latents. Arguments as of `forward`."""
        dtype = self.stem.weight.dtype
        tokens, mask = self.condition(condition)
        tokens = tokens.to(dtype)
        embedding = self.pooled((tokens * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True))
        if self.levels is not None:
            if levels is None:
                raise ValueError("this denoiser needs levels (see models.latent_diffusion.residual_levels)")
            embedding = embedding + self.levels(levels.to(dtype))
        bias = torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, float("-inf"))[:, None, :, None]
        network = (*self.down, self.middle, *self.up)
        keys_values = [level.keys_values(tokens.mT) for level in network]  # type: ignore[union-attr, operator]
        return Context(embedding, keys_values, bias, None if guide is None else guide.to(dtype))

    def velocity(self, noisy: Tensor, steps: Tensor, context: Context) -> Tensor:
        """Predict v of (B, latent_channels, T) at steps (B,)."""
        noisy = noisy.to(self.stem.weight.dtype)
        time = time_features(steps, self.width).to(noisy.dtype)
        embedding = F.silu(self.time(time) + context.embedding)
        seen = iter(context.keys_values)

        given = noisy if context.guide is None else torch.cat([noisy, context.guide], dim=1)
        x = self.stem(pad_to_multiple(given, 2**self.halvings))
        skips = []
        for index, level in enumerate(self.down):
            x = level(x, embedding, next(seen), context.bias)
            skips.append(x)
            if (index + 1) % self.blocks == 0 and index + 1 < len(self.down):
                x = self.shrink[index // self.blocks](x)
        x = self.middle(x, embedding, next(seen), context.bias)
        for index, level in enumerate(self.up):
            x = level(torch.cat([x, skips.pop()], dim=1), embedding, next(seen), context.bias)
            if (index + 1) % self.blocks == 0 and index + 1 < len(self.up):
                x = self.grow[index // self.blocks](x)
        return self.head(x)[..., : noisy.shape[-1]]
