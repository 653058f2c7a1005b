"""How fast does a flow train, and what does it come to? It leaves a model folder.

It trains the prior of beats and runs the flow's recipe in one process without Ray, with the objective and the optimiser
of the training loop, on the recordings of a warehouse. What they need is prepared piece by piece and kept in the
folder; a run that was stopped goes on after the last piece or from its last checkpoint.

    python -m benchmarks.flow_training --warehouse PATH --folder PATH --size S --device cpu --steps 5000

With `--without CODE` no recording of that statement is learned from, and the trained model is asked for it afterwards,
with what the knowledge base says of it and without (`benchmarks.unseen_condition`).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from benchmarks.unseen_condition import unseen_condition
from models.architecture import FLOW_SIZES
from tasks.settings import RetrievalSettings
from tasks.settings.training import FlowTraining, StudentTraining, TrainingSettings
from tasks.training.beat_prior import train_beats
from tasks.training.flow_model import beats_of, prepare, save_model
from tasks.training.model_folder import load_generator
from tasks.training.networks.recipe import Material, Recipe
from tasks.training.networks.recipes import RECIPES
from tasks.training.optimisation import Average, autocast, batch_rows, descend, new_optimiser, step_seed
from tasks.training.training_loop import finish, validate
from warehouse.errors import WarehouseError
from warehouse.storage.reference import Kind, Reference
from warehouse.storage.store import Store
from warehouse.storage.waveform_file import waveform_file

REPORT_S: Final = 15.0
CHECKPOINT_S: Final = 120.0


@dataclass(frozen=True)
class Run:
    """How a stage is run.

    Attributes:
        folder: receives checkpoints and weights.
        settings: of training.
        device: where networks learn.
        until: `time.monotonic()` at which to stop.
        without: a statement whose recordings are left out.
    """

    folder: Path
    settings: TrainingSettings
    device: torch.device
    until: float
    without: str = ""


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description="Train a flow on a warehouse's recordings, without Ray.")
    parser.add_argument("--warehouse", required=True, help="folder that holds ingested recordings")
    parser.add_argument("--folder", required=True, type=Path, help="the model folder; an interrupted run continues")
    parser.add_argument("--recordings", help="id of the recordings; the newest without it")
    parser.add_argument("--knowledge", help="id of a knowledge base, or 'newest'; none without it")
    parser.add_argument("--size", choices=sorted(FLOW_SIZES), default="S")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=FlowTraining().steps)
    parser.add_argument("--batch", type=int, default=FlowTraining().batch_size)
    parser.add_argument("--student", type=int, default=0, help="optimiser steps of a student; none without it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many, with a checkpoint")
    parser.add_argument("--without", default="", help="a statement whose recordings are left out and asked for later")
    given = parser.parse_args()
    if given.without and not given.knowledge:
        parser.error("--without asks for a condition by its knowledge entry; name a knowledge base with --knowledge")
    settings = TrainingSettings(
        generator="flow",
        seed=given.seed,
        flow=FlowTraining(
            architecture=FLOW_SIZES[given.size],
            steps=given.steps,
            batch_size=given.batch,
            student=StudentTraining(enabled=given.student > 0, steps=given.student or 1, batch_size=given.batch),
        ),
    )
    store = Store(given.warehouse)
    recordings = newest(store, "recordings", given.recordings)
    knowledge = newest(store, "knowledge", None if given.knowledge == "newest" else given.knowledge)
    until = time.monotonic() + 60 * given.minutes
    run = Run(given.folder, settings, torch.device(given.device), until, given.without)
    done = train_flow(store, run, recordings, knowledge if given.knowledge else None)
    print(f"{given.folder}: {'trained' if done else 'stopped; the same command goes on'}")
    if done and given.without and recordings and knowledge:
        print("\n".join(unseen_condition(store, given.folder, recordings, knowledge, given.without)))


def newest(store: Store, kind: Kind, identifier: str | None) -> Reference | None:
    """The newest dataset of a kind, or the one with this id; None where there is none."""
    found = [one for one in store.committed(kind) if identifier in (None, one.id)]
    if identifier and not found:
        raise WarehouseError(f"{store.root} holds no {kind} {identifier}")
    return store.find(kind, found[-1].id) if found else None


def train_flow(store: Store, run: Run, recordings: Reference | None, knowledge: Reference | None) -> bool:
    """Train prior and flow, and leave the model folder.

    Returns:
        Whether it was trained to the last step; if not, the weights so far are there.

    Raises:
        WarehouseError: there are no recordings.
        TrainingError: there is nothing to train on, or the folder belongs to other settings or inputs.
    """
    if recordings is None:
        raise WarehouseError(f"{store.root} holds no recordings; run `einthoven ingest` first")
    settings, retrieval, done = run.settings, RetrievalSettings(), True
    run.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    prepared = prepare(store, run.folder, settings, recordings, knowledge, retrieval, run.without)
    material = Material(run.folder, waveform_file(store, recordings), beats_of(run.folder), settings, prepared.data)
    print(f"{prepared.data.recordings} recordings prepared in {time.monotonic() - started:.0f} s", flush=True)
    train_beats(run.folder, settings)
    for stage in settings.generator_stages:
        done = train_stage(stage, RECIPES[stage], material, run) and done
    save_model(store, run.folder, settings, recordings, knowledge, retrieval, prepared)
    load_generator(run.folder)
    return done


def train_stage(name: str, kind: type[Recipe], material: Material, run: Run) -> bool:
    """Train one network from its last checkpoint on, and save its weights; returns whether it was to the last step."""
    settings, device = run.settings, run.device
    torch.manual_seed(step_seed(settings.seed, 0, 0))
    recipe = kind(material)
    recipe.objective.to(device)
    average = Average(recipe.learner, recipe.ema_decay or 0.0)
    optimiser, path = (
        new_optimiser(recipe.learner, recipe.schedule.learning_rate),
        run.folder / f"_checkpoint-{name}.pt",
    )
    first = _resume(path, recipe, optimiser, average)
    if device.type == "cuda":
        for block in getattr(recipe.learner, "blocks", []):
            block.compile()
    steps, size = recipe.schedule.steps, recipe.schedule.batch_size
    reported = kept = time.monotonic()
    since, losses, step = first, [], first
    while step < steps and time.monotonic() < run.until:
        rows = torch.from_numpy(batch_rows(settings.seed, step, recipe.rows["train"], size))
        torch.manual_seed(step_seed(settings.seed, step + 1, 0))
        batch = recipe.batch("train", rows, device)
        with autocast(device, settings.precision):
            loss = recipe.objective(**batch)["loss"]
        descend(loss, recipe, optimiser, average, step, name)
        losses.append(loss.detach())
        step += 1
        now = time.monotonic()
        if now - reported > REPORT_S or step == steps:
            speed = (step - since) / (now - reported)
            print(
                f"{name}: step {step:,}/{steps:,}, loss {float(torch.stack(losses).mean()):.4f}, "
                f"{speed * size:.1f} ECGs/s, {(steps - step) / speed:.0f} s left",
                flush=True,
            )
            reported, since, losses = now, step, []
        if now - kept > CHECKPOINT_S:
            _keep(path, step, recipe, optimiser, average)
            kept = now
    if step > first:
        _keep(path, step, recipe, optimiser, average)
    print(f"{name}: {step:,} steps, validation loss {validate(recipe, average, device, settings):.4f}", flush=True)
    finish(recipe, average, device)
    return step == steps


def _keep(path: Path, step: int, recipe: Recipe, optimiser: torch.optim.Optimizer, average: Average) -> None:
    partial = path.with_suffix(".partial")
    state = {
        "step": step,
        "learner": recipe.learner.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average.weights,
    }
    torch.save(state, partial)
    partial.replace(path)


def _resume(path: Path, recipe: Recipe, optimiser: torch.optim.Optimizer, average: Average) -> int:
    """Restore a checkpoint, if there is one; returns the step to go on with."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    recipe.learner.load_state_dict(state["learner"])
    optimiser.load_state_dict(state["optimiser"])
    for weight, saved in zip(average.weights, state["average"], strict=True):
        weight.copy_(saved)
    return int(state["step"])


if __name__ == "__main__":
    main()
