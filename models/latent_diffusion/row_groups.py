"""Rows in groups of one size, made side by side.

What a row becomes must not depend on what else is in a batch, nor on the machine's cores. Matrix kernels may round
differently for different numbers of rows and of threads, so networks always see groups of exactly one size, and on a
processor each group is made by one thread. That is also a quarter faster than all threads at one group after the other,
for no part of the work is left to one thread while others wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")


def row_groups(rows: int, at_once: int) -> list[list[int]]:
    """Row numbers in groups of exactly `at_once`, the last row repeated to fill the last group."""
    return [[min(first + offset, rows - 1) for offset in range(at_once)] for first in range(0, rows, at_once)]


def side_by_side(
    make: Callable[[list[int]], Made], groups: Sequence[list[int]], device: torch.device | str
) -> list[Made]:
    """What is made of each group, without gradients.

    Args:
        make: called with a group, by any thread.
        groups: from `row_groups`.
        device: where `make` computes. On anything but a processor groups are made one after the other.
    """
    if torch.device(device).type != "cpu":
        with torch.inference_mode():
            return [make(group) for group in groups]
    made, threads = torch.inference_mode()(make), torch.get_num_threads()  # threads do not inherit the mode
    try:
        if min(threads, len(groups)) == 1:
            torch.set_num_threads(1)
            return [made(group) for group in groups]
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(made, groups))
    finally:
        torch.set_num_threads(threads)


def in_groups(make: Callable[[list[int]], Tensor], rows: int, at_once: int, device: torch.device | str) -> Tensor:
    """What is made of rows in groups, (rows, …) on the CPU.

    Args:
        make: (at_once, …) of row numbers; otherwise as in `side_by_side`.
        rows: at least 1.
        at_once: rows of a group.
        device: where `make` computes.
    """
    groups = row_groups(rows, at_once)
    return torch.cat([made.cpu() for made in side_by_side(make, groups, device)])[:rows]
