"""The reference classifier: which diagnostic superclasses an ECG shows, and the features that FID compares.

A residual 1-D convolutional network after xresnet1d, the strongest family of the PTB-XL benchmark (Strodthoff et al.,
"Deep learning for ECG analysis: benchmarks and insights from PTB-XL", IEEE JBHI 25:1519-1528, 2021), cut down to
train in seconds on a processor. As there, it is trained on random crops and read out as the mean over the recording.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import ClassifierArchitecture
from models.classes import SUPERCLASSES
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


class EcgClassifier(nn.Module):
    """Multi-label superclass classifier over the eight independent leads, in mV."""

    def __init__(self, architecture: ClassifierArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        widths = [architecture.width * min(2**stage, 4) for stage in range(architecture.stages)]
        self.stem = nn.Sequential(
            nn.Conv1d(len(INDEPENDENT_LEADS), architecture.width, 7, padding=3, stride=2, bias=False),
            nn.BatchNorm1d(architecture.width),
            nn.ReLU(),
        )
        self.stages = nn.Sequential(
            *(ResidualBlock(a, b) for a, b in zip([architecture.width, *widths], widths, strict=False))
        )
        self.project = nn.Sequential(nn.Linear(2 * widths[-1], architecture.features), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(architecture.features, len(SUPERCLASSES)))

    def features(self, signal: Tensor) -> Tensor:
        """Penultimate features, (batch, features), of ECGs (batch, 8, samples) in mV."""
        maps = self.stages(self.stem(signal))
        return self.project(torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1).float())

    def forward(self, signal: Tensor) -> Tensor:
        """Logits, (batch, 5), in the order of `SUPERCLASSES`."""
        return self.head(self.features(signal))


@dataclass(frozen=True)
class ClassifierTraining:
    """How a classifier is trained."""

    steps: int
    batch_size: int
    learning_rate: float
    seed: int


def random_crops(signal: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """One random window per ECG, scaled by up to a tenth: (batch, 8, samples) to (batch, 8, length)."""
    batch, leads, samples = signal.shape
    length = min(length, samples)
    starts = torch.randint(0, samples - length + 1, (batch, 1, 1), generator=generator)
    window = (starts + torch.arange(length)).expand(batch, leads, length)
    gain = 1 + 0.1 * (2 * torch.rand((batch, 1, 1), generator=generator) - 1)
    return signal.gather(2, window) * gain


def train_classifier(
    signal: np.ndarray,
    labels: np.ndarray,
    architecture: ClassifierArchitecture,
    training: ClassifierTraining,
    rate_hz: int,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
) -> EcgClassifier:
    """Train on real or synthetic ECGs; the same seed and number of threads give the same weights.

    Args:
        signal: (n, 8, samples) float32, mV.
        labels: (n, 5) of 0 and 1, in the order of `SUPERCLASSES`.
        rate_hz: sampling rate, which sets the length of a crop.
        device: where to train, as PyTorch names it.
        progress: called with the loss of each step.

    Raises:
        ValueError: no ECGs, or signal and labels of different length.
    """
    if len(signal) == 0 or len(signal) != len(labels):
        raise ValueError(f"expected as many labels as ECGs and at least one, got {len(labels)} and {len(signal)}")
    torch.manual_seed(training.seed)
    draws = torch.Generator().manual_seed(training.seed)
    model = EcgClassifier(architecture).to(device).train()
    ecgs, targets = torch.from_numpy(signal), torch.from_numpy(labels.astype(np.float32))
    optimiser = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, training.learning_rate, total_steps=training.steps + 1)
    batch = min(training.batch_size, len(signal))
    queue = torch.empty(0, dtype=torch.long)
    for _ in range(training.steps):
        if len(queue) < batch:
            queue = torch.cat([queue, torch.randperm(len(signal), generator=draws)])
        chosen, queue = queue[:batch], queue[batch:]
        crops = random_crops(ecgs[chosen], round(CROP_S * rate_hz), draws).to(device)
        with torch.autocast(device, dtype=torch.bfloat16):
            logits = model(crops)
        loss = F.binary_cross_entropy_with_logits(logits.float(), targets[chosen].to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if progress:
            progress(float(loss.detach()))
    return model.eval().cpu()


@torch.inference_mode()
def classify(
    model: EcgClassifier, signal: np.ndarray, rate_hz: int, batch_size: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """Read a classifier out, averaging over half-overlapping crops.

    Args:
        signal: (n, 8, samples), mV.

    Returns:
        Probabilities (n, 5) in the order of `SUPERCLASSES`, and penultimate features (n, features).
    """
    samples = signal.shape[2]
    length = min(round(CROP_S * rate_hz), samples)
    starts = sorted({*range(0, samples - length + 1, max(length // 2, 1)), samples - length})
    probabilities, features = [], []
    for first in range(0, len(signal), batch_size):
        ecgs = torch.from_numpy(np.ascontiguousarray(signal[first : first + batch_size]))
        crops = torch.stack([ecgs[:, :, start : start + length] for start in starts], dim=1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model.features(crops.flatten(0, 1))
        found = found.float()
        logits = model.head(found)
        probabilities.append(torch.sigmoid(logits).unflatten(0, (-1, len(starts))).mean(dim=1))
        features.append(found.unflatten(0, (-1, len(starts))).mean(dim=1))
    if not probabilities:
        return np.empty((0, len(SUPERCLASSES)), np.float32), np.empty((0, model.architecture.features), np.float32)
    return torch.cat(probabilities).numpy(), torch.cat(features).numpy()
