"""What differs from beat to beat in a recording, and recordings with less of it.

The beats of one person are alike: their differences have a twelfth of the power that their mean has. A generated
recording that is brought to the loudness of people's (`models.latent_diffusion.residual_levels`) is brought there
whole, so what recurs and what does not; but a denoiser that is shown a beat again and again lacks of the former only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.ecg.beats import cut_windows, whole_beats

BEFORE_R_S: Final = 0.3
AFTER_R_S: Final = 0.45
FADE_S: Final = 0.06
"""A beat for this purpose: from before the P wave to the end of T, faded at both ends."""
FEWEST: Final = 4
"""Whole beats of which something can be said."""
FLOOR: Final = 1e-12
"""mV² of a recording whose beats are all the same."""


def beat_windows(r_peaks_s: Sequence[np.ndarray], samples: int, rate_hz: float) -> Tensor:
    """(W, 2) row and first sample of the whole beats of recordings that have enough of them, rows ascending.

    Args:
        r_peaks_s: per recording its R peaks in seconds, ascending.
        samples: length of every recording.
        rate_hz: sampling rate.
    """
    before, after = round(BEFORE_R_S * rate_hz), round(AFTER_R_S * rate_hz)
    found = [whole_beats(np.rint(np.asarray(peaks) * rate_hz), samples, before, after) for peaks in r_peaks_s]
    pairs = [(row, peak - before) for row, peaks in enumerate(found) if len(peaks) >= FEWEST for peak in peaks]
    return torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)


def log_variation(signal: Tensor, windows: Tensor, rate_hz: float) -> Tensor:
    """Log power of what differs from beat to beat, (rows with beats,).

    Args:
        signal: (B, leads, samples) mV.
        windows: from `beat_windows`.
        rate_hz: sampling rate.
    """
    row = windows[:, 0].to(signal.device)
    square = _differences(signal, windows, rate_hz).square().mean(dim=(1, 2))
    beats = torch.bincount(row, minlength=len(signal))
    has = beats > 0
    return (square.new_zeros(len(signal)).index_add_(0, row, square)[has] / (beats[has] - 1) + FLOOR).log()


def factor_back(louder: Tensor, left: Tensor, windows: Tensor, rate_hz: float) -> float:
    """The factor of `steadier` by which recordings that were made louder differ from beat to beat, on average, as those
    that the solver left, whose differences are as large as people's; 1 where they differ no more than those.

    Args:
        louder, left: (B, leads, samples) mV.
        windows: from `beat_windows`.
        rate_hz: sampling rate.
    """
    more = log_variation(louder, windows, rate_hz) - log_variation(left, windows, rate_hz)
    return float((-0.5 * more.mean()).exp().clamp(max=1.0))


def steadier(signal: Tensor, windows: Tensor, rate_hz: float, factor: float) -> Tensor:
    """Recordings with what differs from beat to beat scaled; wander, and what lies between beats, stays.

    Args:
        signal: (B, leads, samples) mV.
        windows: from `beat_windows`.
        rate_hz: sampling rate.
        factor: of the differences.

    Returns:
        (B, leads, samples) mV. Each recording is a function of itself alone.
    """
    differences = _differences(signal, windows, rate_hz)
    length, fade = differences.shape[-1], max(1, round(FADE_S * rate_hz))
    ramp = torch.arange(1, length + 1, device=signal.device) / fade
    taper = torch.minimum(ramp, ramp.flip(0)).clamp(max=1.0)
    change, share = torch.zeros_like(signal), signal.new_zeros(len(signal), 1, signal.shape[-1])
    row, places = windows.to(signal.device).split(1, dim=1)
    places = places + torch.arange(length, device=signal.device)
    # Beats that follow each other closely share their ends.
    change.transpose(1, 2).index_put_((row, places), (taper * differences).transpose(1, 2), accumulate=True)
    share.transpose(1, 2).index_put_((row, places), taper[:, None].expand(len(places), -1, -1), accumulate=True)
    return signal - (1 - factor) * change / share.clamp(min=1.0)


def _differences(signal: Tensor, windows: Tensor, rate_hz: float) -> Tensor:
    """Beats less the mean beat of their recording, (W, leads, n), without the straight line that is wander."""
    windows = windows.to(signal.device)
    row, length = windows[:, 0], round(BEFORE_R_S * rate_hz) + round(AFTER_R_S * rate_hz)
    beats = cut_windows(signal, windows, length)
    total = beats.new_zeros(len(signal), *beats.shape[1:]).index_add_(0, row, beats)
    different = beats - (total / torch.bincount(row, minlength=len(signal)).clamp(min=1)[:, None, None])[row]
    different = different - different.mean(dim=2, keepdim=True)
    line = torch.linspace(-1, 1, length, device=signal.device)
    line = line / line.square().sum().sqrt()
    return different - (different * line).sum(dim=2, keepdim=True) * line
