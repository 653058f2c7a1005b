"""The velocity of the flow: a transformer over patches of the filtered signal.

A patch is 100 ms of all eight leads. Patches attend to each other and to the condition tokens in one softmax; what a
token gives to it, its key and its value, does not change while the flow is solved and is computed once. Time and pooled
condition modulate the norms (adaptive layer norm with gates that start at zero, Peebles and Xie 2023), positions are
rotary (Su et al. 2021). Beside the noisy patch the network sees the guide of the same 100 ms (`models.flow.guide`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import FlowArchitecture
from models.conditioning import ConditionEncoder, ConditionTensors
from models.flow.guide import GUIDE_CHANNELS
from models.latent_diffusion.time_features import time_features
from models.leads import INDEPENDENT_LEADS

LARGEST_GUIDANCE: Final = 3.0
"""Guidance scale of the condition up to which a student learns what its teacher does."""
PATCH_S: Final = 0.1
"""Seconds of a patch, at any sampling rate."""
LEADS: Final = len(INDEPENDENT_LEADS)
TIME_SCALE: Final = 1000
TIME_FEATURES: Final = 128
SLOWEST_TURN: Final = 1000.0
"""Base of the rotary frequencies: the slowest features turn once in minutes, so that no two patches look alike."""


def patch_samples(rate_hz: float) -> int:
    """Samples of a patch."""
    return max(1, round(PATCH_S * rate_hz))


def patches(signal: Tensor, samples: int) -> Tensor:
    """(B, C, T · samples) to (B, T, C · samples)."""
    return signal.unflatten(2, (-1, samples)).transpose(1, 2).flatten(2)


def rotations(first: int, count: int, shape: FlowArchitecture, device: torch.device) -> Tensor:
    """Cosine and sine of the rotary angles of patches `first` to `first + count − 1`: (2, count, width / 2), a pair of
    features each, those of one head after those of the other."""
    pairs = shape.width // shape.heads // 2
    frequency = SLOWEST_TURN ** (-torch.arange(pairs, device=device) / pairs)
    angle = torch.arange(first, first + count, device=device)[:, None] * frequency.repeat(shape.heads)
    return torch.stack([angle.cos(), angle.sin()])


def rotated(x: Tensor, turns: Tensor) -> Tensor:
    """Features (B, T, width) turned in pairs, feature i with feature i + width / 2: (B, T, 2, width / 2).

    Heads are split off afterwards, so that what is multiplied lies side by side in memory.
    """
    cos, sin = turns.to(x.dtype)
    one, two = x.chunk(2, dim=-1)
    return torch.stack([torch.addcmul(one * cos, two, sin, value=-1), torch.addcmul(one * sin, two, cos)], dim=2)


def attended(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """softmax(q kᵀ / √D + bias) v for (B, heads, T or T + N, D) and bias (B, 1, 1, T + N).

    On a processor it is written out: the fused kernel's backward pass takes three times as long there.
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scores = (query * query.shape[-1] ** -0.5) @ key.mT
    return (scores + bias).softmax(dim=-1).to(value.dtype) @ value


def modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """x (1 + scale) + shift."""
    return torch.addcmul(shift, x, 1 + scale)


class Block(nn.Module):
    """Attention and a perceptron, both modulated. (B, T, width) to the same."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = nn.Linear(width, 6 * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.of_tokens = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What patches attend to of (B, N, width) tokens: keys and values (B, heads, N, features)."""
        key, value = self.of_tokens(tokens).chunk(2, dim=-1)
        return self._by_head(key[:, :, None]), self._by_head(value[:, :, None])

    def forward(
        self, x: Tensor, embedding: Tensor, keys_values: tuple[Tensor, Tensor], bias: Tensor, turns: Tensor
    ) -> Tensor:
        scale, shift, gate, scale_2, shift_2, gate_2 = self.modulation(embedding)[:, None].chunk(6, dim=-1)
        query, key, value = self.query_key_value(modulated(self.norm(x), scale, shift)).chunk(3, dim=-1)
        keys = torch.cat([self._by_head(rotated(key, turns)), keys_values[0]], dim=2)
        values = torch.cat([self._by_head(value[:, :, None]), keys_values[1]], dim=2)
        found = attended(self._by_head(rotated(query, turns)), keys, values, bias)
        x = torch.addcmul(x, gate, self.dropout(self.out(found.transpose(1, 2).flatten(2))))
        wide = F.gelu(self.widen(modulated(self.norm(x), scale_2, shift_2)))
        return torch.addcmul(x, gate_2, self.dropout(self.narrow(wide)))

    def _by_head(self, x: Tensor) -> Tensor:
        """(B, T, parts, width / parts) to (B, heads, T, features)."""
        return x.unflatten(3, (self.heads, -1)).permute(0, 3, 1, 2, 4).flatten(3)


