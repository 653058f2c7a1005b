"""The simulator with events at set places: what is simulated is what is fitted, and both are what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.ecg.cardiac_phase import padded_times
from models.ecg.r_peaks import locate_r_peaks
from models.simulator.beat_events import EVENTS, event_shapes, fit_events, simulated_ecg
from tests.models.synthetic_hearts import ecgs

RATE = 100


def test_events_of_a_regular_heart_are_written_out_sums_of_gaussians() -> None:
    times, rr_s = np.arange(0.35, 10.0, 0.8), 0.8
    torch.manual_seed(0)
    amplitude = 0.2 * torch.randn(1, 8, len(EVENTS))
    found = simulated_ecg(amplitude, padded_times([times]), RATE, 1000)[0].numpy()
    seconds = np.arange(1000) / RATE
    centre, width, exponent = EVENTS.numpy().T
    expected = np.zeros((8, 1000))
    for r_time in times:
        distance = (seconds - r_time - centre[:, None] * rr_s ** exponent[:, None]) / (
            width[:, None] * rr_s ** exponent[:, None]
        )
        expected += amplitude[0].numpy() @ np.exp(-0.5 * distance**2)
    assert np.abs(found - expected).max() < 1e-3  # waves are cut off where they are below 1e-4 of their amplitude


def test_an_ecg_has_the_same_bits_whatever_is_simulated_beside_it() -> None:
    torch.manual_seed(1)
    amplitude = 0.2 * torch.randn(4, 8, len(EVENTS))
    times = [np.arange(0.2, 10.0, rr_s) for rr_s in (0.8, 0.3, 2.4, 1.1)]
    together = simulated_ecg(amplitude, padded_times(times), RATE, 1000)
    for row, own in enumerate(times):
        assert torch.equal(simulated_ecg(amplitude[row : row + 1], padded_times([own]), RATE, 1000)[0], together[row])


def test_shapes_are_those_of_the_simulation() -> None:
    seconds = torch.arange(-0.5, 0.7, 1 / RATE)
    shapes = event_shapes(seconds, torch.tensor([1.0]))[0]
    chosen = list(range(0, 40, 5))
    one_event_per_lead = torch.eye(len(EVENTS))[chosen][None]
    simulated = simulated_ecg(one_event_per_lead, torch.tensor([[0.5, 1.5]]), RATE, 120)[0]
    before_the_next = slice(0, 110)
    assert torch.allclose(simulated[:, before_the_next], shapes[chosen][:, before_the_next], atol=1e-3)


def test_the_usual_beat_of_people_is_found_to_a_few_microvolts() -> None:
    signal = ecgs(12, 3, noise_mv=0.0)
    located = locate_r_peaks(signal, RATE)
    fit = fit_events(signal, located, RATE)
    assert fit.rows.tolist() == list(range(12))
    again = simulated_ecg(fit.amplitude, padded_times([one / RATE for one in located]), RATE, 1000).numpy()
    inside = slice(100, 900)
    missed = (again - signal)[..., inside].std(axis=(1, 2)) / signal[..., inside].std(axis=(1, 2))
    assert np.median(missed) < 0.25


def test_what_is_simulated_is_fitted_again() -> None:
    signal = ecgs(6, 5, noise_mv=0.0)
    located = locate_r_peaks(signal, RATE)
    amplitude = fit_events(signal, located, RATE).amplitude
    regular = [np.arange(0.4, 10.0, 0.9)] * 6
    simulated = simulated_ecg(amplitude, padded_times(regular), RATE, 1000)
    again = fit_events(simulated.numpy(), [one * RATE for one in regular], RATE).amplitude
    redrawn = simulated_ecg(again, padded_times(regular), RATE, 1000)
    inside = slice(150, 850)
    assert float((redrawn - simulated)[..., inside].abs().mean()) < 0.01


def test_the_gradient_of_the_amplitudes_is_that_of_finite_differences() -> None:
    torch.manual_seed(1)
    amplitude = (0.3 * torch.randn(1, 8, len(EVENTS))).requires_grad_()
    times = padded_times([np.array([0.5, 1.2, 2.1])])
    weights = torch.randn(1, 8, 250)

    def loss(given: torch.Tensor) -> torch.Tensor:
        return (simulated_ecg(given, times, RATE, 250) * weights).sum()

    (gradient,) = torch.autograd.grad(loss(amplitude), amplitude)
    direction = torch.randn_like(amplitude)
    with torch.no_grad():
        difference = (loss(amplitude + direction) - loss(amplitude - direction)) / 2
    assert float((gradient * direction).sum()) == pytest.approx(float(difference), rel=1e-3)


def test_a_recording_without_two_beats_has_no_usual_beat() -> None:
    signal = ecgs(2, 1)
    located = [np.array([300.0]), *locate_r_peaks(signal[1:], RATE)]
    assert fit_events(signal, located, RATE).rows.tolist() == [1]
    flat = simulated_ecg(torch.zeros(1, 8, len(EVENTS)), padded_times([np.empty(0)]), RATE, 500)
    assert flat.shape == (1, 8, 500) and not flat.any()
