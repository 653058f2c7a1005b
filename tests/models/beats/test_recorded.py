"""Beats of recordings: the usual and the ectopic one are separated and fitted each by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.beats.recorded import PACED, VENTRICULAR_PREMATURE, beats_of_recordings
from models.simulator.beat_events import EVENTS, event_shapes, fit_events, simulated_ecg

pytestmark = pytest.mark.usefixtures("one_thread")

RATE_HZ, SAMPLES = 100, 1000
R_S = np.arange(0.6, 10.0, 0.85)


def wave(height_mv: float, centre_s: float, width_s: float) -> torch.Tensor:
    """Amplitudes (1, 8, events) of one bump in every lead."""
    bump = height_mv * torch.exp(-0.5 * ((EVENTS[:, 0] - centre_s) / width_s).square())
    return bump.expand(1, 8, -1).clone()


USUAL = wave(0.15, -0.16, 0.02) + wave(0.8, 0.0, 0.012) + wave(0.2, 0.28, 0.05)
ECTOPIC = wave(-1.2, 0.01, 0.04) + wave(0.5, 0.3, 0.06)


def recording(ectopic: np.ndarray) -> np.ndarray:
    """(8, samples) with ectopic beats where the mask says."""
    parts = []
    for beat, chosen in ((USUAL, ~ectopic), (ECTOPIC, ectopic)):
        if chosen.any():
            seconds = torch.arange(SAMPLES) / RATE_HZ
            shapes = sum(event_shapes(seconds - r, torch.tensor([0.85]))[0] for r in R_S[chosen])
            parts.append((beat[0] @ shapes).numpy())
    return np.sum(parts, axis=0).astype(np.float32)


def drawn(amplitude: torch.Tensor) -> torch.Tensor:
    """(n, 8, samples) of one beat, to compare amplitudes by what they draw."""
    return amplitude @ event_shapes(torch.arange(-0.35, 0.5, 0.005), torch.tensor([0.85]))[0]


def test_both_beats_are_found() -> None:
    ectopic = np.zeros(len(R_S), dtype=bool)
    ectopic[[2, 5, 8]] = True
    rows, beats = beats_of_recordings(
        recording(ectopic)[None], [R_S * RATE_HZ], [np.where(ectopic, VENTRICULAR_PREMATURE, 0)], RATE_HZ
    )
    assert rows.tolist() == [0] and beats.has_ectopic.tolist() == [True]
    assert (drawn(beats.usual) - drawn(USUAL)).abs().max() < 0.08
    assert (drawn(beats.ectopic) - drawn(ECTOPIC)).abs().max() < 0.08
    assert (beats.ectopic[:, :, EVENTS[:, 0] < -0.1] == 0).all()


def test_one_ectopic_beat_is_enough_and_the_usual_beat_is_that_of_the_others() -> None:
    ectopic = np.arange(len(R_S)) == 4
    kinds = np.where(ectopic, VENTRICULAR_PREMATURE, 0)
    _, beats = beats_of_recordings(recording(ectopic)[None], [R_S * RATE_HZ], [kinds], RATE_HZ)
    assert (drawn(beats.ectopic) - drawn(ECTOPIC)).abs().max() < 0.08
    assert (drawn(beats.usual) - drawn(USUAL)).abs().max() < 0.08


def test_without_ectopic_beats_it_is_the_fit_of_the_simulator() -> None:
    signal = np.stack([recording(np.zeros(len(R_S), dtype=bool))] * 2)
    peaks = [R_S * RATE_HZ, np.array([100.0])]
    rows, beats = beats_of_recordings(signal, peaks, [np.zeros(len(R_S)), np.zeros(1)], RATE_HZ)
    assert rows.tolist() == [0]  # one beat is no median
    assert torch.equal(beats.usual, fit_events(signal, peaks, RATE_HZ).amplitude)
    assert not beats.has_ectopic.any() and (beats.ectopic == 0).all()


def test_paced_beats_are_ectopic_where_most_beats_are_not_paced() -> None:
    signal = recording(np.zeros(len(R_S), dtype=bool))[None]
    mostly, rarely = np.full(len(R_S), PACED), np.where(np.arange(len(R_S)) < 3, PACED, 0)
    for kinds, expected in ((mostly, False), (rarely, True)):
        _, beats = beats_of_recordings(signal, [R_S * RATE_HZ], [kinds], RATE_HZ)
        assert bool(beats.has_ectopic[0]) is expected


def test_simulated_ecgs_of_the_usual_beat_look_like_the_recording() -> None:
    signal = recording(np.zeros(len(R_S), dtype=bool))[None]
    _, beats = beats_of_recordings(signal, [R_S * RATE_HZ], [np.zeros(len(R_S))], RATE_HZ)
    times = torch.from_numpy(R_S).float()[None]
    assert (simulated_ecg(beats.usual, times, RATE_HZ, SAMPLES)[0] - torch.from_numpy(signal[0])).abs().max() < 0.1