class Span(nn.Module):
    """Embedding of the end of a student's step and of its guidance scale. Two (B,) to (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        out = nn.Linear(width, width)
        # A new student is its teacher at the start of each span.
        for parameter in out.parameters():
            nn.init.zeros_(parameter)
        self.layers = nn.Sequential(nn.Linear(2 * TIME_FEATURES, width), nn.SiLU(), out)

    def forward(self, end: Tensor, guidance: Tensor) -> Tensor:
        numbers = torch.stack([end, (guidance - 1) / (LARGEST_GUIDANCE - 1)], dim=1).flatten()
        features = time_features(numbers * TIME_SCALE, TIME_FEATURES).unflatten(0, (-1, 2)).flatten(1)
        return self.layers(features.to(self.layers[0].weight.dtype))


def of_white_data(time: Tensor, end: Tensor | None) -> Tensor:
    """What a linear network could say best of white data, (B,): the factor of x_t in its velocity.

    At a time t it is σ'/σ = (2t − 1) / σ² with σ² = t² + (1 − t)², and x moves along σ: until a time s the mean
    velocity is (1 − σ_s / σ_t) / (t − s) x_t.
    """
    variance = time.square() + (1 - time).square()
    if end is None:
        return (2 * time - 1) / variance
    return (1 - ((end.square() + (1 - end).square()) / variance).sqrt()) / (time - end)


@dataclass(frozen=True)
class Context:
    """What the transformer makes of all that stays as it is while the flow is solved.

    Attributes:
        embedding: (B, width) of the condition as a whole.
        keys_values: of the condition tokens, for each block.
        bias: (B, 1, 1, T + N) of attention, minus infinity at tokens that are missing.
        guide: (B, T, width).
    """

    embedding: Tensor
    keys_values: list[tuple[Tensor, Tensor]]
    bias: Tensor
    guide: Tensor


class FlowTransformer(nn.Module):
    """Velocity dx/dt of the straight path x_t = (1 − t) x + t ε from filtered ECGs to white noise.

    Args:
        architecture: widths, depth, tokens.
        rate_hz: sampling rate, which says how many samples a patch has.
        student: whether it predicts the mean velocity until a second time, guidance included (`models.flow.student`).
    """

    def __init__(self, architecture: FlowArchitecture, rate_hz: float, student: bool = False) -> None:
        super().__init__()
        width = architecture.width
        self.shape, self.samples = architecture, patch_samples(rate_hz)
        self.condition = ConditionEncoder(width)
        self.pooled = nn.Linear(width, width)
        self.time = nn.Sequential(nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width))
        self.span = Span(width) if student else None
        self.stem = nn.Linear(LEADS * self.samples, width)
        self.guide = nn.Linear(GUIDE_CHANNELS * self.samples, width, bias=False)
        self.blocks = nn.ModuleList(
            Block(width, architecture.heads, architecture.dropout) for _ in range(architecture.depth)
        )
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.head = nn.Linear(width, LEADS * self.samples)
        self.skip = nn.Linear(LEADS * self.samples, LEADS * self.samples, bias=False)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        nn.init.eye_(self.skip.weight)

    def in_precision(self, dtype: torch.dtype) -> FlowTransformer:
        """A copy for sampling with weights of another precision. What reads numbers off the condition keeps its own."""
        other = copy.deepcopy(self).to(dtype)
        other.condition = self.condition
        return other

    def forward(
        self,
        noisy: Tensor,
        time: Tensor,
        condition: ConditionTensors,
        guide: Tensor,
        first: int = 0,
        end: Tensor | None = None,
        guidance: Tensor | None = None,
    ) -> Tensor:
        """Predict the velocity.

        Args:
            noisy: (B, 8, T · samples of a patch) x_t.
            time: (B,) t between 0, an ECG, and 1, noise.
            condition: of B rows.
            guide: (B, GUIDE_CHANNELS, T · samples of a patch), zero in rows without one.
            first: position of the first patch.
            end: (B,) time until which the mean velocity is asked for, before `time`; of a student only.
            guidance: (B,) guidance scale of the condition; of a student only.

        Returns:
            (B, 8, T · samples of a patch).
        """
        return self.velocity(noisy, time, self.context(condition, guide), first, end, guidance)

    def context(self, condition: ConditionTensors, guide: Tensor) -> Context:
        """What `velocity` needs at every step beside the noisy signal. Arguments as of `forward`."""
        dtype = self.stem.weight.dtype
        tokens, mask = self.condition(condition)
        tokens = tokens.to(dtype)
        shown = self.guide(patches(guide.to(dtype), self.samples))
        bias = shown.new_zeros(len(mask), shown.shape[1] + mask.shape[1])
        bias[:, shown.shape[1] :].masked_fill_(~mask, float("-inf"))
        return Context(
            embedding=self.pooled((tokens * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)),
            keys_values=[block.keys_values(tokens) for block in self.blocks],  # type: ignore[operator,union-attr]
            bias=bias[:, None, None],
            guide=shown,
        )

    def velocity(
        self,
        noisy: Tensor,
        time: Tensor,
        context: Context,
        first: int = 0,
        end: Tensor | None = None,
        guidance: Tensor | None = None,
    ) -> Tensor:
        """Predict the velocity of (B, 8, T · samples) at times (B,); other arguments as of `forward`."""
        noisy = patches(noisy.to(self.stem.weight.dtype), self.samples)
        of_time = time_features(time * TIME_SCALE, TIME_FEATURES).to(noisy.dtype)
        embedding = self.time(of_time) + context.embedding
        if self.span is not None:
            embedding = embedding + self.span(end, guidance)
        embedding = F.silu(embedding)
        turns = rotations(first, noisy.shape[1], self.shape, noisy.device)
        x = self.stem(noisy) + context.guide
        for block, keys_values in zip(self.blocks, context.keys_values, strict=True):
            x = block(x, embedding, keys_values, context.bias, turns)
        scale, shift = self.modulation(embedding)[:, None].chunk(2, dim=-1)
        known = of_white_data(time, end)[:, None, None].to(noisy.dtype)
        found = self.head(modulated(self.norm(x), scale, shift)) + self.skip(noisy * known)
        return found.unflatten(2, (LEADS, -1)).transpose(1, 2).flatten(2)
