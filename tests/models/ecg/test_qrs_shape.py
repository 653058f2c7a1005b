"""QRS shapes of beats whose Q, S and terminal forces are known."""

from __future__ import annotations

import numpy as np
import pytest

from models.ecg.qrs_shape import QRS_SHAPES, qrs_shapes
from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS

RATE_HZ = 500
BEATS_S = np.arange(0.6, 9.6, 0.8)


def beats(*waves: tuple[float, float, dict[str, float]]) -> np.ndarray:
    """(1, 8, samples) of equal beats: Gaussian waves of (seconds from R, width in s, lead to height in mV)."""
    time = np.arange(10 * RATE_HZ) / RATE_HZ
    signal = np.zeros((1, len(INDEPENDENT_LEADS), len(time)), np.float32)
    for centre, width, heights in ((-0.16, 0.02, dict.fromkeys(INDEPENDENT_LEADS, 0.1)), *waves):
        bumps = sum(np.exp(-0.5 * ((time - at - centre) / width) ** 2) for at in BEATS_S)
        for lead, height in heights.items():
            signal[0, INDEPENDENT_LEADS.index(lead)] += height * bumps
    return signal


def shape(signal: np.ndarray, name: str, lead: str) -> float:
    return float(qrs_shapes(signal, [BEATS_S * RATE_HZ], RATE_HZ)[name][0, STANDARD_LEADS.index(lead)])


def test_q_and_s_waves_have_the_depth_that_they_were_made_with() -> None:
    main = (0.0, 0.01, dict.fromkeys(INDEPENDENT_LEADS, 1.0))
    q_wave, s_wave = (-0.035, 0.007, {"II": -0.3}), (0.035, 0.007, {"V2": -0.8})
    signal = beats(main, q_wave, s_wave)
    assert shape(signal, "q_amplitude_mv", "II") == pytest.approx(-0.3, abs=0.03)
    assert shape(signal, "q_amplitude_mv", "V2") == pytest.approx(0.0, abs=0.02)
    assert shape(signal, "s_amplitude_mv", "V2") == pytest.approx(-0.8, abs=0.05)
    # aVF = II − I / 2 and III = II − I take the whole Q of II, since I has none.
    assert shape(signal, "q_amplitude_mv", "aVF") == pytest.approx(-0.3, abs=0.03)


def test_a_complex_without_r_is_all_q() -> None:
    signal = beats((0.0, 0.012, {"V1": -1.2, "V5": 1.0, "II": 0.8, "I": 0.5}))
    assert shape(signal, "q_amplitude_mv", "V1") == pytest.approx(-1.2, abs=0.05)
    assert shape(signal, "net_qrs_mv", "V1") < 0 < shape(signal, "net_qrs_mv", "V5")


def test_a_late_r_prime_turns_the_terminal_forces_of_its_lead() -> None:
    main = (0.0, 0.01, {"V1": -0.6, "V6": 1.0, "I": 0.8, "II": 0.8})
    late = (0.06, 0.014, {"V1": 0.6, "V6": -0.4, "I": -0.3})
    plain, block = beats(main), beats(main, late)
    for lead, sign in (("V1", 1), ("V6", -1), ("I", -1)):
        assert sign * shape(block, "terminal_qrs_mv", lead) > 0.05
    assert shape(plain, "terminal_qrs_mv", "V1") < 0


def test_what_has_no_beats_has_no_shape() -> None:
    nothing = qrs_shapes(np.zeros((2, 8, 1000), np.float32), [np.array([]), np.array([300.0])], 100)
    assert set(nothing) == set(QRS_SHAPES)
    assert all(values.shape == (2, 12) and np.isnan(values).all() for values in nothing.values())
    assert all(len(values) == 0 for values in qrs_shapes(np.zeros((0, 8, 1000), np.float32), [], 100).values())
