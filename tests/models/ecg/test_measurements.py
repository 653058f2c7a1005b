"""Measurements against cardiologists' marks (LUDB) and against signals whose truth is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from benchmarks.ludb import RATE_HZ, Annotated, read_ludb
from models.ecg.r_peaks import locate_r_peaks
from models.leads import STANDARD_LEADS
from tests.models.located import flags, measure
from warehouse.schema import MEASURED_FEATURES


@pytest.fixture(scope="module")
def ludb(shared_data: Path) -> list[Annotated]:
    return read_ludb(shared_data / "ludb")


def at_rate(ludb: list[Annotated], rate_hz: int) -> np.ndarray:
    signal = np.stack([one.signal for one in ludb])
    return signal if rate_hz == RATE_HZ else resample_poly(signal, rate_hz, RATE_HZ, axis=-1).astype(np.float32)


def beat_train(
    rate_bpm: float,
    rate_hz: int = 100,
    seconds: float = 10.0,
    sign: float = 1.0,
    t_wave: float = 0.3,
    width_s: float = 0.015,
) -> tuple[np.ndarray, np.ndarray]:
    """Eight leads of Gaussian P, QRS and T waves and the times of the R peaks."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    r_times = np.arange(0.4 * 60 / rate_bpm, seconds, 60 / rate_bpm)
    scale = (60 / rate_bpm) ** (1 / 3)
    lead = np.zeros_like(time)
    for r_time in np.concatenate([[r_times[0] - 60 / rate_bpm], r_times, [r_times[-1] + 60 / rate_bpm]]):
        for height, centre, spread in (
            (0.12, -0.16 * scale, 0.02),
            (1.0, 0.0, width_s),
            (t_wave, 0.26 * scale, 0.04 * scale),
        ):
            lead += height * np.exp(-0.5 * ((time - r_time - centre) / spread) ** 2)
    gains = np.array([0.6, 0.9, -0.5, 0.4, 0.8, 1.4, 1.2, 1.0])
    return (sign * gains[:, None] * lead).astype(np.float32), r_times


@pytest.mark.parametrize("rate_hz", [100, 500])
def test_r_peaks_agree_with_cardiologists(ludb: list[Annotated], rate_hz: int) -> None:
    hits = found = marked = 0
    errors = []
    for one, peaks in zip(ludb, locate_r_peaks(at_rate(ludb, rate_hz), rate_hz), strict=True):
        seconds = peaks / rate_hz
        # LUDB leaves the first and last beats unmarked.
        inside = seconds[(seconds > one.r_peaks_s[0] - 0.15) & (seconds < one.r_peaks_s[-1] + 0.15)]
        distance = np.abs(inside[:, None] - one.r_peaks_s)
        hits += int((distance.min(axis=0) < 0.1).sum())
        found, marked = found + len(inside), marked + len(one.r_peaks_s)
        errors.append(abs(60 / np.median(np.diff(inside)) - 60 / np.median(np.diff(one.r_peaks_s))))
    assert hits / marked >= 0.99
    assert hits / found >= 0.99
    assert np.mean(errors) <= 1.0


@pytest.mark.parametrize("rate_hz", [100, 500])
@pytest.mark.parametrize(("feature", "bound_ms"), [("qrs_ms", 7.0), ("pr_ms", 7.0), ("qt_ms", 15.0)])
def test_intervals_agree_with_cardiologists(ludb: list[Annotated], rate_hz: int, feature: str, bound_ms: float) -> None:
    measured = measure(at_rate(ludb, rate_hz), rate_hz)[feature]
    marked = np.array([getattr(one, feature) for one in ludb])
    both = np.isfinite(measured) & np.isfinite(marked)
    assert both.sum() >= 0.8 * len(ludb)
    assert np.median(np.abs(measured - marked)[both]) <= bound_ms
    # Not only the median: nine in ten are within a few samples, QT within its usual disagreement between observers.
    assert np.quantile(np.abs(measured - marked)[both], 0.9) <= {"qrs_ms": 20.0, "pr_ms": 22.0, "qt_ms": 60.0}[feature]


def test_p_waves_agree_with_cardiologists(ludb: list[Annotated]) -> None:
    found = measure(at_rate(ludb, 100), 100)["p_present"]
    marked = np.isfinite([one.pr_ms for one in ludb])
    assert found[marked].mean() >= 0.93
    assert (~found[~marked]).mean() >= 0.6


@pytest.mark.parametrize("rate_hz", [100, 500])
@pytest.mark.parametrize("bpm", [30, 45, 60, 100, 150, 220])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_heart_rates_from_30_to_220(rate_hz: int, bpm: int, sign: float) -> None:
    signal, r_times = beat_train(bpm, rate_hz, sign=sign)
    (peaks,) = locate_r_peaks(signal[None], rate_hz)
    assert len(peaks) == len(r_times)
    assert np.abs(peaks / rate_hz - r_times).max() <= 0.02
    assert measure(signal[None], rate_hz)["heart_rate_bpm"][0] == pytest.approx(bpm, abs=0.5 if bpm < 200 else 1.0)


