"""Shadow denoisers: trained like the model's own, but on few recordings, whole ones, and without physics terms."""

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
from models.ecg.cardiac_phase import phase_channels
from models.latent_diffusion.denoiser import Denoiser
from models.latent_diffusion.diffusion import DiffusionObjective, noise_schedule, noised
from models.latent_diffusion.generator import Generator
from models.latent_diffusion.simulator_conditioning import guide_channel_count
from tasks.privacy.white_box.prior_learner import CONDITIONS
from tasks.privacy.white_box.recorded import Recorded, latents_of
from tasks.settings.training import TrainingSettings
from tasks.training.data.conditions import ConditionSplit
from tasks.training.data.weight_files import save_tensors
from tasks.training.optimisation import (
    Average,
    batch_rows,
    learning_rate,
    new_optimiser,
    step_down,
    step_seed,
)

TIMESTEPS: Final = (50, 200, 400, 600, 800)
"""Noise levels at which losses are compared: time steps of the diffusion, of 1,000."""
DRAWS: Final = 2
ROWS_AT_ONCE: Final = 64


@dataclass(frozen=True)
class DenoiserLearner:
    """A pool of recordings that denoisers learn from; a `models.privacy.shadows.Learner`.

    Attributes:
        config: of the generator under attack.
        training: how it was trained.
        learned_from: recordings that it learned from. Shadows see fewer, each as often.
        inputs: of n recordings, `latents` (n, C, T), standardised, and where the denoiser sees them `guide` (n, K, T)
            and `levels` (n, levels).
        condition, group_condition: of n rows.
    """

    config: GeneratorConfig
    training: TrainingSettings
    learned_from: int
    inputs: dict[str, Tensor]
    condition: ConditionTensors
    group_condition: ConditionTensors

    @classmethod
    def of(cls, pool: Recorded, generator: Generator, training: TrainingSettings, learned_from: int) -> DenoiserLearner:
        """A pool as the denoiser of a generator sees it."""
        config = generator.config
        latents, shown, r_times = latents_of(pool.ecgs, generator)
        mean, std = generator.latent_mean, generator.latent_std
        guides = []
        if config.phase_channels:
            step = config.autoencoder.downsampling
            guides.append(phase_channels(r_times, latents.shape[-1], step, config.sampling_rate_hz))
        if shown is not None:
            guides.append((shown - mean) / std)
        inputs = {"latents": (latents - mean) / std}
        if guides:
            inputs["guide"] = torch.cat(guides, dim=1)
        if generator.prior is not None and generator.prior.levels is not None:
            inputs["levels"] = pool.traits[:, -generator.prior.levels.size :]
        return cls(config, training, learned_from, inputs, pool.condition, pool.group_condition)

    def losses(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """Train a denoiser on some recordings and judge it on all: (n, levels), see `Learner`."""
        torch.manual_seed(step_seed(seed, 0, 0))
        denoiser = self.new_denoiser().train()
        objective, schedule = DiffusionObjective(denoiser, None), self.training.diffusion
        nothing = torch.zeros(len(self.condition), dtype=torch.int64)
        conditions = ConditionSplit(nothing, nothing, self.condition, self.group_condition)
        average, optimiser = Average(denoiser, schedule.ema_decay), new_optimiser(denoiser, schedule.learning_rate)
        steps = max(1, round(schedule.steps * len(rows) / self.learned_from))
        for step in range(steps):
            batch = torch.from_numpy(rows[batch_rows(seed, step, len(rows), schedule.batch_size)])
            torch.manual_seed(step_seed(seed, step + 1, 0))
            shown = conditions.shown(batch, schedule.group_share, schedule.experience)
            given = {name: one[batch] for name, one in self.inputs.items()}
            loss = objective(condition=shown, wave_class=nothing[batch], omega=nothing[batch], **given)["loss"]
            rate = learning_rate(step, steps, schedule.learning_rate)
            step_down(loss, denoiser, optimiser, average, step, rate, "shadow denoiser")
        average.swap(denoiser)
        return self.judged(denoiser)

    def new_denoiser(self) -> Denoiser:
        """A denoiser of the model's shape that has yet to learn."""
        config = self.config
        shape = config.autoencoder
        channels = guide_channel_count(
            config.phase_channels, config.simulated_ecg, shape.downsampling, shape.latent_channels
        )
        levels = self.inputs["levels"].shape[1] if "levels" in self.inputs else 0
        return Denoiser(config.denoiser, shape.latent_channels, channels, levels)

    @torch.inference_mode()
    def judged(self, denoiser: Denoiser) -> np.ndarray:
        """(n, levels) losses of a denoiser under each recording's own condition, with noise that is always the same."""
        denoiser.eval()
        schedule = noise_schedule()
        condition = self.condition if self.training.diffusion.experience else self.condition.without_knowledge()
        found = torch.zeros(len(condition), len(TIMESTEPS))
        for rows in torch.arange(len(condition)).split(ROWS_AT_ONCE):
            given = {name: one[rows] for name, one in self.inputs.items()}
            latents = given.pop("latents")
            for level, timestep in enumerate(TIMESTEPS):
                steps = torch.full((len(rows),), timestep)
                for draw in range(DRAWS):
                    generator = torch.Generator().manual_seed(step_seed(int(rows[0]), level, draw))
                    noise = torch.randn(latents.shape, generator=generator)
                    noisy, wanted = noised(schedule, latents, noise, steps)
                    predicted = denoiser(noisy, steps, condition[rows], given.get("guide"), given.get("levels"))
                    found[rows, level] += (predicted - wanted).square().mean(dim=(1, 2)) / DRAWS
        return found.numpy()

    @property
    def about(self) -> dict[str, Any]:
        """What `load` needs beside the file."""
        return {"config": self.config, "training": self.training, "learned_from": self.learned_from}

    def save(self, path: Path) -> None:
        """Leave the tensors for the Ray tasks."""
        tensors = {f"inputs.{name}": one for name, one in self.inputs.items()}
        for prefix, condition in zip(CONDITIONS, (self.condition, self.group_condition), strict=True):
            tensors |= {prefix + name: one for name, one in condition.tensors().items()}
        save_tensors(tensors, path)

    @classmethod
    def load(
        cls, path: Path, config: GeneratorConfig, training: TrainingSettings, learned_from: int
    ) -> DenoiserLearner:
        """Read what `save` left."""
        saved = load_file(path)

        def of(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): one for name, one in saved.items() if name.startswith(prefix)}

        return cls(config, training, learned_from, of("inputs."), *(ConditionTensors(**of(one)) for one in CONDITIONS))
