"""The most arithmetic that this machine does per second in matrix products and convolutions: a sampler's ceiling."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F

PRECISIONS: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}
MATRICES: Final = (512, 1024, 2048, 3072)
CONVOLUTIONS: Final = ((64, 128, 128), (32, 256, 128), (16, 512, 128))
"""Batch, channels and length of one-dimensional convolutions with kernel 3."""
LEAST_S: Final = 0.25
"""Time that each shape gets: processors need a moment to reach their clock rate."""


def peak_flops(precision: str) -> dict[str, float]:
    """FLOP/s of the fastest of several square matrix products and of several convolutions.

    Args:
        precision: "fp32" or "bf16".

    Returns:
        "gemm" and "conv"; a multiplication and an addition count as two.
    """
    dtype = PRECISIONS[precision]
    return {
        "gemm": max(_gemm(size, dtype) for size in MATRICES),
        "conv": max(_convolution(*shape, dtype) for shape in CONVOLUTIONS),
    }


@torch.inference_mode()
def _gemm(size: int, dtype: torch.dtype) -> float:
    one, two = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    return _best(lambda: one @ two, 2.0 * size**3)


@torch.inference_mode()
def _convolution(batch: int, channels: int, length: int, dtype: torch.dtype) -> float:
    x, weight = torch.randn(batch, channels, length, dtype=dtype), torch.randn(channels, channels, 3, dtype=dtype)
    return _best(lambda: F.conv1d(x, weight, padding=1), 2.0 * 3 * batch * length * channels**2)


def _best(work: Callable[[], object], flops: float) -> float:
    work()
    shortest, until = float("inf"), time.perf_counter() + LEAST_S
    while time.perf_counter() < until:
        started = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - started)
    return flops / shortest
