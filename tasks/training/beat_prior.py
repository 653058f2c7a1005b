"""Training of the prior of beats of a flow, by the driver: it is small, and held-out patients say when it is done."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import torch

from models.beats.training import BeatPriorTraining, Examples, Prevention, train_prior
from tasks.knowledge.packaged_models import one_thread
from tasks.settings.training import BeatsTraining, FlowTraining, TrainingSettings
from tasks.stage import run_logger
from tasks.training.data.conditions import load_conditions
from tasks.training.data.recorded import load_recorded
from tasks.training.data.weight_files import PRIOR_FILE, REJECTION_FILE, save_tensors, save_weights
from tasks.training.patient_privacy import patient_privacy, save_spent
from tasks.training.progress import Progress, append_progress

STAGE: Final = "prior"
CHECKS: Final = 36
"""Looks at the held-out loss in a training of full length."""
PATIENCE: Final = 6
"""Looks without a smaller loss after which training ends."""


def train_beats(folder: Path, settings: TrainingSettings) -> None:
    """Train the prior on what preparation left, unless an earlier run did.

    It leaves the weights with the smallest loss on the validation split, and what drawn beats keep away from: training
    beats and the radius around them, within which hardly any validation patient lies. One thread, so that the result
    does not depend on the machine.

    Args:
        folder: of the model that is being made.
        settings: of training.
    """
    if (folder / PRIOR_FILE).exists():
        run_logger().info("%s: an earlier run finished it", STAGE)
        return
    began = time.monotonic()
    with one_thread():
        found = train_prior(
            _examples(folder, "train", settings.flow, settings.seed),
            _examples(folder, "validation", settings.flow, settings.seed),
            settings.flow.beats.architecture,
            how_to_train(settings.flow.beats, settings.seed),
            Prevention(privacy=patient_privacy(settings.flow.beats.privacy, folder, STAGE)),
        )
    seconds = time.monotonic() - began
    assert found.rejection is not None
    for step, loss in found.losses:
        entry = Progress(
            stage=STAGE,
            step=step,
            steps=settings.flow.beats.steps,
            losses={"validation": loss},
            learning_rate=settings.flow.beats.learning_rate,
            steps_per_s=found.losses[-1][0] / seconds,
            worker_pid=os.getpid(),
        )
        append_progress(folder, entry)
    if found.privacy:
        save_spent(folder, STAGE, found.privacy)
    save_tensors(found.rejection.tensors(), folder / REJECTION_FILE)
    # Last, for it says that the rest is there.
    save_weights(found.prior, folder / PRIOR_FILE)
    run_logger().info("%s: weights of step %d, %.0f s", STAGE, found.step, seconds)


def how_to_train(settings: BeatsTraining, seed: int, share: float = 1.0) -> BeatPriorTraining:
    """How a prior is trained, on this share of the recordings for as many fewer steps."""
    steps = max(1, round(settings.steps * share))
    return BeatPriorTraining(
        steps=steps,
        batch=settings.batch_size,
        learning_rate=settings.learning_rate,
        check_every=max(1, steps // CHECKS),
        patience=PATIENCE,
        seed=seed,
    )


def _examples(folder: Path, split: str, how: FlowTraining, seed: int) -> Examples:
    """The recordings of a split that have beats, each with its own condition or its group's, drawn once."""
    recorded, data = load_recorded(folder, split), load_conditions(folder, split)
    rows = torch.nonzero(recorded.known)[:, 0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        condition = data.shown(rows, how.group_share, how.experience)
    return Examples(recorded.beats[rows], condition, recorded.patients[rows])
