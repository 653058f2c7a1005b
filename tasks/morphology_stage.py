"""Training of the prior of beats, from which the beat of a simulated ECG is drawn."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.morphology import MorphologyObjective, MorphologyPrior
from tasks.guide_preparation import components_file, load_beat_shapes
from tasks.training_data import SPLITS, load_conditions
from tasks.training_stage import MORPHOLOGY_FILE, Material, TrainingStage, save_weights


class MorphologyStage(TrainingStage):
    """Stage 3: the prior on recordings' usual beats and their conditions. Leaves its averaged weights."""

    leaves: ClassVar[str] = MORPHOLOGY_FILE

    def __init__(self, material: Material) -> None:
        settings = material.settings
        self.schedule, self.diffusion = settings.morphology, settings.diffusion
        self.staging, self.ema_decay = material.staging, settings.morphology.ema_decay
        self.shapes = {split: load_beat_shapes(material.staging, split) for split in SPLITS}
        self.conditions = {split: load_conditions(material.staging, split) for split in SPLITS}
        self.rows = {split: len(shapes) for split, shapes in self.shapes.items()}
        self.prior = MorphologyPrior(settings.morphology.architecture)
        self.prior.events.load_state_dict(load_file(components_file(material.staging)))
        self.objective = MorphologyObjective(self.prior, self.diffusion.condition_dropout, self.diffusion.unconditional)
        self.learner = self.prior

    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Coordinates of usual beats with their conditions, the recording's own or its group's."""
        shapes, data = self.shapes[split], self.conditions[split]
        condition = data.shown(shapes.rows[rows], self.diffusion.group_share, self.diffusion.experience)
        return {"coordinates": shapes.coordinates[rows].to(device), "condition": condition.to(device)}

    def finish(self, device: torch.device) -> None:
        """Save the prior."""
        save_weights(self.prior, self.staging / MORPHOLOGY_FILE)
