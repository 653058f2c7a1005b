"""Twelve-lead ECGs drawn as a cardiograph prints them: 25 mm/s and 10 mm/mV on millimetre paper, true to scale.

Matplotlib's object interface only: no pyplot, no state shared between figures, safe in workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.text import Text
from scipy.interpolate import CubicSpline

from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS, to_twelve_leads

MM_PER_S: Final = 25.0
MM_PER_MV: Final = 10.0
MM_PER_INCH: Final = 25.4
LAYOUT: Final = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
RHYTHM_LEAD: Final = "II"
COLUMN_S: Final = 2.5
DRAWN_HZ: Final = 500.0
ROW_MM: Final = 27.0
"""Smallest distance of two rows' baselines."""
GAP_MM: Final = 3.0
"""Smallest distance of a trace from the row above it and from the title."""
LIMIT_MM: Final = 60.0
"""Deflections beyond 6 mV are cut: no heart makes them, and they would leave the sheet."""
HEADER_MM, FOOTER_MM, LEFT_MM, RIGHT_MM = 20.0, 9.0, 14.0, 6.0
PULSE_MM: Final = 5.0
"""Width of the calibration pulse: 0.2 s."""
PAPER, FINE, BOLD, INK, MUTED = "#fffafa", "#f8d9d9", "#eda9a9", "#161616", "#5b4a4a"
SYNTHETIC_INK = "#2456a6"


def draw_ecg(signal: np.ndarray, rate_hz: float, title: str, subtitle: str = "", mark: str = "SYNTHETIC") -> Figure:
    """Draw a 12-lead ECG: 3 × 4 columns of 2.5 s and a rhythm strip of lead II, on ECG paper.

    Args:
        signal: (8, samples) mV, leads in the order of `models.leads.INDEPENDENT_LEADS`; the first 10 s are drawn. A
            column of a shorter ECG that would begin too late for its 2.5 s shows the last ones.
        rate_hz: sampling rate.
        title: what it shows, e.g. the condition.
        subtitle: a second line, e.g. age, sex and measured intervals.
        mark: printed in the footer so that nobody takes the picture for a patient's; empty for none.

    Returns:
        A figure with a canvas, in true size: save it at any dpi and 25 mm are one second. Rows lie as far apart as
        their waves need, so that tall R waves reach neither the row above nor the title.

    Raises:
        ValueError: `signal` is not (8, samples) or shorter than two samples.
    """
    if signal.ndim != 2 or signal.shape[0] != len(INDEPENDENT_LEADS) or signal.shape[1] < 2:
        raise ValueError(f"expected (8, samples), got {signal.shape}")
    twelve = dict(zip(STANDARD_LEADS, to_twelve_leads(np.asarray(signal, dtype=np.float64)), strict=True))
    seconds = len(LAYOUT[0]) * COLUMN_S
    latest_s = max(0.0, signal.shape[1] / rate_hz - COLUMN_S)
    rows = [
        *(
            [
                _Stretch(twelve[name], rate_hz, min(at * COLUMN_S, latest_s), name, at * COLUMN_S)
                for at, name in enumerate(names)
            ]
            for names in LAYOUT
        ),
        [_Stretch(twelve[RHYTHM_LEAD], rate_hz, 0.0, RHYTHM_LEAD, 0.0, seconds)],
    ]
    baselines, depth = _baselines(rows)
    width, height = LEFT_MM + seconds * MM_PER_S + RIGHT_MM, depth + FOOTER_MM
    figure, axes = _paper(width, height)
    for row, below in zip(rows, baselines, strict=True):
        baseline = height - below
        _calibration_pulse(axes, baseline)
        for stretch in row:
            left = LEFT_MM + stretch.column_s * MM_PER_S
            stop_s = stretch.start_s + stretch.length_s
            _trace(axes, stretch.lead, rate_hz, stretch.start_s, stop_s, baseline, LIMIT_MM, left)
            _lead_label(axes, stretch.name, left, baseline)
            if stretch.column_s:
                axes.plot([left, left], [baseline - 3, baseline + 3], color=INK, linewidth=0.5)
    axes.text(LEFT_MM - 9, height - 4.2, title, fontsize=11, fontweight="bold", va="top", color=INK, parse_math=False)
    axes.text(LEFT_MM - 9, height - 10.2, subtitle, fontsize=8, va="top", color=MUTED, parse_math=False)
    axes.text(LEFT_MM - 9, 3.4, "25 mm/s    10 mm/mV", fontsize=7.5, va="center", color=INK)
    axes.text(width - RIGHT_MM, 3.4, f"{rate_hz:g} Hz", fontsize=7.5, va="center", ha="right", color=MUTED)
    if mark:
        axes.text(width / 2, 3.4, mark, fontsize=9, fontweight="bold", va="center", ha="center", color=SYNTHETIC_INK)
    return figure


