"""The reference classifier: which diagnostic superclasses an ECG shows, and the features that FID compares.

The network is `models.evaluation.ecg_encoder` with one linear layer on top.
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
from models.evaluation.ecg_encoder import CROP_S, EcgEncoder, encode_crops, random_crops, shuffled_batches
from models.superclasses import SUPERCLASSES

CHECKS: Final = 8
"""Looks at the validation set while a classifier trains."""
CHECKED_ON: Final = 500
"""Validation recordings that each look is at."""


class EcgClassifier(EcgEncoder):
    """Multi-label classifier over the eight independent leads, in mV: of superclasses, or of any number of classes."""

    def __init__(self, architecture: ClassifierArchitecture, classes: int = len(SUPERCLASSES)) -> None:
        super().__init__(architecture.width, architecture.stages, architecture.features)
        self.architecture, self.classes = architecture, classes
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(architecture.features, classes))

    def forward(self, signal: Tensor) -> Tensor:
        """Logits, (batch, classes); superclasses in the order of `SUPERCLASSES`."""
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
    validation: tuple[np.ndarray, np.ndarray] | None = None,
) -> EcgClassifier:
    """Train on real or synthetic ECGs; the same seed and number of threads give the same weights.

    With a validation set, the weights of the lowest validation loss among `CHECKS` looks are kept: a network that goes
    on to learn its training recordings by heart knows them better than others, and what it reads in both differs.

    Args:
        signal: (n, 8, samples) float32, mV.
        labels: (n, classes) of 0 and 1, superclasses in the order of `SUPERCLASSES`.
        rate_hz: sampling rate, which sets the length of a crop.
        device: where to train, as PyTorch names it.
        progress: called with the loss of each step.
        validation: signal and labels as above, from other patients; None to keep the last weights.

    Raises:
        ValueError: no ECGs, or signal and labels of different length.
    """
    if len(signal) == 0 or len(signal) != len(labels):
        raise ValueError(f"expected as many labels as ECGs and at least one, got {len(labels)} and {len(signal)}")
    torch.manual_seed(training.seed)
    draws = torch.Generator().manual_seed(training.seed)
    model = EcgClassifier(architecture, labels.shape[1]).to(device).train()
    ecgs, targets = torch.from_numpy(signal), torch.from_numpy(labels.astype(np.float32))
    optimiser = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, training.learning_rate, total_steps=training.steps + 1)
    checked = {round(training.steps * (1 + look) / CHECKS) for look in range(CHECKS)} if validation else set()
    lowest, kept = float("inf"), None
    batches = shuffled_batches(len(signal), training.batch_size, training.steps, draws)
    for step, chosen in enumerate(batches, start=1):
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
        if validation and step in checked:
            found = _loss(model.eval(), *validation, rate_hz)
            model.train()
            if found < lowest:
                lowest, kept = found, {name: value.clone() for name, value in model.state_dict().items()}
    if kept is not None:
        model.load_state_dict(kept)
    return model.eval().cpu()


@torch.inference_mode()
def _loss(model: EcgClassifier, signal: np.ndarray, labels: np.ndarray, rate_hz: int) -> float:
    """Mean binary cross-entropy of what the classifier says of whole recordings."""
    said, _ = classify(model, signal[:CHECKED_ON], rate_hz)
    return float(F.binary_cross_entropy(torch.from_numpy(said), torch.from_numpy(labels[:CHECKED_ON]).float()))


@torch.inference_mode()
def classify(
    model: EcgClassifier, signal: np.ndarray, rate_hz: int, batch_size: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """Read a classifier out, averaging over half-overlapping crops.

    Args:
        signal: (n, 8, samples), mV.

    Returns:
        Probabilities (n, classes), superclasses in the order of `SUPERCLASSES`, and penultimate features (n, features).
    """
    probabilities, features = [], []
    for found in encode_crops(model, signal, rate_hz, batch_size):
        probabilities.append(torch.sigmoid(model.head(found)).mean(dim=1).cpu())
        features.append(found.mean(dim=1).cpu())
    if not probabilities:
        return np.empty((0, model.classes), np.float32), np.empty((0, model.architecture.features), np.float32)
    return torch.cat(probabilities).numpy(), torch.cat(features).numpy()
