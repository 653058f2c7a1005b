"""Training of the prior of beats, with what prevents it from learning single people.

Four things can be had, each by itself: coarse keys (`models.beats.coarse_keys`), the weights of the step with the
smallest loss on held-out patients instead of the last ones, rejection of draws (`models.beats.rejection`), and
differential privacy of patients (`models.patient_privacy`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from models import counter_random
from models.architecture import BeatPriorArchitecture
from models.beats.beats import Beats
from models.beats.identifying_space import Space, coordinate_space
from models.beats.prior import BeatPrior
from models.beats.rejection import Rejection
from models.conditioning import ConditionTensors
from models.patient_privacy import PatientGradients, PatientPrivacy, PrivacySpent, loss_of

EMA_DECAY: Final = 0.995
WEIGHT_DECAY: Final = 1e-4
TIMES: Final = 8
"""Flow times, each with a noise of its own, at which every held-out recording's loss is taken."""
ROWS_AT_ONCE: Final = 2048


@dataclass(frozen=True)
class Examples:
    """Recordings to learn from or to be judged by.

    Attributes:
        beats: of n recordings.
        condition: of each.
        patients: (n,) int64, patient of each.
    """

    beats: Beats
    condition: ConditionTensors
    patients: Tensor

    def __len__(self) -> int:
        return len(self.beats)

    def __getitem__(self, rows: Tensor) -> Examples:
        """Some recordings, by index or mask."""
        return Examples(self.beats[rows], self.condition[rows], self.patients[rows])


@dataclass(frozen=True)
class BeatPriorTraining:
    """How a prior is trained.

    Attributes:
        steps: optimiser steps at most.
        batch: recordings per step; with differential privacy, `PatientPrivacy.patients_per_step` counts.
        learning_rate: peak of the one-cycle schedule; constant with differential privacy, whose steps may end any time.
        check_every: steps between two looks at the held-out loss.
        patience: looks without a smaller loss after which training ends, where it is stopped early.
        seed: of weights, batches, noise and dropout.
    """

    steps: int
    batch: int
    learning_rate: float
    check_every: int
    patience: int
    seed: int


@dataclass(frozen=True)
class Prevention:
    """What prevents a prior from learning single people, in addition to coarse keys, which are in its architecture.

    Attributes:
        early_stopping: take the weights with the smallest held-out loss, and end when it no longer falls.
        rejection: keep draws out of the neighbourhood of training beats.
        privacy: differential privacy of patients; None for none.
    """

    early_stopping: bool = True
    rejection: bool = True
    privacy: PatientPrivacy | None = None


@dataclass(frozen=True)
class TrainedPrior:
    """A prior and how it came about.

    Attributes:
        prior: in evaluation mode.
        rejection: what its draws are to keep away from; None where nothing.
        losses: (step, held-out loss) of every look.
        step: whose weights these are.
        privacy: what the steps cost training patients; None without differential privacy. It is about the weights:
            components and the step are chosen by held-out patients, who are not covered, and rejection looks at
            training beats again.
    """

    prior: BeatPrior
    rejection: Rejection | None
    losses: list[tuple[int, float]]
    step: int
    privacy: PrivacySpent | None


