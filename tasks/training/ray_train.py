"""One stage of training as a Ray Train run, from the driver's side."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.train.v2.api.config import LoggingConfig
from ray.train.v2.api.exceptions import TrainingFailedError

from tasks.settings.training import TrainingSettings
from tasks.stage import run_logger
from tasks.training.data.recordings import TrainingError
from tasks.training.networks.recipes import RECIPES
from tasks.training.progress import following
from tasks.training.training_loop import train_network
from warehouse.storage.facts import TrainingDataFacts
from warehouse.storage.store import Staging


class Trainer(TorchTrainer):
    """`TorchTrainer` without what these runs do not need.

    Without the callback for Ray datasets, which training does not read: it starts a process that loads all of Ray Data.
    Where Ray is local, without the placement-group cleaner too: it serves clusters that outlive their driver, asks the
    dashboard, which a local Ray does not have, and then warns every second.
    """

    def _create_default_callbacks(self) -> list[Any]:
        callbacks: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]  # mypy sees Ray Train 1
        unneeded = {"DatasetsCallback"} | (
            set() if os.environ.get("RAY_ADDRESS") else {"PlacementGroupCleanerCallback"}
        )
        return [callback for callback in callbacks if type(callback).__name__ not in unneeded]


def train_network_on_ray(
    name: str,
    staging: Staging,
    settings: TrainingSettings,
    waveforms: Path,
    autoencoder: Path,
    facts: TrainingDataFacts,
) -> None:
    """Train one stage to its end, or go on where an interrupted run left it.

    Args:
        name: a key of `tasks.training.networks.recipes.RECIPES`.
        staging: holds the prepared data and receives checkpoints, progress and weights; all nodes must see it.
        settings: of training.
        waveforms: file with the waveforms of all recordings; all nodes must see it.
        autoencoder: folder of the autoencoder; of the staging while it is being made.
        facts: what the preparation found out about the data.

    Raises:
        TrainingError: training failed more often than `max_failures`.
    """
    logger = run_logger()
    if (staging.path / RECIPES[name].leaves).exists():
        logger.info("%s: an earlier run finished it", name)
        return
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # watches nodes that a cloud takes back
    threads = max(1, int(ray.cluster_resources().get("CPU", 1)) // settings.workers)
    trainer = Trainer(
        train_network,
        train_loop_config={
            "stage": name,
            "settings": settings.model_dump(mode="json"),
            "staging": str(staging.path),
            "waveforms": str(waveforms),
            "autoencoder": str(autoencoder),
            "facts": facts.model_dump(mode="json", include=set(TrainingDataFacts.model_fields)),
            "threads": threads,
        },
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=settings.use_gpu,
            resources_per_worker={"CPU": threads, **({"GPU": 1} if settings.use_gpu else {})},
        ),
        run_config=RunConfig(  # type: ignore[call-arg]  # mypy sees the class of Ray Train 1
            # Ray Train resumes from the latest checkpoint of a run with the same name and storage: that is how a killed
            # run goes on. The model's id keeps other settings from resuming here.
            name=f"{staging.id}-{name}",
            storage_path=str(staging.path / "_ray"),
            failure_config=FailureConfig(max_failures=settings.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
    )
    logger.info("%s: %d worker(s) of %d threads", name, settings.workers, threads)
    with following(staging.path, logger), _interrupt_handler_restored():
        try:
            trainer.fit()
        except TrainingFailedError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise TrainingError(
                f"{name} failed after {settings.max_failures} resumption(s): {lines[-1]}; "
                "run the same command again to go on from the last checkpoint"
            ) from error


@contextmanager
def _interrupt_handler_restored() -> Iterator[None]:
    """Ray Train replaces the handler of Ctrl-C and does not put it back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
