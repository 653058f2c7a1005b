"""RR series: the rate asked for, the spectrum of breathing and Mayer waves, ectopic beats and their pauses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import lombscargle

from models.simulator.rhythms import Beats, draw_beats

LONG_S = 300.0


def drawn(seed: int, rows: int, rate_bpm: float = 75.0, duration_s: float = LONG_S, **chosen: torch.Tensor) -> Beats:
    variability = chosen.pop("rr_variability", torch.full((rows,), 0.04))
    generator = torch.Generator().manual_seed(seed)
    return draw_beats(torch.full((rows,), rate_bpm), variability, duration_s, generator, **chosen)


def test_sinus_rhythm_varies_at_the_rates_of_mayer_waves_and_breathing() -> None:
    beats = drawn(seed=1, rows=12)
    frequency = np.arange(0.03, 0.45, 0.005)
    power = np.mean(
        [
            lombscargle(time, rr - rr.mean(), 2 * np.pi * frequency)
            for time, rr in zip(beats.r_time_s.double().numpy(), beats.rr_s.double().numpy(), strict=True)
        ],
        axis=0,
    )
    low, high = (frequency > 0.06) & (frequency < 0.14), (frequency > 0.2) & (frequency < 0.3)
    assert power[low].sum() + power[high].sum() > 0.8 * power.sum()
    assert 0.3 < power[low].sum() / power[high].sum() < 0.8  # LF/HF of 0.5


def test_variability_is_the_one_asked_for() -> None:
    beats = drawn(seed=2, rows=30)
    assert float((beats.rr_s.std(dim=1) / beats.rr_s.mean(dim=1)).mean()) == pytest.approx(0.04, rel=0.1)


@pytest.mark.parametrize("rate_bpm", [40.0, 75.0, 160.0])
def test_the_mean_interval_is_the_one_asked_for(rate_bpm: float) -> None:
    beats = drawn(seed=3, rows=40, rate_bpm=rate_bpm, duration_s=10.0)
    for time, rr in zip(beats.r_time_s, beats.rr_s, strict=True):
        inside = (time[1:] < 10.0) & (time[:-1] > 0)
        assert 60.0 / np.mean(rr[1:][inside].numpy()) == pytest.approx(rate_bpm, abs=1.0)
    assert float(beats.r_time_s[:, 0].max()) < 0.0 and float(beats.r_time_s[:, -1].min()) > 10.0


def test_fibrillation_has_no_memory() -> None:
    fibrillating = torch.ones(40, dtype=torch.bool)
    beats = drawn(seed=4, rows=40, rr_variability=torch.full((40,), 0.2), fibrillation=fibrillating)
    rr = beats.rr_s - beats.rr_s.mean(dim=1, keepdim=True)
    neighbours = (rr[:, 1:] * rr[:, :-1]).mean() / rr.square().mean()
    assert abs(float(neighbours)) < 0.05
    assert float((beats.rr_s.std(dim=1) / beats.rr_s.mean(dim=1)).mean()) == pytest.approx(0.2, rel=0.15)


def test_ectopic_beats_are_early_single_and_followed_by_a_pause() -> None:
    beats = drawn(seed=5, rows=50, duration_s=10.0, ectopic_share=torch.full((50,), 0.15))
    assert not (beats.ectopic[:, 1:] & beats.ectopic[:, :-1]).any()
    inside = (beats.r_time_s > 0) & (beats.r_time_s < 10.0)
    assert (beats.ectopic & inside).any(dim=1).all()  # everybody shows one
    usual = 60.0 / 75.0
    assert float(beats.rr_s[:, :-1][beats.ectopic[:, :-1]].median()) < 0.8 * usual
    assert float(beats.rr_s[:, 1:][beats.ectopic[:, :-1]].median()) > 1.2 * usual


def test_without_a_share_no_beat_is_ectopic() -> None:
    assert not drawn(seed=6, rows=5).ectopic.any()
    assert not drawn(seed=6, rows=5, ectopic_share=torch.zeros(5)).ectopic.any()
