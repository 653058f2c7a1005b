"""Where the recordings of a split beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.ecg.beats import beat_samples, whole_beats
from models.ecg.r_peaks import in_samples
from tasks.training.data.weight_files import save_tensors


@dataclass(frozen=True)
class BeatSplit:
    """The usable recordings of a split and where they beat.

    Attributes:
        rows: (N,) row numbers in the recordings table, ascending.
        r_peaks: (N, P) samples of the R peaks whose beat lies inside the recording, padded with −1; at least one each.
        r_times: (N, Q) seconds of all R peaks from the first sample, between samples where need be, padded with NaN.
    """

    rows: Tensor
    r_peaks: Tensor
    r_times: Tensor

    def __len__(self) -> int:
        return len(self.rows)


def padded_r_peaks(r_peaks_s: Sequence[np.ndarray], samples: int, rate_hz: int) -> Tensor:
    """(N, P) sample of each R peak whose whole beat lies inside the recording, padded with −1.

    Args:
        r_peaks_s: R peaks of each recording in seconds.
        samples: length of the recordings.
    """
    before, after = beat_samples(rate_hz)
    peaks = [whole_beats(np.rint(found), samples, before, after) for found in in_samples(r_peaks_s, rate_hz)]
    padded = torch.full((len(peaks), max(1, max(map(len, peaks)))), -1, dtype=torch.int64)
    for row, found in enumerate(peaks):
        padded[row, : len(found)] = torch.from_numpy(found)
    return padded


def beats_file(folder: Path, split: str) -> Path:
    """Where a `BeatSplit` is kept."""
    return folder / f"beats_{split}.safetensors"


def save_beats(folder: Path, split: str, beats: BeatSplit) -> None:
    """Save where the recordings of a split beat."""
    save_tensors({"rows": beats.rows, "r_peaks": beats.r_peaks, "r_times": beats.r_times}, beats_file(folder, split))


def load_beats(folder: Path, split: str) -> BeatSplit:
    """Read where the recordings of a split beat."""
    return BeatSplit(**load_file(beats_file(folder, split)))


def beat_places(r_peaks: Tensor, before: int) -> Tensor:
    """(N, 2) row and first sample of every beat of a batch, from its padded (B, P) R peaks."""
    row, column = torch.nonzero(r_peaks >= 0, as_tuple=True)
    return torch.stack([row, r_peaks[row, column] - before], dim=1)
