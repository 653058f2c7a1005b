"""The priors that are compared: each prevents more than the one before."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file, save

from benchmarks.prevention.inputs import People
from models.architecture import BeatPriorArchitecture
from models.beats.identifying_space import Space, coordinate_space
from models.beats.prior import BeatPrior
from models.beats.rejection import Rejection
from models.beats.training import BeatPriorTraining, Prevention, train_prior
from models.patient_privacy import PatientPrivacy
from warehouse.storage.whole_files import whole_file, write_text

LOG: Final = logging.getLogger("einthoven")
DELTA: Final = 1e-5
"""Below one over the number of patients."""
LARGEST_GRADIENT: Final = 1.0
NOISE_SEED: Final = 20
"""Of private training; a benchmark publishes no weights, so that it need not be secret here."""
PRIVATE_SHAPE: Final = {"width": 64, "blocks": 2, "token_width": 32}
"""Of private priors: noise grows with the number of weights."""


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        training: recordings to learn from, about; None for all.
        how: training of the priors.
        private_how: training of the private ones.
        patients_per_step: expected in a step of private training.
        asked: patients of each of the two groups whose condition is asked for, at most.
        draws: of each of them.
    """

    training: int | None
    how: BeatPriorTraining
    private_how: BeatPriorTraining
    patients_per_step: int
    asked: int
    draws: int


FULL: Final = Plan(
    training=None,
    how=BeatPriorTraining(steps=3600, batch=256, learning_rate=2e-3, check_every=100, patience=6, seed=1),
    private_how=BeatPriorTraining(steps=400, batch=0, learning_rate=2e-3, check_every=25, patience=6, seed=1),
    patients_per_step=1024,
    asked=900,
    draws=50,
)
QUICK: Final = replace(
    FULL,
    training=3000,
    how=replace(FULL.how, steps=720),
    private_how=replace(FULL.private_how, steps=200),
    patients_per_step=256,
    asked=100,
)


@dataclass(frozen=True)
class Arm:
    """A prior and what is done with its draws.

    Attributes:
        name: in the table.
        weights: name of its training; arms of one name share their weights.
        coarse_keys: whether it sees them.
        early_stopping, rejection: as in `Prevention`.
        epsilon: of differential privacy of patients; None without.
    """

    name: str
    weights: str
    coarse_keys: bool
    early_stopping: bool
    rejection: bool
    epsilon: float | None

    def prevention(self, plan: Plan) -> Prevention:
        """What prevents this prior from learning single people, but rejection, which needs no training."""
        privacy = None
        if self.epsilon is not None:
            privacy = PatientPrivacy(self.epsilon, DELTA, plan.patients_per_step, LARGEST_GRADIENT, NOISE_SEED)
        return Prevention(self.early_stopping, rejection=False, privacy=privacy)

    def architecture(self) -> BeatPriorArchitecture:
        """Of its prior."""
        private = PRIVATE_SHAPE if self.epsilon is not None else {}
        return BeatPriorArchitecture(coarse_keys=self.coarse_keys, **private)  # type: ignore[arg-type]


ARMS: Final = (
    Arm("exact keys", "exact", False, False, False, None),
    Arm("coarse keys", "coarse", True, False, False, None),
    Arm("+ early stopping", "stopped", True, True, False, None),
    Arm("+ rejection", "stopped", True, True, True, None),
    Arm("+ DP, ε = 8", "private-8", True, True, True, 8.0),
    Arm("+ DP, ε = 2", "private-2", True, True, True, 2.0),
)


def prior_of(
    arm: Arm, plan: Plan, training: People, held_out: People, folder: Path, group: int
) -> tuple[BeatPrior, dict[str, Any]]:
    """Train the prior of an arm, or read what was trained before.

    Args:
        group: number of the group that is among the training patients.

    Returns:
        The prior and what its training says of itself: the step, held-out losses and the privacy spent.
    """
    name = f"{arm.weights}-{group}"
    weights, about = folder / f"{name}.safetensors", folder / f"{name}.json"
    if not about.is_file():
        LOG.info("training the prior %s", name)
        how = plan.how if arm.epsilon is None else plan.private_how
        found = train_prior(training.examples, held_out.examples, arm.architecture(), how, arm.prevention(plan))
        with whole_file(weights) as file:
            file.write(save({name: one.contiguous() for name, one in found.prior.state_dict().items()}))
        facts = {
            "step": found.step,
            "held-out losses": found.losses,
            "privacy": asdict(found.privacy) if found.privacy else None,
        }
        write_text(about, json.dumps(facts))
    prior = BeatPrior(arm.architecture()).eval().requires_grad_(False)
    prior.load_state_dict(load_file(weights))
    return prior, json.loads(about.read_text())


def rejection_of(prior: BeatPrior, space: Space, training: People, held_out: People) -> Rejection:
    """What draws of an arm with rejection keep out of."""
    return Rejection.fitted(space, coordinate_space(prior.ectopic), training.examples.beats, held_out.examples.beats)
