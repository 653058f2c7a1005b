"""The convolutional classifier: the residual network of evaluation (after xresnet1d) with one output per label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.augmentation.examples import Examples
from benchmarks.augmentation.recipes import Recipe, class_weights, jittered, mixed
from models.evaluation.ecg_encoder import CROP_S, EcgEncoder, encode_crops, random_crops
from warehouse.schema import MICROVOLTS_PER_MILLIVOLT

BATCH: Final = 128


@dataclass(frozen=True)
class Shape:
    """Of the network; see `EcgEncoder`."""

    width: int = 32
    stages: int = 4
    features: int = 128


@dataclass(frozen=True)
class Optimisation:
    """What is tuned on fold 9.

    Attributes:
        learning_rate: peak of one cycle, or the shrinkage of gradient boosting.
        steps: optimiser steps before the recipe's factor, or trees per label.
    """

    learning_rate: float
    steps: int


class LabelNetwork(EcgEncoder):
    """Multi-label classifier over the eight independent leads, in mV."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__(shape.width, shape.stages, shape.features)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(shape.features, outputs))

    def forward(self, signal: Tensor) -> Tensor:
        """Logits, (batch, outputs), of (batch, 8, samples) in mV."""
        return self.head(self.features(signal))


def train_network(
    parts: Sequence[Examples],
    recipe: Recipe,
    optimisation: Optimisation,
    seed: int,
    shape: Shape,
    device: str = "cpu",
    weights: Mapping[str, Tensor] | None = None,
) -> LabelNetwork:
    """Train a classifier; the same seed gives the same weights on one kind of processor.

    Args:
        parts: what to learn from; each gives its share of every batch.
        recipe: what is done to batches and to the loss.
        weights: of an earlier training to begin with.
    """
    outputs, rate_hz = parts[0].labels.shape[1], parts[0].ecgs.rate_hz
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    network = LabelNetwork(shape, outputs)
    if weights is not None:
        network.load_state_dict(weights)
    network.to(device).train()
    steps = round(optimisation.steps * recipe.longer)
    positive_weight = torch.ones(outputs, device=device)
    if recipe.class_weights:
        labels = np.concatenate([part.labels for part in parts])
        positive_weight = torch.from_numpy(class_weights(labels).astype(np.float32)).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=optimisation.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, optimisation.learning_rate, total_steps=steps + 1)
    streams = [part.batches(max(1, round(part.share * BATCH)), steps, draws) for part in parts]
    for chosen in zip(*streams, strict=True):
        signal = torch.cat([_millivolts(part, rows) for part, rows in zip(parts, chosen, strict=True)])
        labels_of_batch = torch.cat(
            [torch.from_numpy(part.labels)[rows] for part, rows in zip(parts, chosen, strict=True)]
        )
        signal = random_crops(signal, round(CROP_S * rate_hz), draws)
        if recipe.jitter:
            signal = jittered(signal, rate_hz, draws)
        if recipe.mixup:
            signal, labels_of_batch = mixed(signal, labels_of_batch, draws)
        with torch.autocast(device, dtype=torch.bfloat16):
            logits = network(signal.to(device))
        loss = known_loss(logits.float(), labels_of_batch.to(device), positive_weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return network.eval()


def known_loss(logits: Tensor, labels: Tensor, positive_weight: Tensor) -> Tensor:
    """Binary cross-entropy averaged over the labels that are known; (batch, outputs), NaN where unknown."""
    known = labels.isfinite()
    each = F.binary_cross_entropy_with_logits(
        logits, torch.where(known, labels, 0.0), pos_weight=positive_weight, reduction="none"
    )
    return (each * known).sum() / known.sum().clamp_min(1)


@torch.inference_mode()
def read_network(network: LabelNetwork, signal: np.ndarray, rate_hz: int, rows: int = 1024) -> np.ndarray:
    """Probabilities (n, outputs), each the mean over half-overlapping crops.

    Args:
        signal: (n, 8, samples) int16 µV.
        rows: ECGs brought into memory at once.
    """
    found = []
    for first in range(0, len(signal), rows):
        millivolts = signal[first : first + rows].astype(np.float32) / np.float32(MICROVOLTS_PER_MILLIVOLT)
        for features in encode_crops(network, millivolts, rate_hz):
            found.append(torch.sigmoid(network.head(features)).mean(dim=1).cpu())
    outputs = network.head[-1].out_features
    return torch.cat(found).numpy() if found else np.empty((0, outputs), np.float32)  # type: ignore[arg-type]


def _millivolts(part: Examples, rows: Tensor) -> Tensor:
    chosen = part.ecgs.signal[rows.numpy()]
    return torch.from_numpy(chosen.astype(np.float32)) / MICROVOLTS_PER_MILLIVOLT
