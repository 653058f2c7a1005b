"""What the training loop needs to know of a stage, and what stages leave behind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn

from tasks.settings.training import (
    AutoencoderTraining,
    DetailTraining,
    DiffusionTraining,
    PriorTraining,
    TrainingSettings,
)
from tasks.training.training_data import save_tensors
from warehouse.storage.facts import TrainingDataFacts

AUTOENCODER_FILE: Final = "autoencoder.safetensors"
BEAT_DECODER_FILE: Final = "beat_decoder.safetensors"
DETAIL_FILE: Final = "detail.safetensors"
PRIOR_FILE: Final = "prior.safetensors"
DENOISER_FILE: Final = "denoiser.safetensors"
WAVE_FIT_FILE: Final = "simulator_fit.safetensors"
LATENTS_FILE: Final = "latents.safetensors"


@dataclass(frozen=True)
class Material:
    """What a stage is made from.

    Attributes:
        staging: folder that is being built; receives what the stage leaves.
        recordings: folder of the recordings.
        autoencoder: folder with the autoencoder's weights, the latents and the beats; the staging folder itself while
            that is what is being built.
        settings: of training.
        facts: what the driver found out about the data.
    """

    staging: Path
    recordings: Path
    autoencoder: Path
    settings: TrainingSettings
    facts: TrainingDataFacts


class TrainingStage(ABC):
    """What the training loop needs to know of a stage.

    Attributes:
        schedule: steps, batch size and learning rate among the stage's settings.
        objective: module whose forward pass takes a batch and returns the loss and its parts.
        learner: the part of the objective that learns.
        ema_decay: decay of the averaged weights, None for no average.
        rows: recordings per split.
        leaves: the last file that `finish` writes.
    """

    schedule: AutoencoderTraining | DetailTraining | PriorTraining | DiffusionTraining
    objective: nn.Module
    learner: nn.Module
    ema_decay: float | None
    rows: dict[str, int]
    leaves: ClassVar[str]

    @abstractmethod
    def __init__(self, material: Material) -> None: ...

    @abstractmethod
    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Arguments of the objective for some rows of a split."""

    @abstractmethod
    def finish(self, device: torch.device) -> None:
        """Save what the stage learned; called once, on the first worker, with the final weights in `learner`."""


def save_weights(network: nn.Module, path: Path) -> None:
    """Save a network's weights; the file appears whole or not at all."""
    save_tensors({name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}, path)
