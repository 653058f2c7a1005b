"""Diffusion time as features of a network."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def time_features(steps: Tensor, size: int) -> Tensor:
    """Sinusoidal features of time steps (Vaswani et al. 2017): (B,) to (B, size)."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(size // 2, device=steps.device) / (size // 2))
    angle = steps[:, None].float() * frequencies
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
