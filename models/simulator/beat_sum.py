"""Beats as sums of Gaussian waves, added up to a recording: the simulator's inner loop, in closed form.

Most of a beat is far from most of its waves. Waves that need about the same stretch around the R peak are evaluated
together, and nothing outside of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

REACH = 4.3
"""Widths from its centre to which a wave is evaluated: what is cut off is below 1e-4 of its amplitude."""
NEW_STRETCH = 60
"""What evaluating one more stretch costs, in samples of one wave."""


@dataclass(frozen=True)
class BeatWaves:
    """The waves of one kind of beat per recording.

    Attributes:
        amplitude: (batch, waves, axes) mV; axes of the dipole, or leads.
        centre_s, width_s: (batch, waves) seconds at a pace of 1 s.
        exponent: (batch, waves) power of the pace that centre and width follow.
    """

    amplitude: Tensor
    centre_s: Tensor
    width_s: Tensor
    exponent: Tensor

    def __getitem__(self, rows: slice) -> BeatWaves:
        """The waves of some recordings."""
        return BeatWaves(self.amplitude[rows], self.centre_s[rows], self.width_s[rows], self.exponent[rows])


def sum_of_beats(
    waves: BeatWaves,
    chosen: Tensor,
    r_time_s: Tensor,
    pace_s: Tensor,
    size: Tensor,
    rate_hz: float,
    samples: int,
    pace_range_s: tuple[float, float] | None = None,
) -> Tensor:
    """Add up the beats of a batch of recordings; differentiable in every floating-point argument.

    Args:
        waves: of the beats, one row per recording.
        chosen: (batch, beats) bool: which beats to add.
        r_time_s: (batch, beats) seconds of the R peaks after the first sample; may lie outside the recording.
        pace_s: (batch, beats) RR interval in seconds that centres and widths follow.
        size: (batch, beats) factor on all waves of a beat.
        rate_hz: sampling rate.
        samples: length of the recordings.
        pace_range_s: the paces that there can be. With it, and with the same places and widths in every recording, the
            bits of one do not depend on the paces of the others; None for the paces that there are.

    Returns:
        (batch, axes, samples) mV.
    """
    batch, axes = len(r_time_s), waves.amplitude.shape[-1]
    stretches = _stretches(waves, pace_s if pace_range_s is None else pace_s.new_tensor([pace_range_s]), rate_hz)
    before = -min(start for start, _, _ in stretches)
    after = max(stop for _, stop, _ in stretches)
    peak = torch.floor(r_time_s.detach() * rate_hz).long()
    recording, number = torch.nonzero(chosen & (peak > -after) & (peak < samples + before), as_tuple=True)
    peak, pace = peak[recording, number], pace_s[recording, number]
    late_s = peak / rate_hz - r_time_s[recording, number]
    scale = pace[:, None] ** waves.exponent[recording]
    sharpness = math.sqrt(0.5) / (waves.width_s[recording] * scale)
    start = (late_s[:, None] - waves.centre_s[recording] * scale) * sharpness
    step = sharpness / rate_hz
    amplitude = (waves.amplitude[recording] * size[recording, number, None, None]).mT
    beat, nothing = amplitude.new_zeros(len(peak), axes, before + after), amplitude.new_zeros(())
    for first, stop, columns in stretches:
        samples_after = torch.arange(first, stop, dtype=start.dtype, device=start.device)
        distance = torch.addcmul(start[:, columns, None], step[:, columns, None], samples_after)
        # Far from a wave its value would be a denormal number, which processors handle a hundred times slower.
        value = torch.addcmul(nothing, distance, distance, value=-1.0).clamp_min_(-30.0).exp_()
        beat[..., before + first : before + stop] += amplitude[..., columns] @ value
    # A spare beat on either side takes what reaches over the edges of the recording.
    length = before + after
    width = samples + 2 * length
    row = (recording * axes)[:, None] + torch.arange(axes, device=peak.device)
    place = (row * width + (peak + after)[:, None])[..., None] + torch.arange(length, device=peak.device)
    summed = beat.new_zeros(batch * axes * width).scatter_add(0, place.flatten(), beat.flatten())
    return summed.view(batch, axes, width)[..., length : length + samples]


@torch.no_grad()
def _stretches(waves: BeatWaves, pace_s: Tensor, rate_hz: float) -> list[tuple[int, int, list[int]]]:
    """First sample, sample after the last (relative to that of the R peak) and columns of waves evaluated together."""
    ends = []
    for pace in (pace_s.amin(dim=1, keepdim=True), pace_s.amax(dim=1, keepdim=True)):
        scale = pace**waves.exponent
        for side in (-REACH, REACH):
            ends.append(((waves.centre_s + side * waves.width_s) * scale).T)
    reach = torch.cat(ends, dim=1) * rate_hz
    # An R peak lies up to one sample after the sample that it is counted from.
    first = torch.floor(reach.amin(dim=1)).long().tolist()
    stop = (torch.ceil(reach.amax(dim=1)).long() + 2).tolist()
    found: list[tuple[int, int, list[int]]] = []
    for column in sorted(range(len(first)), key=lambda one: first[one] - stop[one]):  # the longest first
        cheapest, at = stop[column] - first[column] + NEW_STRETCH, len(found)
        for number, (one, two, members) in enumerate(found):
            joined = (max(two, stop[column]) - min(one, first[column])) * (len(members) + 1)
            if joined - (two - one) * len(members) < cheapest:
                cheapest, at = joined - (two - one) * len(members), number
        if at == len(found):
            found.append((first[column], stop[column], [column]))
        else:
            one, two, members = found[at]
            found[at] = (min(one, first[column]), max(two, stop[column]), [*members, column])
    return found