def draw_comparison(
    rows: list[tuple[str, np.ndarray, np.ndarray]],
    rate_hz: float,
    leads: tuple[str, ...] = ("II", "V1", "V5"),
    seconds: float = 3.0,
    headings: tuple[str, str] = ("Real", "Synthetic"),
) -> Figure:
    """Draw conditions one below the other: a few leads of one ECG on the left, of another on the right, on ECG paper.

    Args:
        rows: (title, left, right); each ECG (8, samples) mV.
        rate_hz: sampling rate of all.
        leads: standard leads to draw.
        seconds: length of each piece.
        headings: what the left and the right half are.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("nothing to compare: rows is empty")
    gap, pitch, head = 6.0, 24.0, 8.0
    piece = seconds * MM_PER_S
    half = len(leads) * (piece + gap)
    width, height = 5.0 + 2 * half + 6.0, 12.0 + len(rows) * (pitch + head)
    figure, axes = _paper(width, height)
    for side, heading in enumerate(headings):
        left = 5.0 + side * (half + 6.0)
        axes.text(left, height - 3.0, heading, fontsize=10, fontweight="bold", va="top", color=INK)
        for number, row in enumerate(rows):
            twelve = dict(
                zip(STANDARD_LEADS, to_twelve_leads(np.asarray(row[1 + side], dtype=np.float64)), strict=True)
            )
            top = height - 11.0 - number * (pitch + head)
            if side == 0:
                _halo(axes.text(left, top - 3.0, row[0], fontsize=8.5, color=INK, zorder=4))
            for column, name in enumerate(leads):
                start = left + column * (piece + gap)
                _trace(axes, twelve[name], rate_hz, 0.0, seconds, top - head - pitch / 2 + 2, 1.35 * pitch, start)
                _halo(axes.text(start, top - 7.0, name, fontsize=7, fontweight="bold", color=INK, zorder=4))
    axes.text(width - 6.0, 2.5, "25 mm/s    10 mm/mV", fontsize=7, va="center", ha="right", color=MUTED)
    return figure


@dataclass(frozen=True)
class _Stretch:
    """A piece of a lead (mV) in a row of the sheet."""

    lead: np.ndarray
    rate_hz: float
    start_s: float
    name: str
    column_s: float
    """Where it is drawn, in seconds from the left."""
    length_s: float = COLUMN_S

    @property
    def reach_mm(self) -> tuple[float, float]:
        """How far it reaches above and below its baseline, as drawn."""
        _, drawn = _curve(self.lead, self.rate_hz, self.start_s, self.start_s + self.length_s)
        if not len(drawn):
            return 0.0, 0.0
        return min(max(float(drawn.max()), 0.0), LIMIT_MM), min(max(-float(drawn.min()), 0.0), LIMIT_MM)


def _baselines(rows: list[list[_Stretch]]) -> tuple[list[float], float]:
    """Where the baselines of rows lie and where the last row ends, in mm from the upper edge."""
    reach = [[stretch.reach_mm for stretch in row] for row in rows]
    highest = [max(up for up, _ in row) for row in reach]
    lowest = [max(down for _, down in row) for row in reach]
    found = [HEADER_MM + max(ROW_MM / 2, highest[0] + GAP_MM)]
    for above, below in pairwise(range(len(rows))):
        # Columns that lie one below the other must not touch; a strip lies below all of them.
        if len(reach[above]) == len(reach[below]):
            apart = max(down + up for (_, down), (up, _) in zip(reach[above], reach[below], strict=True))
        else:
            apart = lowest[above] + highest[below]
        found.append(found[-1] + max(ROW_MM, apart + GAP_MM))
    return found, found[-1] + max(ROW_MM / 2, lowest[-1] + GAP_MM)


def _paper(width_mm: float, height_mm: float) -> tuple[Figure, Axes]:
    """A sheet of millimetre paper; its axes count millimetres from the lower left corner."""
    figure = Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), dpi=150, facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, width_mm)
    axes.set_ylim(0.0, height_mm)
    axes.set_axis_off()
    columns, rows = np.arange(0.0, width_mm + 0.5), np.arange(0.0, height_mm + 0.5)
    upright = np.stack([np.stack([columns, 0 * columns], -1), np.stack([columns, 0 * columns + height_mm], -1)], axis=1)
    level = np.stack([np.stack([0 * rows, rows], -1), np.stack([0 * rows + width_mm, rows], -1)], axis=1)
    for lines in (upright, level):
        axes.add_collection(LineCollection(list(lines), colors=FINE, linewidths=0.35, zorder=0))
        axes.add_collection(LineCollection(list(lines[::5]), colors=BOLD, linewidths=0.6, zorder=1))
    return figure, axes


def _trace(
    axes: Axes,
    lead: np.ndarray,
    rate_hz: float,
    start_s: float,
    stop_s: float,
    baseline: float,
    limit: float,
    left: float,
) -> None:
    """Draw a lead from start to stop (seconds) from a left edge (mm) around a baseline (mm); its scale is kept, what is
    beyond a limit (mm) is cut."""
    seconds, deflection = _curve(lead, rate_hz, start_s, stop_s)
    origin = left - start_s * MM_PER_S
    lowest, highest = axes.get_ylim()
    axes.plot(
        origin + seconds * MM_PER_S,
        np.clip(baseline + deflection, max(baseline - limit, lowest), min(baseline + limit, highest)),
        color=INK,
        linewidth=0.75,
        solid_joinstyle="round",
        antialiased=True,
        zorder=3,
    )


def _curve(lead: np.ndarray, rate_hz: float, start_s: float, stop_s: float) -> tuple[np.ndarray, np.ndarray]:
    """A lead (mV) from start to stop as it is drawn: times (s), and deflections (mm) from the baseline of the whole
    lead, so that it stays in its row whatever the electrode offset."""
    first, last = round(start_s * rate_hz), min(round(stop_s * rate_hz), len(lead) - 1)
    if first >= last:
        return np.empty(0), np.empty(0)
    # Between samples a recording is smooth; straight lines would draw a 100 Hz recording as a polygon.
    at = np.linspace(first, last, (last - first) * max(1, round(DRAWN_HZ / rate_hz)) + 1)
    volts = CubicSpline(np.arange(len(lead)), lead)(at)
    return at / rate_hz, (volts - np.median(lead)) * MM_PER_MV


def _calibration_pulse(axes: Axes, baseline: float) -> None:
    """1 mV for 0.2 s, left of the traces."""
    left = LEFT_MM - 3.0 - PULSE_MM
    x = [left - 1.5, left, left, left + PULSE_MM, left + PULSE_MM, left + PULSE_MM + 1.5]
    y = [baseline, baseline, baseline + MM_PER_MV, baseline + MM_PER_MV, baseline, baseline]
    axes.plot(x, y, color=INK, linewidth=0.75, solid_joinstyle="miter", zorder=3)


def _lead_label(axes: Axes, name: str, left: float, baseline: float) -> None:
    _halo(axes.text(left + 1.2, baseline + 9.0, name, fontsize=8.5, fontweight="bold", color=INK, zorder=4))


def _halo(text: Text) -> None:
    """Keep a label readable where a trace runs behind it."""
    text.set_path_effects([Stroke(linewidth=2.5, foreground=PAPER), Normal()])
