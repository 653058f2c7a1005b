"""Shadow priors of beats: trained as a flow's own prior was, each on some of the recordings, and judged on all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models import counter_random
from models.architecture import BeatPriorArchitecture
from models.beats.beats import Beats
from models.beats.prior import BeatPrior
from models.beats.training import Examples, Prevention, train_prior
from models.conditioning import ConditionTensors
from tasks.settings.training import TrainingSettings
from tasks.training.beat_prior import how_to_train
from tasks.training.data.conditions import ConditionSplit
from tasks.training.data.weight_files import save_tensors
from tasks.training.optimisation import step_seed

TIMES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Noise levels at which losses are compared: times of the flow, from recorded beats (0) to white noise (1)."""
DRAWS: Final = 4
"""Noises per level over which a loss is averaged."""
ROWS_AT_ONCE: Final = 1024
BATCHES: Final = ("pool", "held_out")


@dataclass(frozen=True)
class BeatPriorLearner:
    """A pool of recordings that priors learn from; a `models.privacy.shadows.Learner`.

    Attributes:
        architecture: of the prior under attack.
        training: how its model was trained.
        learned_from: recordings that it learned from. Shadows see fewer, each as often.
        components: of the prior under attack, fitted in closed form; shadows have the same.
        pool: of n recordings.
        group_condition: of n rows.
        held_out: validation recordings, which say when a prior has learned enough.
    """

    architecture: BeatPriorArchitecture
    training: TrainingSettings
    learned_from: int
    components: dict[str, Tensor]
    pool: Examples
    group_condition: ConditionTensors
    held_out: Examples

    def losses(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """Train a prior on some recordings and judge it on all: (n, levels), see `Learner`."""
        torch.manual_seed(step_seed(seed, 0, 0))
        flow, chosen = self.training.flow, torch.tensor(rows)
        nothing = torch.zeros(len(self.pool), dtype=torch.int64)
        conditions = ConditionSplit(nothing, nothing, self.pool.condition, self.group_condition)
        shown = conditions.shown(chosen, flow.group_share, flow.experience)
        found = train_prior(
            Examples(self.pool.beats[chosen], shown, self.pool.patients[chosen]),
            self.held_out,
            self.architecture,
            how_to_train(flow.beats, seed, len(rows) / self.learned_from),
            Prevention(rejection=False),
            components=self.new_prior(),
        )
        return self.judged(found.prior)

    def new_prior(self) -> BeatPrior:
        """A prior of the model's shape that has yet to learn."""
        prior = BeatPrior(self.architecture)
        prior.load_state_dict(self.components, strict=False)
        return prior

    @torch.inference_mode()
    def judged(self, prior: BeatPrior) -> np.ndarray:
        """(n, levels) losses of a prior under each recording's own condition, with noise that is always the same."""
        prior.eval()
        beats, condition = self.pool.beats, self.pool.condition
        if not self.training.flow.experience:
            condition = condition.without_knowledge()
        coordinates, found = prior.coordinates(beats), torch.zeros(len(beats), len(TIMES))
        for rows in torch.arange(len(beats)).split(ROWS_AT_ONCE):
            of_rows = coordinates[rows], beats.has_ectopic[rows], condition[rows]
            for level, time in enumerate(TIMES):
                for draw in range(DRAWS):
                    noise = counter_random.normal(rows, f"audit {level} {draw}", (coordinates.shape[1],))
                    found[rows, level] += prior(*of_rows, torch.full((len(rows),), time), noise) / DRAWS
        return found.numpy()

    @property
    def about(self) -> dict[str, Any]:
        """What `load` needs beside the file."""
        return {"architecture": self.architecture, "training": self.training, "learned_from": self.learned_from}

    def save(self, path: Path) -> None:
        """Leave the tensors for the Ray tasks."""
        tensors = {f"components.{name}": one for name, one in self.components.items()}
        tensors |= {f"group.{name}": one for name, one in self.group_condition.tensors().items()}
        for name, examples in zip(BATCHES, (self.pool, self.held_out), strict=True):
            tensors |= {f"{name}.beats.{part}": one for part, one in vars(examples.beats).items()}
            tensors |= {f"{name}.condition.{part}": one for part, one in examples.condition.tensors().items()}
            tensors[f"{name}.patients"] = examples.patients
        save_tensors(tensors, path)

    @classmethod
    def load(
        cls, path: Path, architecture: BeatPriorArchitecture, training: TrainingSettings, learned_from: int
    ) -> BeatPriorLearner:
        """Read what `save` left."""
        saved = load_file(path)

        def of(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): one for name, one in saved.items() if name.startswith(prefix)}

        pool, held_out = (
            Examples(
                Beats(**of(f"{name}.beats.")), ConditionTensors(**of(f"{name}.condition.")), saved[f"{name}.patients"]
            )
            for name in BATCHES
        )
        group_condition = ConditionTensors(**of("group."))
        return cls(architecture, training, learned_from, of("components."), pool, group_condition, held_out)
