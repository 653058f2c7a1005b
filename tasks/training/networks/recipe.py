"""How a network is trained: what the training loop needs to know of it, and what it leaves behind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tasks.settings.training import (
    AutoencoderTraining,
    DetailTraining,
    DiffusionTraining,
    FlowTraining,
    PriorTraining,
    StudentTraining,
    TrainingSettings,
)
from tasks.training.data.beats import BeatSplit, load_beats
from tasks.training.data.recordings import LEARNING_SPLITS, Waveforms
from warehouse.storage.facts import TrainingDataFacts


@dataclass(frozen=True)
class Material:
    """What a stage is made from.

    Attributes:
        staging: folder that is being built; receives what the stage leaves.
        waveforms: file with the waveforms of all recordings.
        autoencoder: folder with the autoencoder's weights, the latents and the beats; the staging folder itself while
            that is what is being built. A flow has no autoencoder, and the folder only beats.
        settings: of training.
        facts: what the driver found out about the data.
    """

    staging: Path
    waveforms: Path
    autoencoder: Path
    settings: TrainingSettings
    facts: TrainingDataFacts


class Recipe(ABC):
    """What the training loop needs to know of a stage.

    Attributes:
        schedule: steps, batch size and learning rate among the stage's settings.
        objective: module whose forward pass takes a batch and returns the loss and its parts.
        learner: the part of the objective that learns.
        ema_decay: decay of the averaged weights, None for no average.
        rows: recordings per split.
        patients: (n,) patient of each training recording; None where training has no differential privacy.
        leaves: the last file that `finish` writes.
    """

    schedule: AutoencoderTraining | DetailTraining | PriorTraining | DiffusionTraining | FlowTraining | StudentTraining
    objective: nn.Module
    learner: nn.Module
    ema_decay: float | None
    rows: dict[str, int]
    patients: Tensor | None = None
    leaves: ClassVar[str]

    @abstractmethod
    def __init__(self, material: Material) -> None: ...

    @abstractmethod
    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Arguments of the objective for some rows of a split."""

    @abstractmethod
    def finish(self, device: torch.device) -> None:
        """Save what the stage learned; called once, on the first worker, with the final weights in `learner`."""


def beats_and_waveforms(material: Material) -> tuple[dict[str, BeatSplit], dict[str, Waveforms]]:
    """Beats and waveforms of both splits."""
    beats = {split: load_beats(material.autoencoder, split) for split in LEARNING_SPLITS}
    return beats, {split: Waveforms(material.waveforms, found.rows) for split, found in beats.items()}
