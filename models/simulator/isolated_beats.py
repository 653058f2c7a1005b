"""Beats cut out of their neighbours, so that waves can be fitted to one beat alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

COARSER = 4
"""Every fourth point of the 500 Hz grid of median beats is fitted: no event is narrower than that, so that even of
recordings at 500 Hz all points would fit hardly better."""
OUTSIDE = 0.2
"""Weight of silence outside the beat's own stretch, which keeps waves from reaching into the next beat."""
EDGE_S = 0.03
EARLIEST_S, LATEST_S = 0.36, 0.17
"""How long before an R peak its P wave may begin."""


def isolated(beat: Tensor, seconds: Tensor, rr_s: Tensor) -> tuple[Tensor, Tensor]:
    """Cut beats out of their neighbours: (batch, 8, samples) beats that begin and end at 0, and weights."""
    last = _quietest(beat, seconds, rr_s)
    first = (last - rr_s).clamp_min(-EARLIEST_S)
    inside = (seconds >= first[:, None]) & (seconds <= last[:, None])

    def level(ends: Tensor) -> Tensor:
        near = ((seconds - ends[:, None]).abs() <= EDGE_S).float()[:, None]
        return (beat * near).sum(-1) / near.sum(-1).clamp_min(1.0)

    at_first, at_last = level(first + EDGE_S), level(last - EDGE_S)
    share = (seconds - first[:, None]) / (last - first)[:, None]
    line = at_first[..., None] + (at_last - at_first)[..., None] * share[:, None]
    cut = torch.where(inside[:, None], beat - line, 0.0)
    return cut, torch.where(inside, 1.0, OUTSIDE)[:, None]


def _quietest(beat: Tensor, seconds: Tensor, rr_s: Tensor) -> Tensor:
    """Where between T and the next P the leads change least, (batch,) seconds after the R peak."""
    step = float(seconds[1] - seconds[0])
    slope = beat.diff(dim=-1).abs()
    slope = F.pad((slope / slope.mean(-1, keepdim=True).clamp_min(1e-4)).mean(dim=1), (0, 1), mode="replicate")
    reach = round(EDGE_S / step)
    slope = F.avg_pool1d(slope[:, None], 2 * reach + 1, 1, reach)[:, 0]
    nearest, farthest = (rr_s - EARLIEST_S).clamp_min(0.2), (rr_s - LATEST_S).clamp_min(0.22)
    between = (seconds >= nearest[:, None]) & (seconds <= farthest[:, None])
    # A slow heart's next P wave lies beyond the median beat, which then ends in silence.
    between[:, -1] |= ~between.any(dim=1)
    return seconds[torch.where(between, slope, torch.inf).argmin(dim=1)]
