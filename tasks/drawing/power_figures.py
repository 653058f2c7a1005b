"""Power of privacy attacks against the share of rows that leak, as the report draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from tasks.drawing.report_figures import ACCENT, STYLE

SHADES = ("#8fd0c8", "#48a69d", "#0b7a75", "#064b48", "#8a5a00", "#3b5bdb", "#a21caf", "#6b7785")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
Points = Sequence[tuple[float, float]]


def draw_power(lines: Mapping[str, Points], needed_share: float, min_power: float) -> Figure:
    """Power of one attack against the planted share of rows, a line per cohort size or measurement.

    Args:
        lines: label to (share, power), by share.
        needed_share: at which the power decides on the verdict.
        min_power: needed there; 0 if none is.
    """
    with mpl.rc_context(STYLE):
        columns = 1 if max(map(len, lines)) > 14 else min(len(lines), 3)
        figure = Figure(figsize=(4.3, 2.4 + 0.18 * -(-len(lines) // columns)), layout="constrained")
        axes = figure.add_subplot()
        shares = sorted({share for points in lines.values() for share, _ in points})
        axes.set_xscale("log")
        if min_power:
            axes.axhline(min_power, color=ACCENT, linewidth=1, linestyle="--")
            axes.axvline(needed_share, color=ACCENT, linewidth=1, linestyle="--")
        # Equal lines hide each other: every one is a little wider than the next and has a marker of its own.
        for number, (label, points) in enumerate(lines.items()):
            axes.plot(
                [share for share, _ in points],
                [power for _, power in points],
                color=SHADES[number % len(SHADES)],
                marker=MARKERS[number % len(MARKERS)],
                markersize=7.5 - 0.6 * number,
                linewidth=1 + 0.5 * (len(lines) - number),
                label=label,
                clip_on=False,
                zorder=3,
            )
        axes.set_xticks(shares, [f"{100 * share:g} %" for share in shares])
        axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
        axes.set_xlim(shares[0] / 1.15, shares[-1] * 1.15)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("planted share of all rows")
        axes.set_ylabel("trials that break it")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", fontsize=8, ncols=columns)
    return figure
