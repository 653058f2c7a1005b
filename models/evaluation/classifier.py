"""The reference classifier: which diagnostic superclasses an ECG shows, and the features that FID compares.

The network is `models.evaluation.ecg_encoder` with one linear layer on top.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import ClassifierArchitecture
from models.evaluation.ecg_encoder import CROP_S, EcgEncoder, encode_crops, random_crops, shuffled_batches
from models.superclasses import SUPERCLASSES


class EcgClassifier(EcgEncoder):
    """Multi-label superclass classifier over the eight independent leads, in mV."""

    def __init__(self, architecture: ClassifierArchitecture) -> None:
        super().__init__(architecture.width, architecture.stages, architecture.features)
        self.architecture = architecture
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(architecture.features, len(SUPERCLASSES)))

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
    for chosen in shuffled_batches(len(signal), training.batch_size, training.steps, draws):
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
    probabilities, features = [], []
    for found in encode_crops(model, signal, rate_hz, batch_size):
        probabilities.append(torch.sigmoid(model.head(found)).mean(dim=1))
        features.append(found.mean(dim=1))
    if not probabilities:
        return np.empty((0, len(SUPERCLASSES)), np.float32), np.empty((0, model.architecture.features), np.float32)
    return torch.cat(probabilities).numpy(), torch.cat(features).numpy()
