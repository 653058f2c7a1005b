"""Random numbers of a generated row: each purpose has its own stream, all of them from the row's one seed."""

from __future__ import annotations

import hashlib

import torch


def row_generator(seed: int, purpose: str) -> torch.Generator:
    """A generator on the CPU for one purpose of one row; streams of different purposes are independent."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
