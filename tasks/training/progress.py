"""Progress of training: the first worker appends to a file in the staging folder, the driver follows it into the log.

The file also is the loss history: it survives kills, and a step that was repeated after one counts once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PROGRESS_FILE = "_progress.jsonl"


class Progress(BaseModel):
    """Where a stage of training stands."""

    model_config = ConfigDict(extra="forbid")

    stage: str = Field(description="autoencoder, detail, prior, denoiser or alignment.")
    step: int = Field(description="Optimiser steps done.")
    steps: int = Field(description="Optimiser steps in all.")
    losses: dict[str, float] = Field(
        description="Loss of the last batch and its parts; at checkpoints also of validation."
    )
    learning_rate: float
    steps_per_s: float = Field(description="Since the worker started or resumed.")
    worker_pid: int = Field(description="Process of the first worker.")

    def line(self) -> str:
        """One line for a person."""
        parts = ", ".join(f"{name} {value:.4f}" for name, value in self.losses.items())
        left = (self.steps - self.step) / self.steps_per_s if self.steps_per_s else 0
        place = f"{self.stage}: step {self.step:,}/{self.steps:,}"
        return f"{place}, {parts}, {self.steps_per_s:.2f} steps/s, {left:.0f} s left"


def append_progress(staging: Path, progress: Progress) -> None:
    """Add one entry."""
    with (staging / PROGRESS_FILE).open("a", encoding="utf-8") as file:
        file.write(progress.model_dump_json() + "\n")


def read_progress(staging: Path, first_line: int = 0) -> list[Progress]:
    """Entries from a line on; a line that a kill cut off is left out."""
    path = staging / PROGRESS_FILE
    if not path.exists():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines()[first_line:]:
        try:
            entries.append(Progress.model_validate_json(line))
        except ValidationError:
            continue
    return entries


def loss_history(staging: Path, points: int = 200) -> list[dict[str, Any]]:
    """About `points` entries per stage, evenly spread, the last one among them; entries with a validation loss stay."""
    latest = {(entry.stage, entry.step): entry for entry in read_progress(staging)}
    history: list[dict[str, Any]] = []
    for stage in dict.fromkeys(name for name, _ in latest):
        entries = [latest[key] for key in sorted(latest) if key[0] == stage]
        stride = -(-len(entries) // points)
        history += [
            {
                "stage": stage,
                "step": entry.step,
                "learning_rate": entry.learning_rate,
                "steps_per_s": round(entry.steps_per_s, 3),
                **{name: round(value, 6) for name, value in entry.losses.items()},
            }
            for index, entry in enumerate(entries)
            if (len(entries) - 1 - index) % stride == 0 or "validation" in entry.losses
        ]
    return history


@contextmanager
def following(
    staging: Path, logger: logging.Logger | logging.LoggerAdapter[Any], every_s: float = 10.0
) -> Iterator[None]:
    """Log the latest entry every few seconds while the body runs, and once more at its end."""
    seen = len(read_progress(staging))
    done = threading.Event()

    def log_latest() -> None:
        nonlocal seen
        new = read_progress(staging, seen)
        seen += len(new)
        if new:
            logger.info(new[-1].line())

    def follow() -> None:
        while not done.wait(every_s):
            log_latest()

    thread = threading.Thread(target=follow, name="training-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        log_latest()