def train_prior(
    training_set: Examples,
    held_out: Examples,
    architecture: BeatPriorArchitecture,
    how: BeatPriorTraining,
    prevention: Prevention,
    space: Space | None = None,
    components: BeatPrior | None = None,
) -> TrainedPrior:
    """Train a prior; on one thread, the same arguments give the same weights.

    Args:
        training_set: recordings to learn from.
        held_out: recordings of other patients, by which the step is chosen and the radius of rejection measured.
        architecture: of the prior.
        how: steps, rates, seed.
        prevention: what is done for the privacy of training patients.
        space: in which usual beats are compared for rejection; None for the prior's coordinates.
        components: a prior of this shape whose components are taken; None to fit them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        prior = BeatPrior(architecture)
        if components is not None:
            prior.usual.load_state_dict(components.usual.state_dict())
            prior.ectopic.load_state_dict(components.ectopic.state_dict())
        else:
            # Without noise: with a guarantee for training patients they are fitted to others.
            prior.fit_components(training_set.beats if prevention.privacy is None else held_out.beats)
        best, losses, step, spent = _optimised(prior, training_set, held_out, how, prevention)
    rejection = None
    if prevention.rejection:
        spaces = space or coordinate_space(best.usual), coordinate_space(best.ectopic)
        rejection = Rejection.fitted(*spaces, training_set.beats, held_out.beats)
    return TrainedPrior(best, rejection, losses, step, spent)


def _optimised(
    prior: BeatPrior, training_set: Examples, held_out: Examples, how: BeatPriorTraining, prevention: Prevention
) -> tuple[BeatPrior, list[tuple[int, float]], int, PrivacySpent | None]:
    coordinates, there = prior.coordinates(training_set.beats), training_set.beats.has_ectopic
    averaged = copy.deepcopy(prior).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(prior.parameters(), lr=how.learning_rate, weight_decay=WEIGHT_DECAY)

    def batch(rows: Tensor) -> dict[str, Any]:
        if prevention.privacy is None:
            time = (torch.randperm(len(rows)) + torch.rand(len(rows))) / len(rows)
        else:  # independent of who else is in the step
            time = torch.rand(len(rows))
        noise = torch.randn(len(rows), coordinates.shape[1])
        condition = training_set.condition[rows].dropped()
        return {
            "coordinates": coordinates[rows],
            "has_ectopic": there[rows],
            "condition": condition,
            "time": time,
            "noise": noise,
        }

    if prevention.privacy is None:
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.learning_rate, total_steps=how.steps + 1)
        private = None
    else:
        prior.eval()  # the noise regularises enough
        private = PatientGradients(prior, optimiser, loss_of, training_set.patients, prevention.privacy, how.steps)

    losses: list[tuple[int, float]] = []
    best, best_step = averaged, 0
    for step in range(1, how.steps + 1):
        if private is not None:
            private.step(step - 1, batch)
        else:
            optimiser.zero_grad(set_to_none=True)
            prior(**batch(torch.randint(len(training_set), (how.batch,)))).mean().backward()
            optimiser.step()
            schedule.step()
        decay = min(EMA_DECAY, step / (step + 10))
        for kept, now in zip(averaged.parameters(), prior.parameters(), strict=True):
            kept.lerp_(now.detach(), 1 - decay)
        if step % how.check_every and step < how.steps:
            continue
        losses.append((step, float(held_out_losses(averaged, held_out).mean())))
        if not prevention.early_stopping:
            best_step = step
        elif losses[-1][1] == min(loss for _, loss in losses):
            best, best_step = copy.deepcopy(averaged), step
        elif (step - best_step) // how.check_every >= how.patience:
            break
    return best, losses, best_step, private.spent(step) if private else None


@torch.no_grad()
def held_out_losses(prior: BeatPrior, examples: Examples) -> Tensor:
    """Loss of each recording, (n,), over `TIMES` fixed times and noises, the same for every prior.

    It stands in for the negative log likelihood, which a loss of this form bounds where times are weighted accordingly
    (Song et al., NeurIPS 2021; Kingma and Gao, NeurIPS 2023), and needs no solver.
    """
    found = []
    coordinates = prior.coordinates(examples.beats)
    for at in range(0, len(examples), ROWS_AT_ONCE):
        rows = torch.arange(at, min(at + ROWS_AT_ONCE, len(examples)))
        total = torch.zeros(len(rows))
        for turn in range(TIMES):
            offset = counter_random.uniform(rows, f"time {turn}", ())
            noise = counter_random.normal(rows, f"noise {turn}", (coordinates.shape[1],))
            condition, there = examples.condition[rows], examples.beats.has_ectopic[rows]
            total += prior(coordinates[rows], there, condition, (turn + offset) / TIMES, noise)
        found.append(total / TIMES)
    return torch.cat(found)
