"""What sampling is timed against: a denoiser of DiffuSETS' published shape, and 1000 ancestral steps with it.

Lai et al., "DiffuSETS: 12-lead ECG generation conditioned on clinical text reports and patient-specific information",
arXiv 2501.05932: a latent of 4 × 128, a U-Net of seven levels with kernel 7 that attends to itself and to one token (an
embedding of the report with sex, age and heart rate) at every level, and 1000 steps of DDPM. Written for this benchmark
from that description, with widths and a text embedding that give 14 million parameters; it has random weights, which
cost as much time as trained ones. The step into millivolts, which that model takes as well, is left out in its favour.
"""

from __future__ import annotations

import itertools
import math
from typing import Final

import torch
import torch.nn.functional as F
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor, nn

LATENT: Final = (4, 128)
LEVELS: Final = 7
KERNEL: Final = 7
WIDTH: Final = 8
"""Channels of the first level; each of the others has twice as many as the one above."""
HEADS: Final = 4
TEXT_SIZE: Final = 768
STEPS: Final = 1000


class TimeEmbedding(nn.Module):
    """Steps (batch,) to (batch, channels, 1)."""

    def __init__(self, channels: int, features: int = 64, hidden: int = 128) -> None:
        super().__init__()
        self.register_buffer("frequency", torch.exp(torch.linspace(0.0, -math.log(10_000), features // 2)))
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.Mish(), nn.Linear(hidden, channels))

    def forward(self, steps: Tensor) -> Tensor:
        angle = steps[:, None].float() * self.frequency  # type: ignore[operator]
        return self.layers(torch.cat([angle.sin(), angle.cos()], dim=-1))[..., None]


class Attention(nn.Module):
    """Attention of positions to each other, or to a condition token; (batch, positions, channels) to the same."""

    def __init__(self, channels: int, hidden: int, context: int | None = None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.token = None if context is None else nn.Sequential(nn.Linear(context, channels), nn.LayerNorm(channels))
        self.query, self.key, self.value = (nn.Linear(channels, hidden) for _ in range(3))
        self.out = nn.Sequential(nn.Linear(hidden, hidden), nn.Linear(hidden, channels))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        normed = self.norm(x)
        seen = normed if self.token is None else self.token(condition)

        def heads(projected: Tensor) -> Tensor:
            return projected.unflatten(-1, (HEADS, -1)).transpose(1, 2)

        attended = F.scaled_dot_product_attention(
            heads(self.query(normed)), heads(self.key(seen)), heads(self.value(seen))
        )
        return x + self.out(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Two convolutions around both attentions, and a short cut; (batch, inputs, T) to (batch, outputs, T)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = KERNEL, hidden: int = 16) -> None:
        super().__init__()
        between = (inputs + outputs) // 2
        self.time = TimeEmbedding(inputs)
        self.before = nn.Sequential(
            nn.Conv1d(inputs, between, kernel, padding="same"),
            nn.GroupNorm(1, between),
            nn.Mish(),
            nn.Conv1d(between, between, 1),
        )
        self.itself = Attention(between, hidden)
        self.condition = Attention(between, hidden, TEXT_SIZE + 3)
        self.norm = nn.LayerNorm(between)
        self.after = nn.Sequential(
            nn.Conv1d(between, outputs, kernel, padding="same"), nn.GroupNorm(1, outputs), nn.Mish()
        )
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, steps: Tensor, condition: Tensor) -> Tensor:
        hidden = self.before(x + self.time(steps)).transpose(1, 2)
        hidden = self.norm(self.condition(self.itself(hidden), condition)).transpose(1, 2)
        return self.after(hidden) + self.shortcut(x)


class PublishedUNet(nn.Module):
    """Predicts the noise in a latent (batch, 4, 128)."""

    def __init__(self) -> None:
        super().__init__()
        widths = [WIDTH * 2**level for level in range(LEVELS)]
        self.stem = nn.Conv1d(LATENT[0], WIDTH, 1)
        self.down = nn.ModuleList(Block(one, two) for one, two in itertools.pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv1d(width, width, 3, stride=2, padding=1) for width in widths[1:])
        self.middle = Block(widths[-1], widths[-1], kernel=3, hidden=32)
        rising = widths[::-1]
        self.grow = nn.ModuleList(nn.ConvTranspose1d(width, width, 4, stride=2, padding=1) for width in rising[:-1])
        # The lowest level has no skip connection: it has just come from there.
        self.up = nn.ModuleList(
            Block(width * (1 if level == 0 else 2), width // 2) for level, width in enumerate(rising[:-1])
        )
        self.head = nn.Sequential(
            nn.Conv1d(WIDTH, LATENT[0], 3, padding="same"), nn.Mish(), nn.Conv1d(LATENT[0], LATENT[0], 1)
        )

    def forward(self, latents: Tensor, steps: Tensor, condition: Tensor) -> Tensor:
        """Predict noise.

        Args:
            latents: (batch, 4, 128).
            steps: (batch,).
            condition: (batch, 1, 771): embedding of the report, sex, age, heart rate.
        """
        x, skips = self.stem(latents), []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            skips.append(block(x, steps, condition))
            x = shrink(skips[-1])
        x = self.middle(x, steps, condition)
        skips.pop()
        for block, grow in zip(self.up, self.grow, strict=True):
            x = grow(x)
            if block is not self.up[0]:
                x = torch.cat([x, skips.pop()], dim=1)
            x = block(x, steps, condition)
        return self.head(x)


@torch.inference_mode()
def sample_ancestrally(
    network: PublishedUNet, condition: Tensor, generator: torch.Generator, steps: int = STEPS, bf16: bool = False
) -> Tensor:
    """The first `steps` of 1000 ancestral steps (Ho, Jain, Abbeel, NeurIPS 2020) from noise: (batch, 4, 128).

    Args:
        condition: (batch, 1, 771).
        generator: of noise, on the same device.
        steps: 1000 for a sample; fewer to time a share of one, since all cost the same.
        bf16: whether the network runs under bf16 autocast.
    """
    scheduler = DDPMScheduler(num_train_timesteps=STEPS, beta_start=0.00085, beta_end=0.012)
    scheduler.set_timesteps(STEPS)
    latents = torch.randn(len(condition), *LATENT, generator=generator, device=condition.device)
    for step in scheduler.timesteps[:steps]:
        with torch.autocast(condition.device.type, torch.bfloat16, enabled=bf16):
            noise = network(latents, step.expand(len(latents)), condition)
        latents = scheduler.step(noise.float(), step, latents, generator=generator, return_dict=False)[0]
    return latents
