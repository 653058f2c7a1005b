"""The equation of a class's beat: right units and time step, no residual for the simulator's own beats."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.ecg.beats import BEAT_GRID_HZ
from models.leads import LIMB_LEAD_IDENTITIES, STANDARD_LEADS, to_twelve_leads
from models.simulator.beat_equation import BeatEquation, WaveFit, angular_rate, beat_times, fit_classes
from models.simulator.heart_simulator import gaussian_waves, wave_slope

pytestmark = pytest.mark.usefixtures("one_thread")

LEAD_GAIN = torch.tensor([0.6, 0.9, -0.5, 0.4, 0.8, 1.2, 1.1, 0.8])
PQRST = torch.tensor([[0.12, -1.1, 0.20], [-0.1, -0.24, 0.08], [1.0, 0.0, 0.09], [-0.2, 0.25, 0.09], [0.3, 1.7, 0.40]])
"""Amplitude in mV, centre and width in rad."""


def wave_fit(bpm: float = 60.0) -> WaveFit:
    parameters = PQRST.repeat(1, 8, 1, 1).clone()
    parameters[0, :, :, 0] *= LEAD_GAIN[:, None]
    return WaveFit(parameters, angular_rate(torch.tensor([bpm])), torch.ones(1, 8))


def simulated_beat(fit: WaveFit, times: Tensor) -> Tensor:
    amplitude, centre, width = fit.parameters[0].unbind(dim=-1)
    return gaussian_waves(fit.omega[0] * times, amplitude, centre, width)[None]


def only_class(rows: int = 1) -> Tensor:
    return torch.zeros(rows, dtype=torch.long)


def test_beat_of_the_simulator_obeys_its_equation() -> None:
    fit = wave_fit()
    equation = BeatEquation(fit)
    residual = equation.residual(simulated_beat(fit, beat_times()), only_class(), fit.omega)
    assert float(equation.euler(residual)) < 1e-4
    assert float(equation.inter_lead(residual)) < 1e-4


def test_half_way_evaluation_beats_explicit_euler() -> None:
    fit = wave_fit()
    times = beat_times()
    beat = simulated_beat(fit, times)
    amplitude, centre, width = fit.parameters[0].unbind(dim=-1)
    explicit = beat.diff(dim=-1) * BEAT_GRID_HZ - wave_slope(
        fit.omega[0] * times[:-1], fit.omega[0], amplitude, centre, width
    )
    residual = BeatEquation(fit).residual(beat, only_class(), fit.omega)
    assert float(residual.abs().max()) < 0.1 * float(explicit.abs().max())


@pytest.mark.parametrize("bpm", [45.0, 60.0, 90.0])
def test_slope_is_in_millivolts_per_second_whatever_the_rate(bpm: float) -> None:
    fit, times = wave_fit(bpm), beat_times()
    flat = torch.zeros(1, 8, len(times))
    slope = -BeatEquation(fit).residual(flat, only_class(), fit.omega)
    # The slope's integral over time is the beat itself.
    beat = simulated_beat(fit, times)
    rebuilt = beat[..., :1] + slope.cumsum(dim=-1) / BEAT_GRID_HZ
    assert torch.allclose(rebuilt, beat[..., 1:], atol=0.01)


def test_qrs_of_a_faster_heart_is_earlier_and_narrower_but_not_by_the_whole_rate() -> None:
    fit = wave_fit(60.0)
    equation = BeatEquation(fit)
    flat = torch.zeros(1, 8, len(beat_times()))
    slow, fast = (
        equation.residual(flat, only_class(), angular_rate(torch.tensor([bpm])))[0, 0] for bpm in (60.0, 90.0)
    )
    steepest = float(fast.abs().max() / slow.abs().max())
    assert steepest == pytest.approx(math.sqrt(1.5), rel=0.05)


def test_inter_lead_is_the_equation_of_the_derived_leads() -> None:
    fit = wave_fit()
    equation = BeatEquation(fit)
    times = beat_times()
    beat = torch.randn(1, 8, len(times), generator=torch.Generator().manual_seed(3))
    twelve = to_twelve_leads(beat)
    own = -equation.residual(torch.zeros_like(beat), only_class(), fit.omega)
    expected = []
    for name, (of_i, of_ii) in LIMB_LEAD_IDENTITIES.items():
        quotient = twelve[:, STANDARD_LEADS.index(name)].diff(dim=-1) * BEAT_GRID_HZ
        expected.append((quotient - of_i * own[:, 0] - of_ii * own[:, 1]) / equation.slope_scale[:, :2].mean())
    term = equation.inter_lead(equation.residual(beat, only_class(), fit.omega))
    assert float(term) == pytest.approx(float(torch.stack(expected).square().mean()), rel=1e-4)


def test_fit_recovers_beats_of_each_class() -> None:
    torch.manual_seed(0)
    times = beat_times()
    normal = simulated_beat(wave_fit(60.0), times)
    other = wave_fit(60.0)
    other.parameters[0, :, 4, 0] *= -1  # inverted T
    beats = torch.cat([normal.expand(30, -1, -1), simulated_beat(other, times).expand(30, -1, -1)])
    beats = beats + 0.01 * torch.randn_like(beats)
    classes = torch.tensor([1] * 30 + [2] * 30)
    fit = fit_classes(beats, classes, angular_rate(torch.full((60,), 60.0)), 3)
    assert fit.r2.shape == (3, 8)
    assert float(fit.r2[1:].min()) > 0.97
    equation = BeatEquation(fit)
    own = equation.euler(equation.residual(beats[:1], torch.tensor([1]), fit.omega[1:2]))
    foreign = equation.euler(equation.residual(beats[:1], torch.tensor([2]), fit.omega[1:2]))
    assert float(own) < float(foreign)
