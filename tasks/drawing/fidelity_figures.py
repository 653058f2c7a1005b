"""The picture of fidelity in the report: every discriminator on synthetic ECGs beside real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from tasks.drawing.report_figures import ACCENT, REAL, STYLE, SYNTHETIC
from warehouse.release.fidelity_verdicts import DISCRIMINATORS

COLOURS: Final = {"synthetic": SYNTHETIC, "reconstruction": ACCENT, "real training recordings": REAL}
"""Subject to its colour."""


def discriminator_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows that are drawn: those with a value."""
    return [row for row in rows if row["metric"] in DISCRIMINATORS and row["value"] is not None]


def draw_discriminators(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Areas under ROC curves with 95 % intervals, a line per discriminator; at 0.5 it cannot tell.

    Args:
        rows: from `discriminator_rows`.
    """
    metrics = [metric for metric in DISCRIMINATORS if any(row["metric"] == metric for row in rows)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 1.2 + 0.5 * len(metrics)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0.5, color="#9aa5b1", linewidth=1, linestyle=":")
        for place, (subject, colour) in enumerate(COLOURS.items()):
            of_subject = [row for row in rows if row["subject"] == subject]
            for number, row in enumerate(of_subject):
                height = metrics.index(row["metric"]) + 0.2 * (place - 1)
                low, high = (row["value"] if row[end] is None else row[end] for end in ("low", "high"))
                axes.plot([low, high], [height, height], color=colour, linewidth=3, alpha=0.35)
                label = subject if number == 0 else None
                axes.plot(row["value"], height, "o", color=colour, markersize=6, label=label)
        axes.set_xlim(0.35, 1.02)
        axes.set_ylim(len(metrics) - 0.5, -0.5)
        axes.set_yticks(range(len(metrics)), [metric.removesuffix(" AUC") for metric in metrics])
        axes.grid(visible=False, axis="y")
        axes.set_title("AUC of discriminators against held-out recordings")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3)
    return figure
