"""Loss curves of a model: a picture in its folder, in the report, and among Prefect's artifacts."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from prefect.artifacts import create_image_artifact

from tasks.stage import in_run
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

PICTURE: Final = "losses.png"
NOT_LOSSES: Final = frozenset({"stage", "step", "learning_rate", "steps_per_s"})
Curves = dict[str, dict[str, tuple[list[float], list[float]]]]
"""Stage to loss to (steps, values)."""


def learning_curves(history: Sequence[Mapping[str, Any]]) -> Curves:
    """Curves from a model's history: rows of 'stage', 'step', losses and rates."""
    curves: Curves = {}
    for row in history:
        for name, value in row.items():
            if name not in NOT_LOSSES and isinstance(value, int | float) and np.isfinite(value):
                steps, values = curves.setdefault(str(row["stage"]), {}).setdefault(name, ([], []))
                steps.append(float(row["step"]))
                values.append(float(value))
    return curves


def last_losses(curves: Curves) -> str:
    """The last value of every loss, in words."""
    return "; ".join(
        f"{stage}: {', '.join(f'{name} {values[-1]:.3g}' for name, (_, values) in losses.items())}"
        for stage, losses in curves.items()
    )


def save_losses(folder: Path, facts: Mapping[str, Any]) -> None:
    """Draw the loss curves of a model's facts into its folder; nothing without a history."""
    from tasks.drawing import report_figures as figures

    if curves := learning_curves(facts.get("history") or []):
        picture = figures.png_bytes(figures.draw_curves(curves))
        (folder / PICTURE).write_bytes(picture)


def show_losses(store: Store, model: Reference) -> None:
    """Make a Prefect artifact of a model's loss curves; outside a run, or without a picture, do nothing.

    The picture travels in the artifact as a data URI, so that it is seen wherever the server runs.
    """
    path = store.path(model) / PICTURE
    if not in_run() or not path.exists():
        return
    curves = learning_curves(store.manifest(model).facts.get("history") or [])
    create_image_artifact(
        image_url="data:image/png;base64," + base64.b64encode(path.read_bytes()).decode(),
        key="training-losses",
        description=f"Loss curves of {model}. Last values: {last_losses(curves)}.",
    )
