"""Pictures of the report. Real recordings appear as aggregate counts only, and small counts not at all."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

REAL = "#6b7785"
SYNTHETIC = "#0b7a75"
ACCENT = "#c2410c"
GRID = "#e3e7eb"
INK = "#24303a"
STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "einthoven",
}
ECG_DPI = 110
FIT_FROM = 0.9
"""R² from which the colours of the simulator's fit differ."""
NOT_PRINTED = "not shown: fewer than {} real recordings"


@dataclass(frozen=True)
class ChartedFeature:
    """A measured feature whose distribution is drawn."""

    column: str
    label: str
    low: float
    high: float
    bins: int = 24


CHARTED_FEATURES = (
    ChartedFeature("heart_rate_bpm", "heart rate (bpm)", 30, 190),
    ChartedFeature("pr_ms", "PR interval (ms)", 80, 320),
    ChartedFeature("qrs_ms", "QRS duration (ms)", 50, 210),
    ChartedFeature("qtc_ms", "QTc, Fridericia (ms)", 300, 560),
    ChartedFeature("axis_deg", "QRS axis (degree)", -180, 180),
    ChartedFeature("age_years", "age (years)", 0, 95, 19),
)


def svg(figure: Figure) -> str:
    """A figure as a data URI: sharp at any size, nothing to fetch, same bytes for the same data."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def png_bytes(figure: Figure) -> bytes:
    """A figure as a PNG with a palette: ECG paper and curves have few colours and very many lines."""
    buffer, small = io.BytesIO(), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=ECG_DPI)
    Image.open(buffer).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()


def png(figure: Figure) -> str:
    """A figure as a PNG data URI."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(figure)).decode()


def suppressed(counts: np.ndarray, smallest: int) -> np.ndarray:
    """Counts of real recordings with every count below `smallest` set to zero."""
    return np.where(counts < smallest, 0, counts)


def draw_heart_rate(asked: np.ndarray, delivered: np.ndarray, irregular: np.ndarray) -> Figure:
    """Heart rate asked for against heart rate measured; irregular rhythms are marked."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 4.4))
        axes = figure.add_subplot()
        both = np.concatenate([asked, delivered])
        low, high = (
            (float(np.floor(both.min() / 10) * 10), float(np.ceil(both.max() / 10) * 10))
            if len(both)
            else (40.0, 120.0)
        )
        axes.plot([low, high], [low, high], color=ACCENT, linewidth=1, label="delivered = asked")
        for mask, label, marker, fill in (
            (~irregular, "regular rhythm", "o", SYNTHETIC),
            (irregular, "irregular rhythm", "^", "#8a5a00"),
        ):
            if mask.any():
                axes.scatter(
                    asked[mask], delivered[mask], s=16, alpha=0.55, marker=marker, color=fill, linewidths=0, label=label
                )
        axes.set(
            xlabel="asked for (bpm)", ylabel="measured on the generated ECG (bpm)", xlim=(low, high), ylim=(low, high)
        )
        axes.set_aspect("equal")
        axes.legend(loc="upper left", fontsize=8)
    return figure


def draw_distributions(
    real: Mapping[str, np.ndarray], synthetic: Mapping[str, np.ndarray], smallest: int, origin: str
) -> tuple[Figure, int]:
    """Histograms of measured features, real (training) against synthetic.

    Args:
        real, synthetic: column to (rows,) array; NaN for missing.
        origin: what the real side is, for the legend.
        smallest: bins that hold fewer real recordings are left out, and so do not add to the shares.

    Returns:
        The figure, and how many non-empty bins were suppressed.
    """
    hidden = 0
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 5.0), layout="constrained")
        for axes, feature in zip(figure.subplots(2, 3).flat, CHARTED_FEATURES, strict=True):
            edges = np.linspace(feature.low, feature.high, feature.bins + 1)
            of_real = _counts(real[feature.column], edges)
            shown = suppressed(of_real, smallest)
            hidden += int(((of_real > 0) & (shown == 0)).sum())
            of_synthetic = _counts(synthetic[feature.column], edges)
            axes.stairs(_shares(shown), edges, fill=True, color=REAL, alpha=0.35, label=origin)
            axes.stairs(_shares(of_synthetic), edges, color=SYNTHETIC, linewidth=1.6, label="synthetic")
            axes.set(xlabel=feature.label, yticks=[], xlim=(feature.low, feature.high))
            axes.grid(visible=False, axis="y")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2, fontsize=9)
        figure.supylabel("share of ECGs", fontsize=9)
    return figure, hidden


def _counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    finite = values[np.isfinite(values)]
    return np.histogram(np.clip(finite, edges[0], edges[-1]), edges)[0]


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / max(1, counts.sum())


def draw_prevalence(
    names: Sequence[str], real: Sequence[float | None], synthetic: Sequence[float], smallest: int, origin: str
) -> Figure:
    """Share of ECGs per statement, real (training) against synthetic; None for a suppressed real count."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 1.2 + 0.36 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        rows = np.arange(len(names))
        axes.barh(rows - 0.19, [value or 0 for value in real], 0.36, color=REAL, alpha=0.55, label=origin)
        axes.barh(rows + 0.19, synthetic, 0.36, color=SYNTHETIC, label="synthetic")
        for row, value in enumerate(real):
            if value is None:
                axes.text(0, row - 0.19, "  " + NOT_PRINTED.format(smallest), va="center", fontsize=7, color=REAL)
        axes.set_yticks(rows, [_shortened(name, 30) for name in names])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("share of ECGs with the statement")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=8)
    return figure


