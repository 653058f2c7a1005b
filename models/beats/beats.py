"""The beats of a batch of recordings, as amplitudes of the simulator's events (`models.simulator.beat_events`).

A recording has a usual beat, of its dominant rhythm, and where there are beats of another shape (ventricular premature
or paced) an ectopic beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Beats:
    """Usual and ectopic beat of each recording.

    Attributes:
        usual: (B, 8, events) mV.
        ectopic: (B, 8, events) mV; 0 where there is none.
        has_ectopic: (B,) bool.
    """

    usual: Tensor
    ectopic: Tensor
    has_ectopic: Tensor

    def __len__(self) -> int:
        return len(self.usual)

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> Beats:
        """The beats of some rows: a slice, indices or a boolean mask."""
        rows = rows if isinstance(rows, slice | Tensor) else torch.as_tensor(list(rows), dtype=torch.long)
        return Beats(self.usual[rows], self.ectopic[rows], self.has_ectopic[rows])

    def to(self, device: torch.device | str) -> Beats:
        """The same beats on another device."""
        return Beats(self.usual.to(device), self.ectopic.to(device), self.has_ectopic.to(device))

    @staticmethod
    def stack(parts: Sequence[Beats]) -> Beats:
        """Several batches below each other, in order; at least one."""
        return Beats(
            torch.cat([part.usual for part in parts]),
            torch.cat([part.ectopic for part in parts]),
            torch.cat([part.has_ectopic for part in parts]),
        )
