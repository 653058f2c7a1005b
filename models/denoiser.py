"""Conditional denoiser: a 1-D U-Net over the latent with cross-attention to the condition tokens.

Each residual block is modulated by the time step and the pooled condition (scale and shift after group normalisation,
as in Dhariwal and Nichol 2021); each level also attends to the tokens one by one. On the way up, latent positions
attend to each other: the beats of one recording resemble each other, however far apart. It predicts v (see
`models.diffusion`).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import DenoiserArchitecture
from models.beats import pad_to_multiple
from models.conditioning import ConditionEncoder, ConditionTensors


def time_features(steps: Tensor, size: int) -> Tensor:
    """Sinusoidal features of time steps (Vaswani et al. 2017): (B,) to (B, size)."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(size // 2, device=steps.device) / (size // 2))
    angle = steps[:, None].float() * frequencies
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


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
    """Multi-head attention of latent positions to condition tokens, or to each other when no tokens are given."""

    def __init__(self, channels: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key_value = nn.Linear(context, 2 * channels, bias=False)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, C, T), optionally tokens (B, N, context) with mask (B, N), to (B, C, T)."""
        normed = self.norm(x).transpose(1, 2)
        query = self._split(self.query(normed))
        key, value = (
            self._split(part) for part in self.key_value(normed if tokens is None else tokens).chunk(2, dim=-1)
        )
        # Written out: with a dozen tokens this is several times faster on CPUs than the fused kernel.
        scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None], float("-inf"))
        attended = scores.softmax(dim=-1).to(value.dtype) @ value
        return x + self.out(attended.transpose(1, 2).flatten(2)).transpose(1, 2)

    def _split(self, x: Tensor) -> Tensor:
        """(B, N, C) to (B, heads, N, C / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Level(nn.Module):
    """One residual block, its attention to the condition and, if asked for, of latent positions to each other."""

    def __init__(self, inputs: int, outputs: int, embedding: int, tokens: int, heads: int, around: bool) -> None:
        super().__init__()
        self.block = ResidualBlock(inputs, outputs, embedding)
        self.cross = Attention(outputs, tokens, heads)
        self.around = Attention(outputs, outputs, heads) if around else None

    def forward(self, x: Tensor, embedding: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        x = self.cross(self.block(x, embedding), tokens, mask)
        return x if self.around is None else self.around(x)


class Denoiser(nn.Module):
    """v-prediction of noisy latents under a condition.

    Args:
        architecture: widths, levels, tokens.
        latent_channels: channels of the latent.
        guide_channels: channels of the simulator's guide beside the latent; 0 for none (see `models.guide`).
    """

    def __init__(self, architecture: DenoiserArchitecture, latent_channels: int, guide_channels: int = 0) -> None:
        super().__init__()
        width, tokens, heads = architecture.width, architecture.token_width, architecture.heads
        embedding = 4 * width
        widths = [width * multiplier for multiplier in architecture.multipliers]
        self.width, self.halvings = width, len(widths) - 1

        self.condition = ConditionEncoder(tokens)
        self.time = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.pooled = nn.Linear(tokens, embedding)
        self.stem = nn.Conv1d(latent_channels + guide_channels, width, 3, padding=1)

        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        inputs, skips = width, []
        for index, level_width in enumerate(widths):
            for _ in range(architecture.blocks):
                self.down.append(Level(inputs, level_width, embedding, tokens, heads, around=False))
                inputs = level_width
                skips.append(inputs)
            if index < self.halvings:
                self.shrink.append(nn.Conv1d(inputs, inputs, 4, stride=2, padding=1))

        self.middle = Level(inputs, inputs, embedding, tokens, heads, around=True)

        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for index, level_width in reversed(list(enumerate(widths))):
            for _ in range(architecture.blocks):
                self.up.append(
                    Level(inputs + skips.pop(), level_width, embedding, tokens, heads, architecture.self_attention)
                )
                inputs = level_width
            if index > 0:
                self.grow.append(nn.ConvTranspose1d(inputs, inputs, 4, stride=2, padding=1))
        self.blocks = architecture.blocks
        self.head = nn.Sequential(nn.GroupNorm(8, inputs), nn.SiLU(), nn.Conv1d(inputs, latent_channels, 3, padding=1))
        nn.init.zeros_(self.head[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.head[-1].bias)  # type: ignore[arg-type]

    def forward(self, noisy: Tensor, steps: Tensor, condition: ConditionTensors, guide: Tensor | None = None) -> Tensor:
        """Predict v.

        Args:
            noisy: (B, latent_channels, T) standardised noisy latents; any T, padded inside to what halving needs.
            steps: (B,) time steps.
            condition: of B rows.
            guide: (B, guide_channels, T) the simulator's guide, if the network was made for one.

        Returns:
            (B, latent_channels, T).
        """
        tokens, mask = self.condition(condition)
        pooled = (tokens * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        embedding = F.silu(self.time(time_features(steps, self.width)) + self.pooled(pooled))

        given = noisy if guide is None else torch.cat([noisy, guide], dim=1)
        x = self.stem(pad_to_multiple(given, 2**self.halvings))
        skips = []
        for index, level in enumerate(self.down):
            x = level(x, embedding, tokens, mask)
            skips.append(x)
            if (index + 1) % self.blocks == 0 and index + 1 < len(self.down):
                x = self.shrink[index // self.blocks](x)
        x = self.middle(x, embedding, tokens, mask)
        for index, level in enumerate(self.up):
            x = level(torch.cat([x, skips.pop()], dim=1), embedding, tokens, mask)
            if (index + 1) % self.blocks == 0 and index + 1 < len(self.up):
                x = self.grow[index // self.blocks](x)
        return self.head(x)[..., : noisy.shape[-1]]
