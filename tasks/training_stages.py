"""The stages of training by name."""

from __future__ import annotations

from typing import Final

from tasks.autoencoder_stages import AutoencoderStage, DetailStage
from tasks.denoiser_stages import DenoiserStage, StudentStage
from tasks.morphology_stage import MorphologyStage
from tasks.training_stage import TrainingStage

STAGES: Final[dict[str, type[TrainingStage]]] = {
    "autoencoder": AutoencoderStage,
    "detail": DetailStage,
    "morphology": MorphologyStage,
    "denoiser": DenoiserStage,
    "student": StudentStage,
}
"""In the order in which they run."""
