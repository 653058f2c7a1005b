"""Quality flags: each is raised by what it names, and the vocabulary lists them all."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from models.ecg.electrode_swaps import SWAPS, swap_matrix
from models.ecg.quality_vocabulary import LEAD_FLAGS, RECORDING_FLAGS
from models.ecg.r_peaks import locate_r_peaks
from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from tests.models.ecg.test_measurements import beat_train
from tests.models.located import flags as quality_flags
from tests.warehouse.small_dataset import ordinary_ecg


def test_quality_flags_name_what_is_wrong() -> None:
    clean, _ = beat_train(70)
    flat, saturated, wander, noisy = (clean.copy() for _ in range(4))
    clipped, _ = beat_train(70, width_s=0.03)
    flat[INDEPENDENT_LEADS.index("V3")] = 0.2
    saturated[INDEPENDENT_LEADS.index("II"), 500] = 32.767
    clipped[INDEPENDENT_LEADS.index("V5")] = np.clip(clipped[INDEPENDENT_LEADS.index("V5")] * 2, None, 0.9)
    wander += 1.5 * np.sin(2 * np.pi * 0.2 * np.arange(1000) / 100)
    noisy += np.random.default_rng(3).normal(0, 0.1, noisy.shape)
    silent = np.zeros_like(clean)
    flags = quality_flags(np.stack([clean, flat, saturated, clipped, wander, noisy, silent]), 100)
    assert flags[0] == []
    assert flags[1] == ["flat_lead_v3"]
    assert "saturated_lead_ii" in flags[2]
    assert flags[3] == ["clipped_lead_v5"]
    assert flags[4] == ["baseline_wander"]
    assert flags[5] == ["noisy"]
    assert "no_r_peaks" in flags[6]


def ecg(rate_hz: int = 100) -> np.ndarray:
    """(8, samples) mV of an ordinary adult."""
    return ordinary_ecg(5, rate_hz)[[STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]].astype(np.float32)


def hum(line_hz: float, amplitude_mv: float, rate_hz: int = 500) -> np.ndarray:
    signal = ecg(rate_hz)
    signal[3] += amplitude_mv * np.sin(2 * np.pi * line_hz * np.arange(signal.shape[1]) / rate_hz)
    return signal


def paced(rate_hz: int) -> np.ndarray:
    """Pulses of 2 ms, 120 ms before every R peak, as wide at 100 Hz as its samples."""
    signal = ecg(rate_hz)
    peaks = np.rint(locate_r_peaks(signal[None], rate_hz)[0]).astype(int)
    width = max(1, round(0.002 * rate_hz))
    for at in peaks[peaks > 0.2 * rate_hz]:
        start = at - round(0.12 * rate_hz)
        signal[:, start : start + width] += 0.5
    return signal


def burst(rate_hz: int) -> np.ndarray:
    signal = ecg(rate_hz)
    some = slice(4 * rate_hz, 6 * rate_hz)
    noise = np.repeat(np.random.default_rng(1).normal(0, 0.3, (8, 200)), rate_hz // 100, axis=1)
    signal[:, some] += noise.astype(np.float32)
    return signal


def lost(rate_hz: int) -> np.ndarray:
    signal = ecg(rate_hz)
    signal[:, 5 * rate_hz :] = np.random.default_rng(1).normal(0, 0.005, (8, 5 * rate_hz))
    return signal


RAISED: dict[str, list[tuple[int, np.ndarray]]] = {
    "implausible_amplitude": [(100, ecg() * 0.1), (500, ecg(500) * 0.1), (100, ecg() * 10)],
    "mains_50_hz": [(500, hum(50, 0.2)), (500, hum(49.8, 0.04)), (100, hum(49.9, 0.04, 100))],
    "mains_60_hz": [(500, hum(60, 0.2)), (500, hum(60.1, 0.04))],
    "pacemaker_spikes": [(100, paced(100)), (500, paced(500))],
    "noise_burst": [(100, burst(100)), (500, burst(500))],
    "flat_lead_v3": [(100, lost(100)), (500, lost(500))],
    **{f"electrode_swap_{name}": [(rate, swap_matrix(name) @ ecg(rate)) for rate in (100, 500)] for name in SWAPS},
}


@pytest.mark.parametrize("flag", RAISED)
def test_a_flag_is_raised_at_every_rate(flag: str) -> None:
    for rate_hz, signal in RAISED[flag]:
        assert flag in quality_flags(signal[None].astype(np.float32), rate_hz)[0]


@pytest.mark.parametrize("rate_hz", [100, 500])
def test_an_ordinary_ecg_has_no_flag(rate_hz: int) -> None:
    assert quality_flags(ecg(rate_hz)[None], rate_hz) == [[]]


def test_hum_below_the_bound_is_no_flag() -> None:
    assert quality_flags(np.stack([hum(50, 0.01), hum(60, 0.01), hum(55, 0.01)]), 500) == [[], [], []]


@pytest.mark.parametrize("rate_hz", [100, 500])
def test_noise_means_the_same_at_every_rate(rate_hz: int) -> None:
    """Noise of muscles, the same curve sampled at two rates."""
    fine = np.random.default_rng(2).normal(0, 1, (8, 5000))
    band = sosfiltfilt(butter(4, [15, 45], "bandpass", fs=500, output="sos"), fine, axis=-1)
    band /= band.std()
    quiet, loud = (ecg(rate_hz) + mv * band[:, :: 500 // rate_hz].astype(np.float32) for mv in (0.02, 0.06))
    assert ["noisy" in one for one in quality_flags(np.stack([quiet, loud]), rate_hz)] == [False, True]


def test_every_flag_of_the_vocabulary_is_raised_here() -> None:
    raised = {flag.removesuffix("_v3") for flag in RAISED}
    measured_elsewhere = {"missing_samples"}  # by ingestion, which bridges them
    above = {"saturated_lead", "clipped_lead", "baseline_wander", "noisy", "no_r_peaks"}
    assert raised | measured_elsewhere | above == {*LEAD_FLAGS, *RECORDING_FLAGS}
