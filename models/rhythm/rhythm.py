"""The rhythm of a batch of recordings: what `recorded` finds, `drawn` draws, and `rendering` and `phase` read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

BEAT_KINDS: Final = ("sinus", "atrial premature", "ventricular premature", "escape", "paced")
"""Kinds of beat in the order of `Rhythm.kinds`; beats of atrial fibrillation and flutter are conducted as sinus beats
are and count as such."""
SINUS, ATRIAL_PREMATURE, VENTRICULAR_PREMATURE, ESCAPE, PACED = range(len(BEAT_KINDS))
NO_BEAT: Final = -1

ATRIAL_ACTIVITIES: Final = ("P waves", "fibrillation", "flutter", "none")
"""What the atria do, in the order of `Rhythm.atrial`."""
P_WAVES, FIBRILLATION, FLUTTER, NO_ATRIAL = range(len(ATRIAL_ACTIVITIES))


@dataclass(frozen=True)
class Rhythm:
    """When hearts beat, and how.

    Attributes:
        r_times_s: (B, P) float32, ascending R peaks in seconds from the first sample, padded with NaN at the end; beats
            just outside of the window are among them, so that their waves are drawn.
        kinds: (B, P) int8, index into `BEAT_KINDS`, -1 for padding.
        atrial: (B,) int8, index into `ATRIAL_ACTIVITIES`.
        atrial_rate_hz: (B,) float32, rate of f-waves or flutter waves; 0 where there are none.
    """

    r_times_s: Tensor
    kinds: Tensor
    atrial: Tensor
    atrial_rate_hz: Tensor

    def __len__(self) -> int:
        return len(self.r_times_s)

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> Rhythm:
        """The rhythms of some rows: a slice, indices or a boolean mask."""
        rows = rows if isinstance(rows, slice | Tensor) else torch.as_tensor(list(rows), dtype=torch.long)
        return Rhythm(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def to(self, device: torch.device | str) -> Rhythm:
        """The same rhythms on another device."""
        return Rhythm(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    @staticmethod
    def stack(parts: Sequence[Rhythm]) -> Rhythm:
        """Several batches below each other, in order; at least one."""
        columns = max(part.r_times_s.shape[1] for part in parts)

        def wide(name: str, padding: float) -> Tensor:
            tensors = [getattr(part, name) for part in parts]
            return torch.cat([F.pad(one, (0, columns - one.shape[1]), value=padding) for one in tensors])

        atrial, rate_hz = (torch.cat([getattr(part, name) for part in parts]) for name in ("atrial", "atrial_rate_hz"))
        return Rhythm(wide("r_times_s", torch.nan), wide("kinds", NO_BEAT), atrial, rate_hz)

    def from_second(self, start_s: Tensor) -> Rhythm:
        """The rhythms of crops that begin at these seconds, (B,); no beat is left out."""
        return Rhythm(self.r_times_s - start_s[:, None], self.kinds, self.atrial, self.atrial_rate_hz)


def padded(r_times_s: Tensor, kinds: Tensor, kept: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Keep some beats of each row, in their order, and pad the rest.

    Args:
        r_times_s, kinds: (B, P), ascending.
        kept: (B, P) bool; beyond the first `columns` of a row they are dropped.
        columns: beats per row of the result.

    Returns:
        (B, columns) times, NaN where there is no beat, and kinds, -1 there.
    """
    # The place of the n-th kept beat is where the running count first reaches n.
    count = kept.cumsum(dim=1)
    wanted = torch.arange(1, columns + 1, device=kept.device).expand(len(kept), -1).contiguous()
    place = torch.searchsorted(count, wanted)
    there = place < kept.shape[1]
    place = place.clamp_max(kept.shape[1] - 1)
    return (
        torch.where(there, r_times_s.gather(1, place), torch.nan),
        torch.where(there, kinds.gather(1, place), NO_BEAT).to(torch.int8),
    )


def passed(times_s: Tensor, rate_hz: float, samples: int) -> Tensor:
    """How many times of each row, (B, P) seconds, lie at or before each sample: (B, samples) int64; NaN never does.

    A sample less than 1e-4 of a sample early counts as at the time, since seconds are rounded.
    """
    place = torch.ceil(times_s * rate_hz - 1e-4).nan_to_num(nan=samples).clamp(0, samples).long()
    counted = torch.zeros(len(place), samples + 1, dtype=torch.int64, device=place.device)
    return counted.scatter_add_(1, place, torch.ones_like(place))[:, :samples].cumsum(dim=1)
