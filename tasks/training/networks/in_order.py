"""The stages of training by name."""

from __future__ import annotations

from typing import Final

from tasks.training.networks.autoencoder import AutoencoderStage, DetailStage
from tasks.training.networks.denoiser import DenoiserStage
from tasks.training.networks.network_training import TrainingStage
from tasks.training.networks.prior import PriorStage

STAGES: Final[dict[str, type[TrainingStage]]] = {
    "autoencoder": AutoencoderStage,
    "detail": DetailStage,
    "prior": PriorStage,
    "denoiser": DenoiserStage,
}
"""In the order in which they run."""
