"""Training of the prior, from which the beat and the levels of a generated recording are drawn."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.latent_diffusion.trait_prior import PriorObjective
from tasks.training.data.conditions import load_conditions
from tasks.training.data.recordings import LEARNING_SPLITS
from tasks.training.data.traits import components_file, load_traits, new_prior
from tasks.training.data.weight_files import PRIOR_FILE, save_weights
from tasks.training.networks.recipe import Material, Recipe

EMA_DECAY: Final = 0.98


class PriorRecipe(Recipe):
    """Stage 3: the prior on recordings' traits and their conditions. Leaves its averaged weights."""

    leaves: ClassVar[str] = PRIOR_FILE

    def __init__(self, material: Material) -> None:
        settings = material.settings
        self.schedule, self.shown = settings.prior, settings.of_generator
        self.staging, self.ema_decay = material.staging, EMA_DECAY
        self.traits = {split: load_traits(material.staging, split) for split in LEARNING_SPLITS}
        self.conditions = {split: load_conditions(material.staging, split) for split in LEARNING_SPLITS}
        self.rows = {split: len(traits) for split, traits in self.traits.items()}
        self.prior = new_prior(settings, material.facts.sampling_rate_hz)
        # What has yet to be learned is in none of the fitted parts.
        self.prior.load_state_dict(load_file(components_file(material.staging)), strict=False)
        self.objective = PriorObjective(self.prior)
        self.learner = self.prior

    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Traits of recordings with their conditions, the recording's own or its group's."""
        found, data = self.traits[split], self.conditions[split]
        condition = data.shown(found.rows[rows], self.shown.group_share, self.shown.experience)
        return {"traits": found.traits[rows].to(device), "condition": condition.to(device)}

    def finish(self, device: torch.device) -> None:
        """Save the prior."""
        save_weights(self.prior, self.staging / PRIOR_FILE)
