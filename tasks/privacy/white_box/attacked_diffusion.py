"""Diffusion in the latent under attack: its prior of traits and its U-Net."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from models.conditioning import ConditionTensors
from models.latent_diffusion.generator import Generator
from models.latent_diffusion.trait_prior import WEIGHTS_POWER, TraitPrior
from tasks.conditions.condition import ConditionEmbedder, StatementFacts
from tasks.ecg_sets import EcgSet
from tasks.privacy.white_box.attacked import Draw, Keyed
from tasks.privacy.white_box.denoiser_learner import DenoiserLearner
from tasks.privacy.white_box.prior_learner import PriorLearner
from tasks.privacy.white_box.recorded import Recorded, recorded
from tasks.settings.training import TrainingSettings


@dataclass(frozen=True)
class AttackedDiffusion:
    """A `tasks.privacy.white_box.attacked.Attacked`.

    Attributes:
        generator: with a prior of beats.
        training: how it was trained.
        seen: "members", "reference" and "non-members" as the prior sees them.
    """

    generator: Generator
    training: TrainingSettings
    seen: dict[str, Recorded]

    @classmethod
    def of(
        cls,
        generator: Generator,
        sides: dict[str, EcgSet],
        embedder: ConditionEmbedder,
        statements: StatementFacts,
        findings: Collection[str],
        training: TrainingSettings,
    ) -> AttackedDiffusion:
        """Arguments as of `tasks.privacy.white_box.attacked.attacked`."""
        members = sides["members"]
        seen = {
            side: recorded(ecgs, members, generator, embedder, statements, findings) for side, ecgs in sides.items()
        }
        return cls(generator, training, seen)

    @property
    def keyed(self) -> dict[str, Keyed]:
        """Side to its recordings."""
        size = self._prior.sizes[0]
        return {
            side: Keyed(one.ecgs, (one.traits[:, :size] * weight(self._prior)).numpy(), one.condition)
            for side, one in self.seen.items()
        }

    @property
    def draw(self) -> Draw:
        """Draws usual beats for conditions."""
        return drawing(self._prior)

    @property
    def patients(self) -> np.ndarray:
        """(n,) patient of every recording of members and non-members."""
        return self._pool.ecgs.patients

    def prior(self) -> tuple[PriorLearner, np.ndarray]:
        """What shadow priors learn from, and the model's own losses."""
        fitted = {
            name: one.contiguous()
            for name, one in self._prior.state_dict().items()
            if name.startswith(("events.", "levels."))
        }
        learned = (self.generator.config, self.training, len(self.seen["members"]))
        pool = self._pool
        learner = PriorLearner(*learned, fitted, pool.traits, pool.condition, pool.group_condition)
        return learner, learner.judged(self._prior)

    def denoiser(self, rows: np.ndarray) -> tuple[DenoiserLearner, np.ndarray]:
        """What shadow denoisers learn from, and the model's own losses, on some recordings."""
        learner = DenoiserLearner.of(self._pool.take(rows), self.generator, self.training, len(self.seen["members"]))
        return learner, learner.judged(self.generator.denoiser)

    @cached_property
    def _pool(self) -> Recorded:
        return Recorded.concatenate([self.seen["members"], self.seen["non-members"]])

    @property
    def _prior(self) -> TraitPrior:
        assert self.generator.prior is not None
        return self.generator.prior


def drawing(prior: TraitPrior) -> Draw:
    """Draws of a prior, weighted as in its loss."""

    @torch.inference_mode()
    def draw(condition: ConditionTensors, seeds: Sequence[int]) -> np.ndarray:
        traits = prior.draw(condition, [torch.Generator().manual_seed(seed) for seed in seeds])
        assert traits.amplitude is not None and prior.events is not None
        return (prior.events.coordinates(traits.amplitude) * weight(prior)).numpy()

    return draw


def weight(prior: TraitPrior) -> torch.Tensor:
    """Distances between beats count as squared errors do in the prior's loss."""
    assert prior.events is not None
    return prior.events.importance.pow(WEIGHTS_POWER / 2)
