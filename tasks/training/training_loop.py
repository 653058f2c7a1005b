"""The training loop that runs in every Ray Train worker.

Batches are a pure function of (seed, step), noise of (seed, step, worker): so a run that was killed and resumed from a
checkpoint sees exactly what an uninterrupted one sees, and a checkpoint needs no random state.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from torch import Tensor

from tasks.settings.training import TrainingSettings
from tasks.training.networks.recipe import Material, Recipe
from tasks.training.networks.recipes import RECIPES
from tasks.training.optimisation import Average, autocast, batch_rows, descend, new_optimiser, step_seed
from tasks.training.progress import Progress, append_progress
from warehouse.storage.facts import TrainingDataFacts

STATE_FILE = "state.pt"
VALIDATION_ROWS = 256
"""At most this many validation recordings are scored at a checkpoint."""


def train_network(job: dict[str, Any]) -> None:
    """Train one stage to its last step.

    Args:
        job: stage (name), settings (of training, as JSON values), staging and autoencoder (folders), waveforms (file
            with those of all recordings), facts (what the driver found out about the data), threads (CPU threads of
            this worker).
    """
    settings = TrainingSettings.model_validate(job["settings"])
    torch.set_num_threads(job["threads"])
    torch.manual_seed(step_seed(settings.seed, 0, 0))
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    device = ray.train.torch.get_device()
    places = {name: Path(job[name]) for name in ("staging", "waveforms", "autoencoder")}
    stage = RECIPES[job["stage"]](
        Material(**places, settings=settings, facts=TrainingDataFacts.model_validate(job["facts"]))
    )
    stage.objective.to(device)
    average = Average(stage.learner, stage.ema_decay) if stage.ema_decay else None
    optimiser = new_optimiser(stage.learner, stage.schedule.learning_rate)
    start = load_checkpoint(stage, optimiser, average)
    objective = ray.train.torch.prepare_model(stage.objective)
    began = time.monotonic()

    for step in range(start, stage.schedule.steps):
        rows = batch_rows(settings.seed, step, stage.rows["train"], stage.schedule.batch_size)[rank::workers]
        torch.manual_seed(step_seed(settings.seed, step + 1, rank))
        batch = stage.batch("train", torch.from_numpy(rows), device)
        with autocast(device, settings.precision):
            losses = objective(**batch)
        rate = descend(losses["loss"], stage, optimiser, average, step, job["stage"])

        done, last = step + 1, step + 1 == stage.schedule.steps
        checkpoint_due = last or done % settings.checkpoint_every_steps == 0
        if not (checkpoint_due or done % settings.report_every_steps == 0 or step == start):
            continue
        entry = Progress(
            stage=job["stage"],
            step=done,
            steps=stage.schedule.steps,
            losses=mean_over_workers(losses),
            learning_rate=rate,
            steps_per_s=(done - start) / (time.monotonic() - began),
            worker_pid=os.getpid(),
        )
        if checkpoint_due:
            entry.losses["validation"] = validate(stage, average, device, settings)
        if last and rank == 0:
            finish(stage, average, device)
        if rank == 0:
            append_progress(Path(job["staging"]), entry)
        if checkpoint_due:
            save_checkpoint(done, stage, optimiser, average, entry.losses, first=rank == 0)


@torch.no_grad()
def validate(stage: Recipe, average: Average | None, device: torch.device, settings: TrainingSettings) -> float:
    """Loss of the averaged weights on the validation split, with the same noise every time."""
    if average:
        average.swap(stage.learner)
    torch.manual_seed(settings.seed)
    losses, scored = [], min(stage.rows["validation"], VALIDATION_ROWS)
    for rows in torch.arange(scored).split(64):
        batch = stage.batch("validation", rows, device)
        with autocast(device, settings.precision):
            losses.append(float(stage.objective(**batch)["loss"]) * len(rows))
    if average:
        average.swap(stage.learner)
    return sum(losses) / scored


def finish(stage: Recipe, average: Average | None, device: torch.device) -> None:
    """Let the stage save its result, made of averaged weights if there are any."""
    if average:
        average.swap(stage.learner)
    stage.finish(device)
    if average:
        average.swap(stage.learner)


def mean_over_workers(losses: dict[str, Tensor]) -> dict[str, float]:
    """Each loss averaged over the workers; the same on all of them."""
    values = torch.stack([loss.detach().float() for loss in losses.values()])
    if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        torch.distributed.all_reduce(values)
        values /= torch.distributed.get_world_size()
    return dict(zip(losses, values.tolist(), strict=True))


def load_checkpoint(stage: Recipe, optimiser: torch.optim.Optimizer, average: Average | None) -> int:
    """Restore the latest checkpoint of this run, if there is one.

    Returns:
        The step to go on with.
    """
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return 0
    with checkpoint.as_directory() as folder:
        state = torch.load(Path(folder) / STATE_FILE, map_location="cpu", weights_only=True)
    stage.learner.load_state_dict(state["learner"])
    optimiser.load_state_dict(state["optimiser"])
    if average:
        for kept, saved in zip(average.weights, state["average"], strict=True):
            kept.copy_(saved)
    return int(state["step"])


def save_checkpoint(
    step: int,
    stage: Recipe,
    optimiser: torch.optim.Optimizer,
    average: Average | None,
    losses: dict[str, float],
    first: bool,
) -> None:
    """Report the losses to Ray Train; the first worker adds a checkpoint."""
    metrics = {"step": step, **losses}
    if not first:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        state = {
            "step": step,
            "learner": stage.learner.state_dict(),
            "optimiser": optimiser.state_dict(),
            "average": average.weights if average else [],
        }
        torch.save(state, Path(folder) / STATE_FILE)
        (Path(folder) / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))
