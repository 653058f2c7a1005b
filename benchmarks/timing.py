"""Timing two ways of doing the same thing, in turns, so that what else the machine does hits both alike."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from models.evaluation.metrics import Estimate, percentile_interval

RESAMPLES = 2000


def in_turns(*works: Callable[[int], object], repetitions: int) -> np.ndarray:
    """Time pieces of work in turns, after each was run once to warm up.

    Args:
        works: each takes the number of the repetition, −1 for the warm-up.
        repetitions: how often each is timed.

    Returns:
        (repetitions, works) seconds.
    """
    for work in works:
        work(-1)
    seconds = np.zeros((repetitions, len(works)))
    for repetition in range(repetitions):
        # The order turns round each time: whoever comes first finds a cooler cache.
        order = range(len(works)) if repetition % 2 == 0 else reversed(range(len(works)))
        for place in order:
            started = time.perf_counter()
            works[place](repetition)
            seconds[repetition, place] = time.perf_counter() - started
    return seconds


def rate(seconds: np.ndarray, done: float, seed: int = 1) -> Estimate:
    """Pieces done per second: the median over repetitions with its bootstrap interval.

    Args:
        seconds: (repetitions,) of doing `done` pieces.
    """
    rates = done / seconds
    return percentile_interval(float(np.median(rates)), np.median(_resampled(rates, seed), axis=1))


def rate_ratio(fast: np.ndarray, fast_done: float, slow: np.ndarray, slow_done: float, seed: int = 1) -> Estimate:
    """How many times faster one is than the other: the median ratio of the rates of a turn, with its interval.

    Args:
        fast, slow: (repetitions,) seconds of each turn, as `in_turns` gives them.
        fast_done, slow_done: pieces done in a turn; a share of one where only that was timed.
    """
    ratios = (fast_done / fast) / (slow_done / slow)
    return percentile_interval(float(np.median(ratios)), np.median(_resampled(ratios, seed), axis=1))


def _resampled(values: np.ndarray, seed: int) -> np.ndarray:
    """(resamples, n) draws with replacement."""
    return np.random.default_rng(seed).choice(values, size=(RESAMPLES, len(values)))
