"""Medians of many short series at once.

`numpy.median` selects within each series and spends most of its time around that: sorting the last axis is several times
as fast, and a sorting network, which compares whole arrays, an order of magnitude where the series lie across memory.
"""

from __future__ import annotations

from functools import cache

import numpy as np

LARGEST_NETWORK = 16
"""Series of at most this length are sorted by a network; it grows faster than sorting does."""


def median(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Median of finite floating-point values along an axis, which is not empty; to the bit what `numpy.median` gives."""
    if axis % values.ndim != values.ndim - 1 and values.shape[axis] <= LARGEST_NETWORK:
        return _middle(_sorted_by_network(list(np.moveaxis(values, axis, 0))))
    return median_of_sorted(np.sort(np.moveaxis(values, axis, -1), axis=-1))


def median_of_sorted(ordered: np.ndarray) -> np.ndarray:
    """Median of values that are sorted along the last axis."""
    return _middle(np.moveaxis(ordered, -1, 0))


def quantile_of_sorted(ordered: np.ndarray, share: float) -> np.ndarray:
    """Quantile of values that are sorted along the last axis, interpolated between the two nearest."""
    below, beyond = divmod(share * (ordered.shape[-1] - 1), 1)
    low = ordered[..., int(below)]
    high = ordered[..., min(int(below) + 1, ordered.shape[-1] - 1)]
    found: np.ndarray = low + (high - low) * ordered.dtype.type(beyond)
    return found


def _middle(ordered: np.ndarray | list[np.ndarray]) -> np.ndarray:
    half = len(ordered) // 2
    found: np.ndarray = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
    return found


def _sorted_by_network(series: list[np.ndarray]) -> list[np.ndarray]:
    for low, high in _comparators(len(series)):
        series[low], series[high] = np.minimum(series[low], series[high]), np.maximum(series[low], series[high])
    return series


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
