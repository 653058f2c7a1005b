"""ECG paper: true to scale, labelled, marked as synthetic."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from models.leads import STANDARD_LEADS, to_twelve_leads
from models.simulator.heart_simulator import simulate
from models.simulator.hearts import draw_anatomy, draw_hearts
from models.simulator.simulated_conditions import PROGRAMS
from tasks.drawing.ecg_paper import INK, LEFT_MM, MM_PER_INCH, draw_comparison, draw_ecg


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    generator = torch.Generator().manual_seed(1)
    anatomy = draw_anatomy(torch.tensor([60.0]), torch.tensor([1]), generator)
    hearts = draw_hearts([PROGRAMS["normal sinus rhythm"]], anatomy, generator)
    return simulate(hearts, generator).numpy()[0]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def traces(figure: Figure) -> list[np.ndarray]:
    """Drawn lines as (points, 2) in millimetres, the long ones only."""
    lines = [np.asarray(line.get_xydata()) for line in figure.axes[0].lines if line.get_color() == INK]
    return [line for line in lines if len(line) > 100]


def pixels(figure: Figure, dpi: int) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, format="rgba")
    width, height = (int(inches * dpi) for inches in figure.get_size_inches())
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8).reshape(height, width, 4)


def test_one_unit_of_the_axes_is_one_millimetre(signal: np.ndarray) -> None:
    figure = draw_ecg(signal, 100, "Normal sinus rhythm")
    axes = figure.axes[0]
    width, height = figure.get_size_inches() * MM_PER_INCH
    assert axes.get_xlim() == pytest.approx((0, width)) and axes.get_ylim() == pytest.approx((0, height))
    assert axes.get_position().bounds == (0, 0, 1, 1)


def test_time_and_voltage_are_to_scale(signal: np.ndarray) -> None:
    figure = draw_ecg(signal, 100, "Normal sinus rhythm")
    drawn = traces(figure)
    assert len(drawn) == 13  # twelve leads and the rhythm strip
    strip = max(drawn, key=lambda line: np.ptp(line[:, 0]))
    lead_ii = signal[1]
    assert np.ptp(strip[:, 0]) == pytest.approx(25.0 * (len(lead_ii) - 1) / 100)
    at_samples = strip[::5]  # drawn five points per sample
    np.testing.assert_allclose((at_samples[:, 0] - LEFT_MM) / 25.0, np.arange(len(lead_ii)) / 100, atol=1e-6)
    volts = (at_samples[:, 1] - np.median(at_samples[:, 1])) / 10.0
    np.testing.assert_allclose(volts, lead_ii - np.median(lead_ii), atol=0.005)


def test_columns_show_simultaneous_stretches_of_all_twelve_leads(signal: np.ndarray) -> None:
    figure = draw_ecg(signal, 100, "Normal sinus rhythm")
    drawn = [line for line in traces(figure) if np.ptp(line[:, 0]) < 100]
    twelve = dict(zip(STANDARD_LEADS, to_twelve_leads(signal), strict=True))
    layout = ("I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6")
    for line, name in zip(drawn, layout, strict=True):
        first = round((line[0, 0] - LEFT_MM) / 25.0 * 100)
        stretch = twelve[name][first : first + 100]
        assert np.corrcoef(line[: 5 * 100 : 5, 1], stretch)[0, 1] > 0.999, name
    assert set(STANDARD_LEADS) <= set(texts(figure))


def test_tall_waves_reach_neither_the_row_above_nor_the_title(signal: np.ndarray) -> None:
    tall = signal * (4.0 / np.abs(signal).max(axis=1, keepdims=True))  # R or S waves of 4 mV in every lead
    figure = draw_ecg(tall, 100, "Left ventricular hypertrophy", "male, 70 years")
    *columns, strip = traces(figure)
    title = min(text.get_position()[1] for text in figure.axes[0].texts if "male" in text.get_text())
    rows = [columns[at : at + 4] for at in (0, 4, 8)]
    assert max(line[:, 1].max() for line in rows[0]) < title - 3.0
    for above, below in pairwise(rows):
        for higher, lower in zip(above, below, strict=True):
            assert lower[:, 1].max() < higher[:, 1].min()
    assert strip[:, 1].max() < min(line[:, 1].min() for line in rows[2])
    heights = {round(float(np.ptp(line[:, 1])), 1) for line in columns}
    assert max(heights) > 40.0, "the scale is kept: 4 mV are 40 mm"


def test_it_carries_scale_title_and_mark(signal: np.ndarray) -> None:
    figure = draw_ecg(signal, 100, "Atrial fibrillation", "female, 70 years")
    found = texts(figure)
    assert {"Atrial fibrillation", "female, 70 years", "SYNTHETIC"} <= set(found)
    assert any("25 mm/s" in text and "10 mm/mV" in text for text in found)
    assert "SYNTHETIC" not in texts(draw_ecg(signal, 100, "Real", mark=""))


def test_calibration_pulse_is_one_millivolt_for_a_fifth_of_a_second(signal: np.ndarray) -> None:
    figure = draw_ecg(signal, 100, "x")
    lines = [np.asarray(line.get_xydata()) for line in figure.axes[0].lines]
    pulses = [line for line in lines if len(line) == 6]
    assert len(pulses) == 4
    for pulse in pulses:
        assert np.ptp(pulse[:, 1]) == pytest.approx(10.0)
        assert pulse[3, 0] - pulse[2, 0] == pytest.approx(5.0)


def test_the_picture_shows_pink_paper_and_dark_traces(signal: np.ndarray) -> None:
    image = pixels(draw_ecg(signal, 100, "x"), 100)[..., :3].astype(int)
    dark = (image < 90).all(axis=-1).mean()
    pink = (image[..., 0] > image[..., 1] + 8).mean()
    assert 0.003 < dark < 0.08 and pink > 0.15


@pytest.mark.parametrize(("rate_hz", "samples"), [(500, 5000), (100, 300), (250, 1250), (250, 15000)])
def test_any_rate_and_length(rate_hz: int, samples: int) -> None:
    wave = np.sin(np.arange(samples) / rate_hz * 6.0)
    drawn = traces(draw_ecg(np.tile(wave, (8, 1)), rate_hz, "x"))
    assert len(drawn) == 13
    assert max(line[:, 0].max() for line in drawn) <= LEFT_MM + 250.0 + 1e-6
    columns = sorted(drawn, key=lambda line: np.ptp(line[:, 0]))[:12]
    # The last of the first 10 s ends with its last sample, or with the recording.
    assert min(np.ptp(line[:, 0]) for line in columns) >= 62.5 - 25.0 / rate_hz - 1e-6


STEPS = np.tile(np.where(np.arange(1000) // 7 % 2, 5.0, -0.5), (8, 1))
"""Steps between samples, beyond which the drawn curve swings."""


@pytest.mark.parametrize("shape", ["tall", "steps", "offset", "spike"])
def test_no_trace_leaves_its_paper(signal: np.ndarray, shape: str) -> None:
    spike = signal.copy()
    spike[:, 500] = 32.0
    drawn = {"tall": signal * 20, "steps": STEPS, "offset": signal + 30.0, "spike": spike}[shape]
    for figure in (draw_ecg(drawn, 100, "x"), draw_comparison([("x", drawn, -drawn), ("y", drawn, drawn)], 100)):
        right, top = figure.get_size_inches() * MM_PER_INCH
        for line in traces(figure):
            assert line.min() >= 0.0 and line[:, 0].max() <= right and line[:, 1].max() <= top


def test_curves_that_swing_beyond_their_samples_reach_neither_the_row_above_nor_the_title() -> None:
    figure = draw_ecg(STEPS, 100, "x", "subtitle")
    *columns, _ = traces(figure)
    title = min(text.get_position()[1] for text in figure.axes[0].texts if text.get_text() == "subtitle")
    assert max(line[:, 1].max() for line in columns[:4]) < title - 3.0
    for above, below in pairwise([columns[at : at + 4] for at in (0, 4, 8)]):
        assert all(lower[:, 1].max() < higher[:, 1].min() for higher, lower in zip(above, below, strict=True))


def test_figures_do_not_share_state(signal: np.ndarray) -> None:
    import matplotlib.pyplot as plt

    draw_ecg(signal, 100, "x")
    assert plt.get_fignums() == []


def test_comparison_puts_both_side_by_side(signal: np.ndarray) -> None:
    rows = [("Normal sinus rhythm", signal, -signal), ("Atrial fibrillation", signal, signal)]
    figure = draw_comparison(rows, 100)
    assert {"Real", "Synthetic", "Normal sinus rhythm", "Atrial fibrillation", "II", "V1", "V5"} <= set(texts(figure))
    drawn = traces(figure)
    assert len(drawn) == 2 * 2 * 3
    assert all(np.ptp(line[:, 0]) == pytest.approx(75.0) for line in drawn)
    with pytest.raises(ValueError, match="empty"):
        draw_comparison([], 100)


def test_wrong_shape_is_refused(signal: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        draw_ecg(signal[:3], 100, "x")


def test_dollar_signs_in_a_title_are_no_mathematics(signal: np.ndarray) -> None:
    figure = draw_ecg(signal, 100, "$x_$ and \\frac", "$\\sqrt$")
    assert len(pixels(figure, 30))
    assert "$x_$ and \\frac" in texts(figure)
