"""The stages of training by name."""

from __future__ import annotations

from typing import Final

from tasks.autoencoder_stages import AutoencoderStage, DetailStage
from tasks.denoiser_stages import DenoiserStage, StudentStage
from tasks.prior_stage import PriorStage
from tasks.training_stage import TrainingStage

STAGES: Final[dict[str, type[TrainingStage]]] = {
    "autoencoder": AutoencoderStage,
    "detail": DetailStage,
    "prior": PriorStage,
    "denoiser": DenoiserStage,
    "student": StudentStage,
}
"""In the order in which they run."""
