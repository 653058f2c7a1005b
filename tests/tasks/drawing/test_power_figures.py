"""The picture of an attack's power."""

from __future__ import annotations

import pytest

from tasks.drawing.power_figures import draw_power

LINES = {"100 ECGs": [(0.005, 0.1), (0.02, 0.6)], "18,666 ECGs": [(0.005, 0.8), (0.02, 1.0)]}


def test_every_cohort_size_has_a_line_and_what_is_needed_is_crossed() -> None:
    figure = draw_power(LINES, 0.02, 0.95)
    (axes,) = figure.axes
    needed, share, *drawn = axes.lines
    assert list(needed.get_ydata()) == [0.95, 0.95] and list(share.get_xdata()) == [0.02, 0.02]
    assert {line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in drawn} == LINES
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(LINES)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.5 %", "2 %"]


@pytest.mark.parametrize("min_power", [0.0, 0.95])
def test_lines_of_what_is_needed_are_there_only_where_power_is_needed(min_power: float) -> None:
    assert len(draw_power(LINES, 0.02, min_power).axes[0].lines) == (4 if min_power else 2)


def test_many_or_long_labels_stay_within_the_picture() -> None:
    names = ("AUC, records", "share of members found at 10.0% false positives, records", "AUC, patients")
    for lines in (dict.fromkeys(names, LINES["100 ECGs"]), {f"{n},000 ECGs": LINES["100 ECGs"] for n in range(2, 8)}):
        figure = draw_power(lines, 0.5, 0.95)
        figure.draw_without_rendering()
        box, page = figure.legends[0].get_window_extent(), figure.bbox
        assert box.x0 >= 0 and box.x1 <= page.x1 and box.y0 >= 0
