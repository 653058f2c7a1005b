"""Medians of many short series at once.

`numpy.median` selects within each series and spends most of its time around that. Sorting the last axis is several
times as fast; where series lie across memory, a sorting network, which compares whole arrays, is ten times as fast.
"""

from __future__ import annotations

from functools import cache

import numpy as np

LARGEST_NETWORK = 16
"""Series of at most this length are sorted by a network; it grows faster than sorting does."""


def median(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Median of finite values along an axis, which is not empty; to the bit what `numpy.median` gives."""
    axis, length = axis % values.ndim, values.shape[axis]
    if axis == values.ndim - 1:
        return median_of_sorted(np.sort(values))
    if length > LARGEST_NETWORK:
        return median_of_sorted(np.sort(np.moveaxis(values, axis, -1)))
    series = list(np.moveaxis(values, axis, 0))
    for low, high in _comparators(length):
        series[low], series[high] = np.minimum(series[low], series[high]), np.maximum(series[low], series[high])
    return _middle(series[(length - 1) // 2], series[length // 2])


def median_of_sorted(ordered: np.ndarray) -> np.ndarray:
    """Median of values that are sorted along the last axis."""
    length = ordered.shape[-1]
    return _middle(ordered[..., (length - 1) // 2], ordered[..., length // 2])


def quantile_of_sorted(ordered: np.ndarray, share: float) -> np.ndarray:
    """Quantile of values that are sorted along the last axis, interpolated between the two nearest."""
    below, beyond = divmod(share * (ordered.shape[-1] - 1), 1)
    low = ordered[..., int(below)]
    high = ordered[..., min(int(below) + 1, ordered.shape[-1] - 1)]
    found: np.ndarray = low + (high - low) * ordered.dtype.type(beyond)
    return found


def _middle(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    return (lower + upper) / 2


@cache
def _comparators(length: int) -> tuple[tuple[int, int], ...]:
    """Batcher's merge exchange (Knuth, The Art of Computer Programming, volume 3, algorithm 5.2.2M)."""
    found: list[tuple[int, int]] = []
    merged = 1
    while merged < length:
        reach = merged
        while reach >= 1:
            for start in range(reach % merged, length - reach, 2 * reach):
                for low in range(start, start + min(reach, length - start - reach)):
                    if low // (2 * merged) == (low + reach) // (2 * merged):
                        found.append((low, low + reach))
            reach //= 2
        merged *= 2
    return tuple(found)