def draw_bars(title: str, rows: Sequence[Mapping[str, float | str | None]]) -> Figure:
    """One metric for several subjects as dots with 95 % intervals, and their common reference, if any, as a line."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 0.9 + 0.36 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        ends: list[float] = []
        for position, row in enumerate(rows):
            value, subject = float(row["value"] or 0.0), str(row["subject"])
            low = value if row["low"] is None else float(row["low"])
            high = value if row["high"] is None else float(row["high"])
            colour = SYNTHETIC if "synthetic" in subject else REAL
            axes.plot([low, high], [position, position], color=colour, linewidth=3, alpha=0.35, solid_capstyle="round")
            axes.plot(value, position, "o", color=colour, markersize=7)
            axes.annotate(
                f"{value:.3f}",
                (value, position),
                xytext=(0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                bbox={"facecolor": "white", "linewidth": 0, "pad": 0.8},
            )
            ends += [low, high]
        references = {row["reference"] for row in rows} - {None}
        if len(references) == 1:
            axes.axvline(float(references.pop() or 0.0), color=ACCENT, linewidth=1, zorder=1)
        margin = 0.08 * (max(ends) - min(ends) or 1.0)
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
        axes.set_yticks(range(len(rows)), [_shortened(str(row["subject"])) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.7)
        axes.grid(visible=False, axis="y")
        axes.set_title(title)
    return figure


def draw_curves(curves: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]]) -> Figure:
    """Training curves, a column per stage: training and validation loss above, the terms of the loss below.

    Args:
        curves: stage to loss name to (steps, values); "loss" and "validation" are the totals.
    """
    totals = ("loss", "validation")
    terms = any(set(losses) - set(totals) for losses in curves.values())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 5.2 if terms else 2.9), layout="constrained")
        grid = figure.subplots(2 if terms else 1, len(curves), squeeze=False, sharex="col")
        for column, (stage, losses) in enumerate(curves.items()):
            above = {name: losses[name] for name in totals if name in losses}
            _curves(grid[0, column], above, {"loss": "training"})
            grid[0, column].set_title(stage)
            if terms:
                below = {name: each for name, each in losses.items() if name not in totals}
                _curves(grid[1, column], below, {})
                grid[1, column].set_visible(bool(below))
            grid[-1 if terms and below else 0, column].set_xlabel("optimiser step")
            grid[0, column].tick_params(labelbottom=not (terms and below))
        grid[0, 0].set_ylabel("loss")
        if terms:
            grid[1, 0].set_ylabel("its terms")
    return figure


def _curves(
    axes: Axes, losses: Mapping[str, tuple[Sequence[float], Sequence[float]]], names: Mapping[str, str]
) -> None:
    palette = (SYNTHETIC, ACCENT, "#3b5bdb", REAL, "#8a5a00", "#a21caf", "#15803d", "#0e7490")
    for index, (name, (steps, values)) in enumerate(losses.items()):
        marker = "o" if len(steps) < 3 or name == "validation" else None
        axes.plot(
            steps,
            values,
            label=names.get(name, name),
            color=palette[index % len(palette)],
            linewidth=1.4,
            marker=marker,
            markersize=3.5,
        )
    if losses and all(min(values) > 0 for _, values in losses.values()):
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        subs = range(1, 10) if high / low < 3 else (1, 2, 3, 5) if high / low < 30 else (1,)
        axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=subs))
        axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    if losses:
        axes.legend(fontsize=7.5)


def draw_fit(classes: Sequence[str], leads: Sequence[str], r2: np.ndarray) -> Figure:
    """Goodness of the simulator's fit to mean beats: R² (classes, leads)."""
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(6.4, 1.0 + 0.34 * len(classes)), layout="constrained")
        axes = figure.add_subplot()
        # A fit is good from about 0.9 on: below, one colour, so that differences above can be seen.
        axes.imshow(np.clip(r2, FIT_FROM, 1), vmin=FIT_FROM, vmax=1, cmap="YlGn", aspect="auto")
        axes.set_xticks(range(len(leads)), list(leads))
        axes.set_yticks(range(len(classes)), [_shortened(name) for name in classes])
        for row, column in np.ndindex(r2.shape):
            value = r2[row, column]
            dark = value > 0.5 * (1 + FIT_FROM)
            text = f"{value:.3f}" if np.isfinite(value) else "–"
            axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color="white" if dark else INK)
    return figure


def _shortened(name: str, longest: int = 44) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"
