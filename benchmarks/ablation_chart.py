"""Draws the record of the ablation: every run as a dot, arms below each other, for the figures that targets are on."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.ablation_table import DISCRIMINATOR, FID, INDEPENDENT_RATE, RCLIP, REAL
from tasks.drawing.report_figures import ACCENT, INK, STYLE
from tasks.drawing.report_figures import REAL as GREY

PANELS: Final = (
    (FID, "FID", None),
    (DISCRIMINATOR, "discriminator AUC", 0.7),
    (RCLIP, "rCLIP", None),
    (INDEPENDENT_RATE, "heart-rate MAE (bpm)", 1.0),
)
"""Column of the table, label, and the target on it where that is a number; FID's are ratios."""
SEED_COLOURS: Final[dict[int | None, str]] = {1: "#0b7a75", 2: "#5b8def", 3: "#b07aa1", None: INK}
DIGEST: Final = "Description"
"""Name of the PNG's text that holds the digest of what is drawn."""


def digest(details: Mapping[str, Any]) -> str:
    """SHA-256 of all that the chart shows; a chart whose text differs is of another record."""
    shown = [[details["table"].get(arm, {}).get(column) for column, *_ in PANELS] for arm in (*_arms(details), REAL)]
    dots = [_dots(details, arm, column) for arm in _arms(details) for column, *_ in PANELS]
    return hashlib.sha256(json.dumps([_arms(details), shown, dots]).encode()).hexdigest()


def chart(details: Mapping[str, Any]) -> bytes:
    """The chart as PNG.

    Args:
        details: `details` of the record of the ablation.
    """
    arms = _arms(details)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.0, 0.8 + 0.33 * len(arms)), layout="constrained")
        FigureCanvasAgg(figure)
        for place, (column, label, target) in zip(figure.subplots(1, len(PANELS), sharey=True), PANELS, strict=True):
            _draw(place, details, arms, column, target)
            place.set_xlabel(label)
        place.set_yticks(range(len(arms)), arms)
        place.invert_yaxis()
        figure.legend(*_legend(figure), loc="outside upper center", ncols=7, fontsize=8)
        written = io.BytesIO()
        figure.savefig(written, dpi=110, metadata={"Software": None, DIGEST: digest(details)})
    return written.getvalue()


def _draw(place: Axes, details: Mapping[str, Any], arms: list[str], column: str, target: float | None) -> None:
    table = details["table"]
    if real := table.get(REAL, {}).get(column):
        place.axvline(real["value"], color=GREY, linestyle="--", linewidth=1, label="real recordings")
    if target is not None:
        place.axvline(target, color=ACCENT, linestyle=":", linewidth=1.2, label="target of full")
    for row, arm in enumerate(arms):
        for seed, value in _dots(details, arm, column):
            name = "no training" if seed is None else f"training seed {seed}"
            place.plot(value, row, "o", color=SEED_COLOURS.get(seed, INK), markersize=4.5, alpha=0.75, label=name)
        if figure := table[arm].get(column):
            if figure["low"] is not None:
                place.plot([figure["low"], figure["high"]], [row + 0.27] * 2, color=INK, linewidth=1.4)
            place.plot(figure["value"], row + 0.27, "|", color=INK, markersize=7, label="mean, 95 % interval")
    place.grid(axis="y", visible=False)


def _legend(figure: Figure) -> tuple[list[Any], list[str]]:
    """One handle per name over all panels."""
    found: dict[str, Any] = {}
    for place in figure.axes:
        found |= {name: handle for handle, name in zip(*place.get_legend_handles_labels(), strict=True)}
    order = sorted(found, key=lambda name: (not name.startswith(("no ", "training")), name))
    return [found[name] for name in order], order


def _arms(details: Mapping[str, Any]) -> list[str]:
    """Arms of generated ECGs, in the order of the table."""
    made = {run["arm"] for run in details["runs"] if run["cohort_seed"] is not None}
    return [arm for arm in details["table"] if arm in made]


def _dots(details: Mapping[str, Any], arm: str, column: str) -> list[tuple[int | None, float]]:
    runs = [run for run in details["runs"] if run["arm"] == arm]
    figures = [(run["training_seed"], (run["figures"].get(column) or {}).get("value")) for run in runs]
    return [(seed, value) for seed, value in figures if value is not None]
