"""The simulator's dynamics: closed form, ODE and fit agree with each other and with SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from models.simulator.heart_simulator import f_z, fit_waves, gaussian_waves, integrate_ode, wave_slope, wrap

PQRST = torch.tensor(
    [
        [0.12, math.radians(-70), 0.25],
        [-0.10, math.radians(-15), 0.10],
        [1.10, 0.0, 0.10],
        [-0.25, math.radians(15), 0.10],
        [0.30, math.radians(100), 0.40],
    ],
    dtype=torch.float64,
)


def test_wrap_maps_to_the_half_open_interval() -> None:
    phase = torch.tensor(
        [-3 * math.pi, -math.pi, math.pi, 3.5 * math.pi, -3.5 * math.pi, 0.3, 7.0], dtype=torch.float64
    )
    wrapped = wrap(phase)
    assert (wrapped > -math.pi).all() and (wrapped <= math.pi).all()
    torch.testing.assert_close(torch.exp(1j * wrapped), torch.exp(1j * phase))
    assert wrap(torch.tensor(-math.pi, dtype=torch.float64)).item() == pytest.approx(math.pi)


def test_slope_is_the_time_derivative_of_the_waves() -> None:
    omega, time = 2 * math.pi / 0.8, torch.linspace(0, 2.4, 241, dtype=torch.float64, requires_grad=True)
    signal = gaussian_waves(omega * time, *PQRST.unbind(-1))
    (derivative,) = torch.autograd.grad(signal.sum(), time)
    slope = wave_slope(omega * time, omega, *PQRST.unbind(-1))
    torch.testing.assert_close(slope, derivative, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("relaxation_hz", [0.0, 1.0])
def test_ode_agrees_with_scipy(relaxation_hz: float) -> None:
    rate_hz, omega = 250.0, 2 * math.pi * 70 / 60

    def rates(_: float, state: np.ndarray) -> np.ndarray:
        x, y, z = state
        pull = 1 - math.hypot(x, y)
        theta = math.atan2(y, x)
        slope = 0.0
        for amplitude, centre, width in PQRST.numpy():
            distance = (theta - centre + math.pi) % (2 * math.pi) - math.pi
            slope -= omega * amplitude * distance / width**2 * math.exp(-0.5 * (distance / width) ** 2)
        return np.array([pull * x - omega * y, pull * y + omega * x, slope - relaxation_hz * z])

    start = np.array([-0.6, 0.3, 0.05])  # off the limit cycle, so that its pull is tested, too
    time = np.arange(500) / rate_hz
    reference = solve_ivp(rates, (0, time[-1]), start, t_eval=time, rtol=1e-9, atol=1e-11, max_step=2e-3).y.T
    states = integrate_ode(
        torch.tensor(start), torch.full((500,), omega, dtype=torch.float64), PQRST, rate_hz, 2, relaxation_hz
    )
    spread = np.ptp(reference[:, 2])
    assert np.abs(states.numpy() - reference).max() < 1e-3 * spread


def test_closed_form_solves_the_ode_without_relaxation() -> None:
    rate_hz, omega = 500.0, 2 * math.pi
    theta0 = -1.0
    time = torch.arange(1000, dtype=torch.float64) / rate_hz
    closed = gaussian_waves(theta0 + omega * time, *PQRST.unbind(-1))
    start = torch.tensor([math.cos(theta0), math.sin(theta0), closed[0]], dtype=torch.float64)
    states = integrate_ode(start, torch.full((1000,), omega, dtype=torch.float64), PQRST, rate_hz, relaxation_hz=0.0)
    assert (states[:, 2] - closed).abs().max() < 1e-3


def test_gradients_reach_every_argument() -> None:
    phase = torch.linspace(-2.9, 2.9, 7, dtype=torch.float64, requires_grad=True)
    z = torch.randn(7, dtype=torch.float64, requires_grad=True)
    parameters = PQRST.clone().requires_grad_()
    omega = torch.tensor(6.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f_z, (phase, z, omega, parameters))
    start = torch.tensor([0.8, -0.5, 0.0], dtype=torch.float64, requires_grad=True)
    speed = torch.full((5,), 6.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, w, p: integrate_ode(s, w, p, 100.0), (start, speed, parameters))


def test_fit_recovers_a_beat() -> None:
    torch.manual_seed(1)
    phase = torch.linspace(-1.25, 2.5, 300)
    gain = torch.tensor([0.6, 1.0, -0.7, 0.9, 1.2, 1.5, 1.3, 1.0])[None, :, None]
    waves = PQRST.float()[None, None].repeat(2, 8, 1, 1)
    waves[..., 0] = waves[..., 0] * gain
    waves[1, ..., 2, 2] *= 1.6  # the second class has a wider R
    beats = gaussian_waves(phase, *waves.unbind(-1)) + 0.2  # an offset is fitted and dropped
    parameters, r2 = fit_waves(beats, phase, steps=150)
    assert parameters.shape == (2, 8, 7, 3) and r2.shape == (2, 8)
    assert r2.min() > 0.995
    fitted = gaussian_waves(phase, *parameters.unbind(-1))
    assert (fitted - beats + 0.2).abs().mean() < 0.02
    slope_error = wave_slope(phase, 6.0, *parameters.unbind(-1)) - wave_slope(phase, 6.0, *waves.unbind(-1))
    assert slope_error.pow(2).mean() < 0.02 * wave_slope(phase, 6.0, *waves.unbind(-1)).pow(2).mean()


def test_more_steps_fit_better() -> None:
    phase = torch.linspace(-1.25, 2.5, 200)
    beats = gaussian_waves(phase, *PQRST.float().unbind(-1)).expand(1, 8, -1) + 0.1 * torch.sin(3 * phase)
    start, end = (fit_waves(beats, phase, steps=steps, waves=5)[1].min() for steps in (1, 120))
    assert end > start


def test_fit_of_a_flat_lead_is_flat() -> None:
    phase = torch.linspace(-1.25, 2.5, 100)
    parameters, r2 = fit_waves(torch.zeros(1, 8, 100), phase, steps=5)
    assert (parameters[..., 0] == 0).all() and (r2 == 0).all()
    assert torch.isfinite(parameters).all()


def test_fit_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="samples"):
        fit_waves(torch.zeros(1, 8, 100), torch.zeros(99))
    with pytest.raises(ValueError, match="waves"):
        fit_waves(torch.zeros(1, 8, 100), torch.zeros(100), waves=8)
