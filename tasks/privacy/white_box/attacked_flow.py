"""A flow under attack: its prior of beats and its transformer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from models.beats.prior import IMPORTANCE_POWER, BeatPrior
from models.beats.training import Examples
from models.conditioning import ConditionTensors
from models.ecg.r_peaks import in_samples
from models.flow.generator import FlowGenerator
from tasks.conditions.cohort_design import group_conditions
from tasks.conditions.condition import ConditionEmbedder, StatementFacts, conditions_of
from tasks.ecg_sets import EcgSet
from tasks.privacy.white_box.attacked import Draw, Keyed
from tasks.privacy.white_box.beat_prior_learner import BeatPriorLearner
from tasks.privacy.white_box.flow_learner import FlowLearner
from tasks.settings.training import TrainingSettings
from tasks.training.data.recorded import Recorded
from tasks.training.preparation.conditions import GROUP_PATIENTS
from tasks.training.preparation.flow_inputs import AT_ONCE, recorded_in, stated_rhythms


@dataclass(frozen=True)
class AttackedFlow:
    """A `tasks.privacy.white_box.attacked.Attacked`.

    Attributes:
        generator: the flow.
        training: how it was trained.
        sides: "members", "reference" and "non-members".
        recorded: what each side's recordings show.
        condition, group_condition: of each side's recordings, their own and their groups'.
    """

    generator: FlowGenerator
    training: TrainingSettings
    sides: dict[str, EcgSet]
    recorded: dict[str, Recorded]
    condition: dict[str, ConditionTensors]
    group_condition: dict[str, ConditionTensors]

    @classmethod
    def of(
        cls,
        generator: FlowGenerator,
        sides: dict[str, EcgSet],
        embedder: ConditionEmbedder,
        statements: StatementFacts,
        findings: Collection[str],
        training: TrainingSettings,
    ) -> AttackedFlow:
        """Arguments as of `tasks.privacy.white_box.attacked.attacked`."""
        rate_hz, members = generator.config.sampling_rate_hz, sides["members"].table
        own = {side: embedder(conditions_of(ecgs.table, statements, findings))[0] for side, ecgs in sides.items()}
        groups = {
            side: embedder(group_conditions(ecgs.table, members, GROUP_PATIENTS, statements, findings))[0]
            for side, ecgs in sides.items()
        }
        shown = {side: recorded(ecgs, rate_hz) for side, ecgs in sides.items()}
        return cls(generator, training, sides, shown, own, groups)

    @property
    def keyed(self) -> dict[str, Keyed]:
        """Side to its recordings."""
        usual = self.generator.prior.usual
        return {
            side: Keyed(
                ecgs,
                (usual.coordinates(self.recorded[side].beats.usual) * weight(self.generator.prior)).numpy(),
                self.condition[side],
            )
            for side, ecgs in self.sides.items()
        }

    @property
    def draw(self) -> Draw:
        """Draws usual beats for conditions, none rejected: who holds the model can leave that out."""
        return drawing(self.generator.prior)

    @property
    def patients(self) -> np.ndarray:
        """(n,) patient of every recording of members and non-members."""
        return np.concatenate([self.sides[side].patients for side in ("members", "non-members")])

    def prior(self) -> tuple[BeatPriorLearner, np.ndarray]:
        """What shadow priors learn from, and the model's own losses."""
        reference = self.recorded["reference"]
        held_out = Examples(reference.beats, self.condition["reference"], reference.patients)
        pool, condition, group_condition = self._pool
        learner = BeatPriorLearner(
            self.generator.config.prior,
            self.training,
            len(self.recorded["members"]),
            components(self.generator.prior),
            Examples(pool.beats, condition, pool.patients),
            group_condition,
            held_out,
        )
        return learner, learner.judged(self.generator.prior)

    def denoiser(self, rows: np.ndarray) -> tuple[FlowLearner, np.ndarray]:
        """What shadow transformers learn from, and the model's own losses, on some recordings."""
        pool, condition, group_condition = self._pool
        chosen, members = torch.from_numpy(rows), len(self.recorded["members"])
        learner = FlowLearner.of(
            self._signal(rows),
            pool[chosen],
            condition[chosen],
            group_condition[chosen],
            self.generator,
            self.training,
            members,
        )
        return learner, learner.judged(self.generator.denoiser)

    @cached_property
    def _pool(self) -> tuple[Recorded, ConditionTensors, ConditionTensors]:
        """Members and non-members below each other."""
        both = ("members", "non-members")
        return (
            Recorded.stack([self.recorded[side] for side in both]),
            ConditionTensors.stack([self.condition[side] for side in both]),
            ConditionTensors.stack([self.group_condition[side] for side in both]),
        )

    def _signal(self, rows: np.ndarray) -> torch.Tensor:
        """(n, 8, samples) mV of some recordings of the pool, whose signals are never copied as a whole."""
        members = len(self.sides["members"])
        parts = (self.sides["members"].signal, self.sides["non-members"].signal)
        return torch.from_numpy(np.stack([parts[0][row] if row < members else parts[1][row - members] for row in rows]))


def recorded(ecgs: EcgSet, rate_hz: int) -> Recorded:
    """What recordings with a usual beat show; patients are numbered within them."""
    paced, flutter = stated_rhythms(ecgs.table)
    numbers, r_peaks = np.unique(ecgs.patients, return_inverse=True)[1], in_samples(ecgs.r_peaks_s, rate_hz)
    parts = []
    for at in range(0, len(ecgs), AT_ONCE):
        rows = slice(at, at + AT_ONCE)
        patients = torch.from_numpy(numbers[rows].astype(np.int64))
        parts.append(recorded_in(ecgs.signal[rows], r_peaks[rows], rate_hz, paced[rows], flutter[rows], patients))
    return Recorded.stack(parts)


def components(prior: BeatPrior) -> dict[str, torch.Tensor]:
    """What of a prior is fitted in closed form, by name."""
    return {
        name: one.contiguous() for name, one in prior.state_dict().items() if name.startswith(("usual.", "ectopic."))
    }


def drawing(prior: BeatPrior) -> Draw:
    """Draws of a prior, weighted as in its loss."""

    def draw(condition: ConditionTensors, seeds: Sequence[int]) -> np.ndarray:
        found = prior.draw(condition, torch.tensor([int(seed) for seed in seeds], dtype=torch.int64))
        return (prior.usual.coordinates(found.usual) * weight(prior)).numpy()

    return draw


def weight(prior: BeatPrior) -> torch.Tensor:
    """Distances between beats count as squared errors do in the prior's loss."""
    return prior.usual.importance.pow(IMPORTANCE_POWER / 2)
