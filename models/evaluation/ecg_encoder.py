"""The residual 1-D convolutional network that reads an ECG: trunk of the reference classifier and of the alignment.

After xresnet1d, the strongest family of the PTB-XL benchmark (Strodthoff et al., "Deep learning for ECG analysis:
benchmarks and insights from PTB-XL", IEEE JBHI 25:1519-1528, 2021), cut down to train in seconds on a processor. As
there, it is trained on random crops and read out as the mean over the recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.leads import INDEPENDENT_LEADS

CROP_S: Final = 2.5
"""Length of a training crop in seconds, as in the PTB-XL benchmark."""


class ResidualBlock(nn.Module):
    """Two convolutions and a short cut; halves the length."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        last_norm = nn.BatchNorm1d(channels_out)
        nn.init.zeros_(last_norm.weight)  # a block begins as its short cut alone
        self.body = nn.Sequential(
            nn.Conv1d(channels_in, channels_out, 5, padding=2, stride=2, bias=False),
            nn.BatchNorm1d(channels_out),
            nn.ReLU(),
            nn.Conv1d(channels_out, channels_out, 5, padding=2, bias=False),
            last_norm,
        )
        # xresnet: average before the 1 × 1 convolution, so that the short cut drops no sample.
        self.shortcut = nn.Sequential(
            nn.AvgPool1d(2, ceil_mode=True),
            nn.Conv1d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm1d(channels_out),
        )

    def forward(self, signal: Tensor) -> Tensor:
        """(batch, channels, samples) to (batch, channels_out, samples / 2)."""
        return F.relu(self.body(signal) + self.shortcut(signal))


class EcgEncoder(nn.Module):
    """Features of an ECG over the eight independent leads, in mV.

    Args:
        width: channels of the first stage.
        stages: residual stages; each halves the length.
        features: numbers that it gives.
    """

    def __init__(self, width: int, stages: int, features: int) -> None:
        super().__init__()
        widths = [width * min(2**stage, 4) for stage in range(stages)]
        self.stem = nn.Sequential(
            nn.Conv1d(len(INDEPENDENT_LEADS), width, 7, padding=3, stride=2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        )
        self.stages = nn.Sequential(*(ResidualBlock(a, b) for a, b in zip([width, *widths], widths, strict=False)))
        self.project = nn.Sequential(nn.Linear(2 * widths[-1], features), nn.ReLU())

    def features(self, signal: Tensor) -> Tensor:
        """Features, (batch, features), of ECGs (batch, 8, samples) in mV."""
        maps = self.stages(self.stem(signal))
        return self.project(torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1).float())


def random_crops(signal: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """One random window per ECG, scaled by up to a tenth: (batch, 8, samples) to (batch, 8, length)."""
    batch, leads, samples = signal.shape
    length = min(length, samples)
    starts = torch.randint(0, samples - length + 1, (batch, 1, 1), generator=generator)
    window = (starts + torch.arange(length)).expand(batch, leads, length)
    gain = 1 + 0.1 * (2 * torch.rand((batch, 1, 1), generator=generator) - 1)
    return signal.gather(2, window) * gain


def shuffled_batches(rows: int, batch: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Row numbers of each step's batch; all rows come up before any comes up again.

    Yields:
        (batch,) int64, or (rows,) where there are fewer rows than `batch`.
    """
    batch = min(batch, rows)
    queue = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(queue) < batch:
            queue = torch.cat([queue, torch.randperm(rows, generator=generator)])
        chosen, queue = queue[:batch], queue[batch:]
        yield chosen


@torch.inference_mode()
def encode_crops(model: EcgEncoder, signal: np.ndarray, rate_hz: int, batch_size: int = 128) -> Iterator[Tensor]:
    """Features of half-overlapping crops that cover each recording.

    Args:
        model: in evaluation mode.
        signal: (n, 8, samples), mV.

    Yields:
        (at most batch_size, crops, features) float32 where the model is, in row order.
    """
    device = next(model.parameters()).device
    samples = signal.shape[2]
    length = min(round(CROP_S * rate_hz), samples)
    starts = sorted({*range(0, samples - length + 1, max(length // 2, 1)), samples - length})
    for first in range(0, len(signal), batch_size):
        ecgs = torch.from_numpy(np.ascontiguousarray(signal[first : first + batch_size]))
        crops = torch.stack([ecgs[:, :, start : start + length] for start in starts], dim=1)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            found = model.features(crops.flatten(0, 1).to(device))
        yield found.float().unflatten(0, (-1, len(starts)))
