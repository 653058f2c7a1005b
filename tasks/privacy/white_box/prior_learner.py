"""Shadow priors: trained as the model's own prior was, each on some of the recordings, and judged on all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.architecture import GeneratorConfig
from models.conditioning import ConditionTensors
from models.latent_diffusion.residual_levels import Levels
from models.latent_diffusion.trait_prior import WEIGHTS_POWER, PriorObjective, TraitPrior
from tasks.settings.training import TrainingSettings
from tasks.training.data.conditions import ConditionSplit
from tasks.training.data.weight_files import save_tensors
from tasks.training.networks.prior import EMA_DECAY
from tasks.training.optimisation import Average, batch_rows, learning_rate, new_optimiser, step_down, step_seed

TIMES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Noise levels at which losses are compared: times of the flow, from recorded traits (0) to white noise (1)."""
DRAWS: Final = 4
"""Noises per level over which a loss is averaged."""
ROWS_AT_ONCE: Final = 1024
CONDITIONS: Final = ("condition.", "group_condition.")


@dataclass(frozen=True)
class PriorLearner:
    """A pool of recordings that priors learn from; a `models.privacy.shadows.Learner`.

    Attributes:
        config: of the generator under attack.
        training: how it was trained.
        learned_from: recordings that it learned from. Shadows see fewer, each as often.
        fitted: the parts of its prior that are fitted in closed form.
        traits: (n, traits).
        condition, group_condition: of n rows.
    """

    config: GeneratorConfig
    training: TrainingSettings
    learned_from: int
    fitted: dict[str, Tensor]
    traits: Tensor
    condition: ConditionTensors
    group_condition: ConditionTensors

    def losses(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """Train a prior on some recordings and judge it on all: (n, levels), see `Learner`."""
        torch.manual_seed(step_seed(seed, 0, 0))
        prior = self.new_prior()
        objective, schedule, diffusion = PriorObjective(prior), self.training.prior, self.training.diffusion
        nothing = torch.zeros(len(self.traits), dtype=torch.int64)
        conditions = ConditionSplit(nothing, nothing, self.condition, self.group_condition)
        average, optimiser = Average(prior, EMA_DECAY), new_optimiser(prior, schedule.learning_rate)
        steps = max(1, round(schedule.steps * len(rows) / self.learned_from))
        for step in range(steps):
            batch = torch.from_numpy(rows[batch_rows(seed, step, len(rows), schedule.batch_size)])
            torch.manual_seed(step_seed(seed, step + 1, 0))
            shown = conditions.shown(batch, diffusion.group_share, diffusion.experience)
            loss = objective(self.traits[batch], shown)["loss"]
            rate = learning_rate(step, steps, schedule.learning_rate)
            step_down(loss, prior, optimiser, average, step, rate, "shadow prior")
        average.swap(prior)
        return self.judged(prior)

    def new_prior(self) -> TraitPrior:
        """A prior of the model's shape that has yet to learn."""
        config = self.config
        assert config.prior is not None
        step_hz = config.sampling_rate_hz / config.autoencoder.downsampling
        levels = Levels(config.autoencoder.latent_channels, step_hz) if config.levels else None
        prior = TraitPrior(config.prior, config.simulated_ecg, levels)
        prior.load_state_dict(self.fitted, strict=False)
        return prior

    @torch.inference_mode()
    def judged(self, prior: TraitPrior) -> np.ndarray:
        """(n, levels) losses of a prior under each recording's own condition, with noise that is always the same."""
        prior.eval()
        weight = prior.spread.pow(WEIGHTS_POWER)
        condition = self.condition if self.training.diffusion.experience else self.condition.without_knowledge()
        found = torch.zeros(len(self.traits), len(TIMES))
        for rows in torch.arange(len(self.traits)).split(ROWS_AT_ONCE):
            traits, of_rows = self.traits[rows], condition[rows]
            for level, time in enumerate(TIMES):
                for draw in range(DRAWS):
                    generator = torch.Generator().manual_seed(step_seed(int(rows[0]), level, draw))
                    noise = torch.randn(traits.shape, generator=generator)
                    noisy = (1 - time) * traits + time * noise
                    error = (prior(noisy, torch.full((len(rows),), time), of_rows) - (noise - traits)).square()
                    found[rows, level] += (error * weight).mean(dim=1) / weight.mean() / DRAWS
        return found.numpy()

    @property
    def about(self) -> dict[str, Any]:
        """What `load` needs beside the file."""
        return {"config": self.config, "training": self.training, "learned_from": self.learned_from}

    def save(self, path: Path) -> None:
        """Leave the tensors for the Ray tasks."""
        tensors = {"traits": self.traits, **{f"fitted.{name}": one for name, one in self.fitted.items()}}
        for prefix, condition in zip(CONDITIONS, (self.condition, self.group_condition), strict=True):
            tensors |= {prefix + name: one for name, one in condition.tensors().items()}
        save_tensors(tensors, path)

    @classmethod
    def load(cls, path: Path, config: GeneratorConfig, training: TrainingSettings, learned_from: int) -> PriorLearner:
        """Read what `save` left."""
        saved = load_file(path)

        def of(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): one for name, one in saved.items() if name.startswith(prefix)}

        conditions = [ConditionTensors(**of(prefix)) for prefix in CONDITIONS]
        return cls(config, training, learned_from, of("fitted."), saved["traits"], *conditions)