@pytest.mark.parametrize("seconds", [1.0, 3.0, 60.0])
def test_lengths_from_one_second_to_a_minute(seconds: float) -> None:
    signal, r_times = beat_train(72, seconds=seconds)
    (peaks,) = locate_r_peaks(signal[None], 100)
    assert len(peaks) == len(r_times)


def test_tall_t_waves_are_not_beats() -> None:
    signal, r_times = beat_train(55, t_wave=1.2, width_s=0.018)
    (peaks,) = locate_r_peaks(signal[None], 100)
    assert np.abs(peaks / 100 - r_times).max() <= 0.02


def test_flat_and_noisy_leads_do_not_spoil_the_others() -> None:
    signal, r_times = beat_train(80)
    random = np.random.default_rng(1)
    signal[[0, 2, 3]] = 0.0
    signal[6] = random.normal(0, 0.4, signal.shape[1])
    signal[7, 367] += 8.0
    (peaks,) = locate_r_peaks(signal[None], 100)
    assert len(peaks) == len(r_times)
    assert np.abs(peaks / 100 - r_times).max() <= 0.03


def test_nothing_is_found_in_nothing() -> None:
    random = np.random.default_rng(2)
    silence, noise = np.zeros((8, 1000)), random.normal(0, 0.1, (8, 1000))
    signal = np.stack([silence, noise]).astype(np.float32)
    measured = measure(signal, 100)
    assert measured["r_peaks"].tolist() == [0, 0]
    assert np.isnan(measured["heart_rate_bpm"]).all()
    assert np.isnan(measured["st_level_mv"]).all()
    assert not measured["p_present"].any()
    assert all("no_r_peaks" in found for found in flags(signal, 100))


def test_keys_and_shapes_are_those_of_the_schema() -> None:
    signal = np.stack([beat_train(70)[0], beat_train(90)[0], np.zeros((8, 1000), np.float32)])
    measured = measure(signal, 100)
    assert set(measured) == set(MEASURED_FEATURES)
    per_lead = {"st_level_mv", "t_amplitude_mv", "r_amplitude_mv"}
    assert all(values.shape == ((3, 12) if name in per_lead else (3,)) for name, values in measured.items())
    empty = measure(signal[:0], 100)
    assert set(empty) == set(MEASURED_FEATURES) and all(len(values) == 0 for values in empty.values())


def test_a_recording_does_not_depend_on_its_batch() -> None:
    signal = np.stack([beat_train(bpm)[0] for bpm in (50, 70, 120)])
    together, alone = measure(signal, 100), measure(signal[1:2], 100)
    for name, values in alone.items():
        np.testing.assert_allclose(values[0], together[name][1], rtol=1e-4, atol=1e-5)


def test_amplitudes_and_axis_of_a_known_beat() -> None:
    signal, _ = beat_train(60, 500)
    measured = measure(signal[None], 500)
    lead = {name: index for index, name in enumerate(STANDARD_LEADS)}
    assert measured["r_amplitude_mv"][0, lead["V4"]] == pytest.approx(1.4, abs=0.04)
    assert measured["r_amplitude_mv"][0, lead["V1"]] == pytest.approx(0.0, abs=0.03)
    assert measured["t_amplitude_mv"][0, lead["V5"]] == pytest.approx(0.36, abs=0.03)
    assert measured["t_amplitude_mv"][0, lead["V1"]] == pytest.approx(-0.15, abs=0.03)
    assert np.abs(measured["st_level_mv"][0]).max() < 0.03
    lead_i, lead_avf = 0.6, 0.9 - 0.6 / 2
    expected = math.degrees(math.atan2(2 / math.sqrt(3) * lead_avf, lead_i))
    assert measured["axis_deg"][0] == pytest.approx(expected, abs=2.0)
    assert measured["qtc_ms"][0] == pytest.approx(measured["qt_ms"][0], rel=0.01)


def test_st_elevation_is_measured_against_the_pr_segment() -> None:
    signal, r_times = beat_train(60)
    time = np.arange(1000) / 100
    for r_time in r_times:
        signal[4] += 0.2 * ((time > r_time + 0.05) & (time < r_time + 0.20))
    signal += 1.5  # an electrode offset must not matter
    level = measure(signal[None], 100)["st_level_mv"][0]
    assert level[STANDARD_LEADS.index("V3")] == pytest.approx(0.2, abs=0.05)
    assert abs(level[STANDARD_LEADS.index("V6")]) < 0.05


def test_flat_leads_are_missing_not_zero() -> None:
    signal, _ = beat_train(70)
    signal[0] = 0.0
    signal[3] = 0.5
    measured = measure(signal[None], 100)
    missing = np.isnan(measured["r_amplitude_mv"][0])
    expected = {"I", "III", "aVR", "aVL", "aVF", "V2"}
    assert {name for name, gone in zip(STANDARD_LEADS, missing, strict=True) if gone} == expected
    assert np.isnan(measured["axis_deg"][0])
    assert np.isfinite(measured["heart_rate_bpm"][0])


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        locate_r_peaks(np.zeros((8, 1000)), 100)
