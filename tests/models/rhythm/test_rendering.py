"""Rendered ECGs: the simulator's sum of events, each beat of its own shape, atrial waves where there are any."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.beats.beats import Beats
from models.ecg.cardiac_phase import HARMONICS
from models.ecg.cardiac_phase import phase_channels as phase_per_step
from models.leads import INDEPENDENT_LEADS
from models.rhythm.drawn import draw_rhythms
from models.rhythm.phase import PHASE_CHANNELS, phase_channels
from models.rhythm.rendering import render
from models.rhythm.rhythm import (
    ATRIAL_PREMATURE,
    FIBRILLATION,
    FLUTTER,
    NO_ATRIAL,
    P_WAVES,
    PACED,
    SINUS,
    VENTRICULAR_PREMATURE,
    Rhythm,
)
from models.rhythm.statistics import ECTOPIES, RHYTHMS, USUAL
from models.simulator.beat_events import EVENTS, simulated_ecg
from tests.models.rhythm.beats_of_text import textbook_beats

RATE, SAMPLES = 100.0, 1000
SEED = torch.tensor([3])


def one_rhythm(times: list[float], kinds: list[int], atrial: int = P_WAVES, hz: float = 0.0) -> Rhythm:
    kind = torch.tensor([kinds], dtype=torch.int8)
    return Rhythm(
        torch.tensor([times], dtype=torch.float32), kind, torch.tensor([atrial], dtype=torch.int8), torch.tensor([hz])
    )


def mixed(rows: int) -> Rhythm:
    number = torch.arange(rows)
    rates = 45.0 + number * 100 / rows
    return draw_rhythms(number % len(RHYTHMS), number // 2 % len(ECTOPIES), rates, USUAL, 10.0, number)


@pytest.mark.parametrize("rate", [100.0, 500.0])
def test_sinus_rhythm_is_the_simulator_s_sum_of_events(rate: float) -> None:
    torch.manual_seed(0)
    rates = torch.tensor([40.0, 75.0, 130.0])
    rhythm = draw_rhythms(
        torch.zeros(3, dtype=torch.long), torch.zeros(3, dtype=torch.long), rates, USUAL, 10.0, torch.arange(3)
    )
    amplitude = 0.2 * torch.randn(3, 8, len(EVENTS))
    beats = Beats(amplitude, torch.zeros_like(amplitude), torch.zeros(3, dtype=torch.bool))
    samples = round(10 * rate)
    expected = simulated_ecg(amplitude, rhythm.r_times_s, rate, samples)
    # Each is cut off where events are next to nothing.
    assert (render(beats, rhythm, rate, samples, torch.arange(3)) - expected).abs().max() < 2e-3


def test_a_ventricular_beat_has_its_own_shape_and_no_p_wave() -> None:
    rhythm = one_rhythm([1.0, 1.8, 2.3, 3.4], [SINUS, SINUS, VENTRICULAR_PREMATURE, SINUS])
    beats = textbook_beats(1)
    only_p = replace(
        beats, usual=torch.where(EVENTS[:, 0] < -0.075, beats.usual, 0.0), ectopic=torch.zeros_like(beats.ectopic)
    )
    p_waves = render(only_p, rhythm, RATE, 500, SEED)[0, 1].abs()
    seconds = torch.arange(500) / RATE
    before = {r: float(p_waves[(seconds > r - 0.3) & (seconds < r)].max()) for r in (1.0, 1.8, 2.3, 3.4)}
    assert min(before[1.0], before[1.8], before[3.4]) > 0.08
    assert before[2.3] < 0.01
    ecg = render(beats, rhythm, RATE, 500, SEED)[0, 0]
    assert ecg[100] > 0.4 and ecg[180] > 0.4
    assert ecg[226:236].max() < -0.4
    # Who has no ectopic beat gets the usual QRS complex.
    without = render(replace(beats, has_ectopic=torch.tensor([False])), rhythm, RATE, 500, SEED)[0, 0]
    assert without[230] > 0.4
    # An atrial premature beat is conducted and has a P wave.
    atrial = replace(
        rhythm, kinds=torch.where(rhythm.kinds == VENTRICULAR_PREMATURE, ATRIAL_PREMATURE, rhythm.kinds).to(torch.int8)
    )
    assert float(render(only_p, atrial, RATE, 500, SEED)[0, 1, 200:230].max()) > 0.08


def test_paced_beats_are_the_usual_ones_unless_most_are_not_paced() -> None:
    beats = textbook_beats(1)
    always = render(beats, one_rhythm([1.0, 2.0, 3.0], [PACED] * 3), RATE, 500, SEED)[0, 0]
    assert min(always[100], always[200], always[300]) > 0.4
    on_demand = render(beats, one_rhythm([1.0, 2.0, 3.0], [SINUS, PACED, SINUS]), RATE, 500, SEED)[0, 0]
    assert on_demand[100] > 0.4 and on_demand[200] < -0.4


def test_without_p_waves_there_is_nothing_before_the_qrs_complex() -> None:
    times = np.arange(0.5, 10, 0.8).tolist()
    beats = textbook_beats(1)
    with_p, without = (
        render(beats, one_rhythm(times, [SINUS] * len(times), atrial), RATE, SAMPLES, SEED)[0, 1]
        for atrial in (P_WAVES, NO_ATRIAL)
    )
    before = slice(round(0.5 * 100) + 160 - 22, round(0.5 * 100) + 160 - 10)
    assert with_p[before].max() > 0.08
    assert without[before].abs().max() < 0.02


@pytest.mark.parametrize(("atrial", "hz", "largest"), [(FIBRILLATION, 6.0, "V1"), (FLUTTER, 4.8, "II")])
def test_atrial_waves_have_their_rate_and_their_lead(atrial: int, hz: float, largest: str) -> None:
    rows = 40
    times = torch.arange(0.5, 10, 0.8).repeat(rows, 1)
    kinds = torch.zeros(times.shape, dtype=torch.int8)
    rhythm = Rhythm(times, kinds, torch.full((rows,), atrial, dtype=torch.int8), torch.full((rows,), hz))
    nothing = torch.zeros(rows, 8, len(EVENTS))
    waves = render(
        Beats(nothing, nothing, torch.zeros(rows, dtype=torch.bool)), rhythm, RATE, SAMPLES, torch.arange(rows)
    )
    power = torch.fft.rfft(waves).abs().square()
    frequency = torch.fft.rfftfreq(SAMPLES, 1 / RATE)
    peak = frequency[power.sum(dim=1).argmax(dim=1)]
    assert (peak - hz).abs().max() < (0.15 if atrial == FLUTTER else 0.8)
    size = waves.std(dim=2).median(dim=0).values
    assert INDEPENDENT_LEADS[int(size.argmax())] == largest
    assert 0.01 < float(size.max()) < 0.1


def test_gradients_reach_both_beats() -> None:
    beats = textbook_beats(1)
    usual, ectopic = beats.usual.requires_grad_(), beats.ectopic.requires_grad_()
    rhythm = one_rhythm([1.0, 1.8, 2.3], [SINUS, SINUS, VENTRICULAR_PREMATURE])
    render(Beats(usual, ectopic, beats.has_ectopic), rhythm, RATE, 400, SEED).square().sum().backward()
    assert (usual.grad.abs().sum(dim=1) > 0).all() and (ectopic.grad[..., 9:].abs().sum(dim=1) > 0).all()  # type: ignore[union-attr, index]
    assert ectopic.grad[..., :9].abs().max() < 1e-10  # type: ignore[union-attr, index]


def test_a_row_has_the_same_bits_whatever_is_rendered_beside_it() -> None:
    rows = 45
    rhythm, beats, seeds = mixed(rows), textbook_beats(rows), torch.arange(rows)
    whole, phase = render(beats, rhythm, RATE, SAMPLES, seeds), phase_channels(rhythm, RATE, SAMPLES)
    assert whole.isfinite().all() and phase.isfinite().all()
    assert torch.equal(render(beats, rhythm, RATE, SAMPLES, seeds), whole)
    for part in (slice(0, 1), slice(7, 8), slice(20, 33), slice(44, 45)):
        assert torch.equal(render(beats[part], rhythm[part], RATE, SAMPLES, seeds[part]), whole[part])
        assert torch.equal(phase_channels(rhythm[part], RATE, SAMPLES), phase[part])


def test_phase_per_sample_is_phase_per_step_of_one_sample() -> None:
    rhythm = mixed(27)
    found = phase_channels(rhythm, RATE, SAMPLES)
    assert found.shape == (27, PHASE_CHANNELS, SAMPLES)
    inside = (rhythm.r_times_s >= 0) & (rhythm.r_times_s < 10)
    peaks = torch.where(inside, rhythm.r_times_s, torch.inf).sort(dim=1).values
    expected = phase_per_step(torch.where(peaks.isfinite(), peaks, torch.nan), SAMPLES, 1, RATE)
    assert torch.equal(found[:, 0], expected[:, 0])
    # `phase_per_step` looks at the middle of a step, half a sample later.
    theta = torch.atan2(found[:, 2 + HARMONICS], found[:, 2])
    later = torch.atan2(expected[:, 1 + HARMONICS], expected[:, 1])
    ahead = (later - theta).remainder(2 * math.pi)
    per_sample = 2 * math.pi / RATE / (found[:, -2] * 0.3).exp() / 0.8
    same_interval = (found[:, -2] - expected[:, -2]).abs() < 1e-6
    assert same_interval.float().mean() > 0.95
    assert (ahead - 0.5 * per_sample)[same_interval].abs().max() < 2e-3


def test_beats_of_ventricles_are_marked() -> None:
    rhythm = one_rhythm([1.0, 1.8, 2.3, 3.4], [SINUS, SINUS, VENTRICULAR_PREMATURE, SINUS])
    every, ventricular = phase_channels(rhythm, RATE, 500)[0, :2]
    assert [round(float(every[at]), 3) for at in (100, 180, 230, 340)] == [1.0] * 4
    assert [round(float(ventricular[at]), 3) for at in (100, 180, 230, 340)] == [0.0, 0.0, 1.0, 0.0]


def test_rows_without_beats_have_a_phase_and_no_ecg() -> None:
    rhythm = one_rhythm([math.nan, math.nan], [-1, -1])
    assert not render(textbook_beats(1), rhythm, RATE, 100, SEED).abs().gt(1e-6).any()
    assert phase_channels(rhythm, RATE, 100).isfinite().all()


def test_a_crop_is_rendered_as_it_is_in_the_whole() -> None:
    rows = 9
    rhythm, beats = mixed(rows), textbook_beats(rows)
    rhythm = replace(rhythm, atrial=torch.where(rhythm.atrial == P_WAVES, P_WAVES, NO_ATRIAL).to(torch.int8))
    whole = render(beats, rhythm, RATE, SAMPLES, torch.arange(rows))
    start = torch.arange(rows) * 20
    crops = render(beats, rhythm.from_second(start / RATE), RATE, 800, torch.arange(rows))
    expected = torch.stack([whole[row, :, at : at + 800] for row, at in enumerate(start.tolist())])
    assert (crops - expected).abs().max() < 1e-4


def test_batches_of_different_width_go_below_each_other() -> None:
    few, many = one_rhythm([0.5, 1.3], [SINUS, SINUS]), one_rhythm([0.4, 1.0, 1.6], [SINUS, SINUS, PACED], NO_ATRIAL)
    both = Rhythm.stack([few, many])
    assert both.r_times_s.shape == (2, 3) and both.kinds.tolist() == [[SINUS, SINUS, -1], [SINUS, SINUS, PACED]]
    assert both.atrial.tolist() == [P_WAVES, NO_ATRIAL]
    shown = [render(textbook_beats(len(one)), one, RATE, SAMPLES, SEED.expand(len(one))) for one in (few, many, both)]
    assert torch.equal(torch.cat(shown[:2]), shown[2])
