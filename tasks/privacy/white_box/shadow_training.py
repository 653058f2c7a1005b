"""Shadow models, one Ray task each. What an interrupted run has trained is not trained again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from models.privacy.shadows import Learner, Shadows
from tasks.cluster import connect
from tasks.settings import ComputeSettings
from tasks.stage import run_logger
from warehouse.storage.whole_files import whole_file

FOLDER = "_shadows"


class StoredLearner(Learner, Protocol):
    """A learner that Ray tasks read from a file."""

    @property
    def about(self) -> dict[str, Any]:
        """What `load` needs beside the file."""

    def save(self, path: Path) -> None:
        """Leave its tensors in a file."""

    @property
    def load(self) -> Callable[..., Learner]:
        """Reads what `save` left, given the file and `about`; a class method."""


def train_shadows(
    network: str, learner: StoredLearner, inside: np.ndarray, seed: int, folder: Path, compute: ComputeSettings
) -> Shadows:
    """Train a shadow for each row of training sets, or find its losses.

    Args:
        network: its name, under which shadows are kept.
        learner: what shadows learn from.
        inside: (shadows, n) bool, from `models.privacy.shadows.training_sets`.
        seed: of the first shadow, the next have the next ones.
        folder: that is being built; all nodes must see it.
        compute: how Ray is used.
    """
    import ray

    kept = folder / FOLDER
    kept.mkdir(exist_ok=True)
    files = [kept / f"{network}-{number:03d}.npy" for number in range(len(inside))]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    if missing:
        pool = kept / f"{network}.safetensors"
        learner.save(pool)
        connect(compute)
        train = ray.remote(num_cpus=1, max_retries=1)(train_shadow)
        jobs = {
            train.remote(
                learner.load, pool, learner.about, np.flatnonzero(inside[number]), seed + number, files[number]
            ): number
            for number in missing
        }
        waiting = list(jobs)
        while waiting:
            (done,), waiting = ray.wait(waiting)
            ray.get(done)
            run_logger().info("%s: shadow %d of %d is trained", network, jobs[done] + 1, len(inside))
    return Shadows(np.stack([np.load(file) for file in files]), inside)


def train_shadow(
    load: Callable[..., Learner], pool: Path, about: dict[str, Any], rows: np.ndarray, seed: int, file: Path
) -> None:
    """Train one shadow in a Ray worker, and write its losses; the file appears whole or not at all."""
    import torch

    torch.set_num_threads(1)  # more threads would round differently
    losses = load(pool, **about).losses(rows, seed)
    with whole_file(file) as written:
        np.save(written, losses)
