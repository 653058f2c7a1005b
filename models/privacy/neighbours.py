"""Nearest neighbours by blocked matrix products: exact, and 20,000 queries of 20,000 records need no large matrix."""

from __future__ import annotations

import numpy as np

ROWS_AT_ONCE = 1024


def nearest(queries: np.ndarray, pool: np.ndarray, neighbours: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the nearest rows of a pool and their indices.

    Args:
        queries: (n, d).
        pool: (m, d), m at least 1.
        neighbours: how many; at most m are returned.

    Returns:
        Euclidean distances (n, neighbours) float32, ascending, and indices (n, neighbours) into the pool.
    """
    count = min(neighbours, len(pool))
    x, y = (np.ascontiguousarray(each, dtype=np.float32) for each in (queries, pool))
    of_pool = np.einsum("ij,ij->i", y, y)
    distances, indices = np.empty((len(x), count), np.float32), np.empty((len(x), count), np.int64)
    for at in range(0, len(x), ROWS_AT_ONCE):
        rows = slice(at, at + ROWS_AT_ONCE)
        squared = of_pool - 2 * (x[rows] @ y.T)
        if count == 1:
            found = squared.argmin(axis=1)[:, None]
        else:
            found = np.argpartition(squared, count - 1, axis=1)[:, :count]
        # Recomputed from the difference: the expanded form loses the digits that tell a copy from a neighbour.
        exact = np.linalg.norm(x[rows, None] - y[found], axis=2)
        order = exact.argsort(axis=1, kind="stable")
        distances[rows], indices[rows] = (np.take_along_axis(each, order, axis=1) for each in (exact, found))
    return distances, indices


def nearest_distance(queries: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Distance to the closest record of a pool, (n,)."""
    return nearest(queries, pool)[0][:, 0]
