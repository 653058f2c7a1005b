"""Counter-based random numbers: row `r` of a batch is a function of its seed, a purpose and an index, of nothing else.

Philox4x32 with ten rounds (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) in
integer arithmetic of tensors. Normal numbers come from the uniform ones by additions, multiplications and square roots
alone, which IEEE 754 rounds in one way only: unlike `torch.log` or `torch.erfinv`, they give the same bits on every
device.
"""

from __future__ import annotations

import hashlib
import math
from typing import Final

import torch
from torch import Tensor

ROUNDS: Final = 10
MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS: Final = (0x9E3779B9, 0xBB67AE85)
WORD: Final = 0xFFFFFFFF
AT_ONCE: Final = 1 << 14
"""Blocks of four words that a CPU makes at once, so that they stay in its cache."""

LOG_SERIES: Final = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
"""Of the Cephes library's `logf` (Moshier 1989)."""
LOG_2: Final = (0.693359375, -2.12194440e-4)
"""log 2 as a short number, whose products with exponents are exact, and the rest."""

INVERSE_CENTRE: Final = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
INVERSE_TAIL: Final = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)
"""Inverse error function in single precision, below and from w = −log(1 − x²) = 5 (Giles, "Approximating the erfinv
function", GPU Computing Gems 2, 2010)."""


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Philox4x32-10.

    Args:
        counter: four tensors of one shape, int64 that hold 32-bit words.
        key: two tensors that broadcast with them, likewise.

    Returns:
        Four words like `counter`.
    """
    a, b, c, d = counter
    low, high = key
    for turn in range(ROUNDS):
        # The product is less than 2^64: as a signed number it may be negative, which the mask after the shift undoes.
        first, second = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        key_low, key_high = (low + turn * KEY_STEPS[0]) & WORD, (high + turn * KEY_STEPS[1]) & WORD
        a = ((second >> 32) & WORD).bitwise_xor_(b).bitwise_xor_(key_low)
        c = ((first >> 32) & WORD).bitwise_xor_(d).bitwise_xor_(key_high)
        b, d = second.bitwise_and_(WORD), first.bitwise_and_(WORD)
    return a, b, c, d


def uniform(seeds: Tensor, purpose: str, shape: tuple[int, ...]) -> Tensor:
    """Uniform random numbers.

    Args:
        seeds: (B,) int64, one seed per row.
        purpose: what they are for; numbers of different purposes are independent.
        shape: of one row.

    Returns:
        (B, *shape) float32 in (0, 1), odd multiples of 2⁻²⁴, on the device of `seeds`. The number at a place of the
        flattened shape depends on the row's seed, the purpose and the place only.
    """
    return _numbers(seeds, purpose, shape, normal=False)


def normal(seeds: Tensor, purpose: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal random numbers, no larger than 5.2; arguments and result as those of `uniform`."""
    return _numbers(seeds, purpose, shape, normal=True)


def further_seeds(seeds: Tensor, purpose: str, count: int) -> Tensor:
    """Seeds that derive from others, (B, count) int64 from 0 to 2⁶³ − 1; arguments as those of `uniform`."""
    block = torch.arange(count, device=seeds.device).expand(len(seeds), -1)
    nothing = torch.zeros_like(block)
    counter = block, torch.full_like(block, _stream(purpose)), nothing, nothing
    low, high, *_ = philox(counter, (seeds[:, None] & WORD, (seeds[:, None] >> 32) & WORD))
    return ((high & (WORD >> 1)) << 32) | low


def _stream(purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4])


def _numbers(seeds: Tensor, purpose: str, shape: tuple[int, ...], normal: bool) -> Tensor:
    count = math.prod(shape)
    blocks = -(-count // 4)
    stream = _stream(purpose)
    out = torch.empty(len(seeds) * blocks, 4, dtype=torch.float32, device=seeds.device)
    at_once = AT_ONCE if seeds.device.type == "cpu" else max(1, len(out))
    for start in range(0, len(out), at_once):
        place = torch.arange(start, min(start + at_once, len(out)), device=seeds.device)
        seed, block = seeds[place // blocks], place % blocks
        nothing = torch.zeros_like(block)
        counter = block, torch.full_like(block, stream), nothing, nothing
        words = philox(counter, (seed & WORD, (seed >> 32) & WORD))
        share = torch.stack(words, dim=1).bitwise_right_shift_(9).mul_(2).add_(1).float().mul_(2.0**-24)
        out[start : start + at_once] = _normal_quantile(share) if normal else share
    return out.view(len(seeds), 4 * blocks)[:, :count].reshape(len(seeds), *shape)


def _normal_quantile(share: Tensor) -> Tensor:
    """The standard normal number below which a share of them lies, √2 erfinv(2 · share − 1)."""
    x = share * 2.0 - 1.0
    w = -_log((1.0 - x) * (1.0 + x))
    centre = _polynomial(INVERSE_CENTRE, w - 2.5)
    tail = _polynomial(INVERSE_TAIL, w.sqrt() - 3.0)
    return torch.where(w < 5.0, centre, tail).mul_(x).mul_(math.sqrt(2.0))


def _log(x: Tensor) -> Tensor:
    """Natural logarithm of positive normal float32 numbers."""
    bits = x.view(torch.int32)
    mantissa = ((bits & 0x007FFFFF) | 0x3F000000).view(torch.float32)  # in [0.5, 1)
    exponent = (bits >> 23) - 126
    small = mantissa < math.sqrt(0.5)
    exponent = (exponent - small.int()).float()
    rest = torch.where(small, mantissa + mantissa, mantissa) - 1.0
    square = rest * rest
    series = _polynomial(LOG_SERIES, rest).mul_(square).mul_(rest)
    return rest + (series + exponent * LOG_2[1] - 0.5 * square) + exponent * LOG_2[0]


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Horner's scheme, the highest power first, each step rounded by itself."""
    value = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value.mul_(x).add_(coefficient)
    return value
