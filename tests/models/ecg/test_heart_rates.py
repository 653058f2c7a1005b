"""Beats and heart rates where detectors fail: slow, fast, irregular, ectopic and paced rhythms, lost signal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import wfdb
from scipy.signal import resample_poly

from models.ecg.r_peaks import locate_r_peaks, mean_rr
from models.leads import INDEPENDENT_LEADS
from models.simulator.artefacts import baseline_wander, muscle_noise
from models.simulator.dipole import to_leads
from models.simulator.heart_simulator import dipole_signal
from models.simulator.hearts import draw_anatomy, draw_hearts
from models.simulator.rhythms import draw_beats, fibrillation_waves
from models.simulator.simulated_conditions import PROGRAMS, Program
from tests.models.located import measure

RATE_HZ = 500
SECONDS = 10.0
EDGE_S = 0.4
"""What lies this close to either end may belong to a beat outside."""
ECGS = 12
SINUS = PROGRAMS["normal sinus rhythm"]
TALL_T = replace(
    SINUS, waves=tuple(replace(w, x=3.5 * w.x, y=3.5 * w.y, z=3.5 * w.z) if w.kind == "T" else w for w in SINUS.waves)
)


def simulated(
    program: Program, bpm: tuple[float, float], ectopic_share: float = 0.0, seed: int = 1
) -> tuple[np.ndarray, list[np.ndarray]]:
    """`ECGS` recordings at heart rates between two, (ECGS, 8, samples) mV, and their R peaks in seconds."""
    generator = torch.Generator().manual_seed(seed)
    anatomy = draw_anatomy(torch.linspace(30, 85, ECGS), (torch.arange(ECGS) % 2).long(), generator)
    hearts = draw_hearts([program] * ECGS, anatomy, generator, torch.linspace(*bpm, ECGS))
    beats = draw_beats(
        hearts.heart_rate_bpm,
        hearts.rr_variability,
        SECONDS,
        generator,
        hearts.fibrillation,
        torch.full((ECGS,), ectopic_share),
    )
    samples, leads = round(SECONDS * RATE_HZ), len(INDEPENDENT_LEADS)
    dipole = dipole_signal(hearts, beats, RATE_HZ, samples)
    dipole = dipole + fibrillation_waves(hearts.fibrillation_mv, RATE_HZ, samples, generator)
    signal = to_leads(dipole) * hearts.lead_gain[..., None]
    signal = signal + baseline_wander(hearts.wander_mv, leads, samples, RATE_HZ, generator)
    signal = signal + muscle_noise(hearts.noise_mv, leads, samples, RATE_HZ, generator)
    times = beats.r_time_s.numpy()
    return signal.numpy(), [row[(row >= 0) & (row < SECONDS)] for row in times]


def with_spikes(signal: np.ndarray, r_times: list[np.ndarray], before_s: float) -> np.ndarray:
    """Pacemaker spikes of 2 ms, 0.5 to 3 mV, a time before each beat."""
    random, paced = np.random.default_rng(2), signal.copy()
    for row, times in enumerate(r_times):
        height = random.uniform(0.5, 3.0) * random.uniform(0.3, 1.0, 8) * random.choice([-1.0, 1.0], 8)
        for at in np.rint((times - before_s) * RATE_HZ).astype(int):
            if at >= 0:
                paced[row, :, at] += height
    return paced


def same_beats(signal: np.ndarray, r_times: list[np.ndarray], rate_hz: int) -> None:
    """Every beat is found within 100 ms, nothing else is, and the heart rate is that of the beats; ends aside."""
    at_rate = resample_poly(signal, rate_hz, RATE_HZ, axis=-1).astype(np.float32) if rate_hz != RATE_HZ else signal
    located = locate_r_peaks(at_rate, rate_hz)
    rates = measure(at_rate, rate_hz)["heart_rate_bpm"]
    for peaks, true, rate in zip(located, r_times, rates, strict=True):
        seconds = peaks / rate_hz
        distance = np.abs(seconds[:, None] - true)
        inner = [(times > EDGE_S) & (times < SECONDS - EDGE_S) for times in (seconds, true)]
        assert (distance.min(axis=1)[inner[0]] < 0.1).all(), f"no beats: {seconds}, {true}"
        assert (distance.min(axis=0)[inner[1]] < 0.1).all(), f"missed: {seconds}, {true}"
        assert rate == pytest.approx(60 / np.mean(np.diff(true)), rel=0.05)


@pytest.mark.parametrize("rate_hz", [100, 500])
@pytest.mark.parametrize(
    ("program", "bpm", "ectopic_share"),
    [
        pytest.param(SINUS, (18, 26), 0.0, id="20 bpm"),
        pytest.param(SINUS, (26, 40), 0.0, id="30 bpm"),
        pytest.param(SINUS, (200, 280), 0.0, id="220 bpm and more"),
        pytest.param(PROGRAMS["left bundle branch block"], (25, 40), 0.0, id="slow and wide"),
        pytest.param(PROGRAMS["left bundle branch block"], (130, 180), 0.0, id="fast and wide"),
        pytest.param(PROGRAMS["atrial fibrillation"], (40, 120), 0.0, id="atrial fibrillation"),
        pytest.param(SINUS, (50, 75), 1.0, id="bigeminy"),
        pytest.param(TALL_T, (45, 130), 0.0, id="tall T"),
    ],
)
def test_every_beat_is_found_and_nothing_else(
    rate_hz: int, program: Program, bpm: tuple[float, float], ectopic_share: float
) -> None:
    same_beats(*simulated(program, bpm, ectopic_share), rate_hz)


@pytest.mark.parametrize("rate_hz", [100, 500])
@pytest.mark.parametrize(("program", "before_s"), [("normal sinus rhythm", 0.2), ("left bundle branch block", 0.07)])
def test_pacemaker_spikes_are_not_beats(rate_hz: int, program: str, before_s: float) -> None:
    signal, r_times = simulated(PROGRAMS[program], (60, 80))
    same_beats(with_spikes(signal, r_times, before_s), r_times, rate_hz)


@pytest.mark.parametrize("rate_hz", [100, 500])
@pytest.mark.parametrize("lost", [slice(2500, 5000), slice(0, 2500)], ids=["second half", "first half"])
def test_lost_signal_has_no_beats(rate_hz: int, lost: slice) -> None:
    signal, r_times = simulated(SINUS, (55, 110))
    signal[..., lost] = np.random.default_rng(3).normal(0, 0.005, (ECGS, 8, 2500))
    at_rate = resample_poly(signal, rate_hz, RATE_HZ, axis=-1).astype(np.float32)
    rates = measure(at_rate, rate_hz)["heart_rate_bpm"]
    for peaks, true, rate in zip(locate_r_peaks(at_rate, rate_hz), r_times, rates, strict=True):
        # The cut itself is a step, which may look like a beat.
        found = [times[np.abs(times - SECONDS / 2) > 0.15] for times in (peaks / rate_hz, true)]
        seconds, true = (times[(times < SECONDS / 2) == (lost.start > 0)] for times in found)
        assert len(seconds) == len(found[0])
        assert np.abs(seconds[:, None] - true).min(axis=1).max() < 0.1
        assert rate == pytest.approx(60 / np.mean(np.diff(true)), rel=0.05)


@pytest.mark.parametrize("rate_hz", [100, 500])
def test_beats_are_found_under_noise(rate_hz: int) -> None:
    signal, r_times = simulated(SINUS, (55, 110))
    signal[..., 2500:] += np.random.default_rng(4).normal(0, 0.15, (ECGS, 8, 2500))
    same_beats(signal, r_times, rate_hz)


def test_a_rate_counts_every_beat_and_no_gap() -> None:
    bigeminy = np.array([0.0, 0.5, 1.7, 2.2, 3.4, 3.9, 5.1])
    assert 60 / mean_rr(bigeminy) == pytest.approx(60 * 6 / 5.1)
    assert mean_rr(np.array([0.0, 1.0, 2.0, 6.0, 7.0])) == pytest.approx(1.0)
    assert np.isnan(mean_rr(np.array([1.0])))


@pytest.mark.parametrize(("case", "bpm"), [("slow_20_bpm", 20.0), ("second_half_lost", 60.0)])
def test_hard_cases(shared_data: Path, case: str, bpm: float) -> None:
    rate_hz, signal = read(shared_data / "hard_cases" / case / "r")
    assert measure(signal[None], rate_hz)["heart_rate_bpm"][0] == pytest.approx(bpm, abs=1.0)


def test_bigeminy_has_the_rate_of_all_beats(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "ptbxl" / "ptbxl_database.csv")
    names = table.filename_lr[table.scp_codes.str.contains("'BIGU'")]
    recordings = [read(shared_data / "ptbxl" / name) for name in names]
    assert recordings
    for rate_hz, signal in recordings:
        (peaks,) = locate_r_peaks(signal[None], rate_hz)
        rate = measure(signal[None], rate_hz)["heart_rate_bpm"][0]
        assert rate == pytest.approx(60 * rate_hz * (len(peaks) - 1) / (peaks[-1] - peaks[0]), rel=1e-3)
        short, long = np.quantile(np.diff(peaks), [0.25, 0.75])
        assert 60 * rate_hz / long < rate < 60 * rate_hz / short


def read(path: Path) -> tuple[float, np.ndarray]:
    """Sampling rate and the eight leads in mV of a WFDB record."""
    record = wfdb.rdrecord(str(path))
    names = [name.upper() for name in record.sig_name]
    return record.fs, record.p_signal[:, [names.index(lead.upper()) for lead in INDEPENDENT_LEADS]].T.astype(np.float32)
