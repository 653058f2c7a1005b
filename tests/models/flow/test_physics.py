"""L_Euler and L_inter on the flow's clean estimate: zero for what obeys, at any rate, and a gradient that works."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.ecg.beats import beats_on_grid, first_whole_beat
from models.flow.guide import GUIDE_CHANNELS
from models.flow.objective import FlowObjective
from models.flow.physics import FlowPhysics, PieceBeats
from models.flow.sampler import guided_velocity, solve
from models.flow.spectral_filter import SpectralFilter
from models.flow.transformer import FlowTransformer
from models.simulator.beat_equation import BeatEquation
from models.simulator.ecgsyn import gaussian_waves
from tests.models.flow.test_transformer import SMALL, network
from tests.models.simulator.test_beat_equation import wave_fit
from tests.models.test_conditioning import conditions

pytestmark = pytest.mark.usefixtures("one_thread")

SECONDS = 2
FIRST_R_S = 0.437
"""The first R peak, between two samples at 100 Hz."""
BOTH: Mapping[str, float] = {"euler": 1.0, "inter_lead": 1.0}


def solutions(rows: int, rate_hz: int) -> tuple[Tensor, Tensor]:
    """ECGs (rows, 8, samples) in mV that obey the equation of `wave_fit`, and their R peaks (rows, 2) in samples; each
    row begins a little later than the one before."""
    fit, samples = wave_fit(), SECONDS * rate_hz
    late_s = FIRST_R_S + 0.0313 * torch.arange(rows)
    phase = fit.omega * (torch.arange(samples) / rate_hz - late_s[:, None])
    signal = gaussian_waves(phase[:, None], *fit.parameters[0].unbind(dim=-1))
    return signal, rate_hz * torch.stack([late_s, late_s + 1.0], dim=1)


def beats_of(recording: Tensor, r_peaks: Tensor, start: int, samples: int, rate_hz: int) -> PieceBeats:
    rows = len(recording)
    r_peak = first_whole_beat(r_peaks, start, start + samples, rate_hz)
    starts, omega = torch.full((rows,), start), wave_fit().omega.expand(rows)
    return PieceBeats(recording, starts, r_peak, torch.zeros(rows, dtype=torch.long), omega)


def fitted(signal: Tensor, rate_hz: int = 100, weights: Mapping[str, float] = BOTH) -> FlowPhysics:
    spectral_filter = SpectralFilter(signal.shape[-1])
    spectral_filter.fit(spectral_filter.power(signal) / len(signal))
    return FlowPhysics(spectral_filter, BeatEquation(wave_fit()), rate_hz, weights)


@pytest.mark.parametrize("rate_hz", [100, 250, 500])
def test_terms_are_zero_for_a_solution_and_grow_with_the_distance_from_one(rate_hz: int) -> None:
    signal, r_peaks = solutions(6, rate_hz)
    torch.manual_seed(0)
    physics = fitted(signal + 0.02 * torch.randn_like(signal), rate_hz)
    start, samples = round(0.1 * rate_hz), round(1.2 * rate_hz)
    recording = physics.filter(signal)
    beats = beats_of(recording, r_peaks, start, samples, rate_hz)
    assert beats.r_peak.isfinite().all() and (beats.r_peak != beats.r_peak.round()).any()
    piece = recording[..., start : start + samples]
    found = [physics(scale * piece, torch.zeros(6), beats) for scale in (1.0, 1.1, 1.3)]
    for name in BOTH:
        obeying, off, further = (float(each[name]) for each in found)
        assert obeying < 1e-3 < off < 0.3 * further, name


def test_the_estimate_is_read_in_millivolts_where_the_piece_lies() -> None:
    signal, r_peaks = solutions(3, 100)
    physics = fitted(signal + 0.02 * torch.randn(3, 8, 200))
    recording = physics.filter(signal)
    beats = beats_of(recording, r_peaks, 40, 110, 100)
    piece = recording[..., 40:150]
    assert torch.allclose(physics.millivolts(piece, beats), signal, atol=1e-4)
    whole = recording.clone()
    whole[..., 40:150] = 0.5 * piece
    assert torch.allclose(physics.millivolts(0.5 * piece, beats), physics.filter.inverse(whole), atol=1e-5)


def test_rows_of_pure_noise_and_rows_without_a_whole_beat_do_not_count() -> None:
    signal, r_peaks = solutions(2, 100)
    physics = fitted(signal + 0.02 * torch.randn(2, 8, 200))
    recording = physics.filter(signal)
    beats = beats_of(recording, r_peaks, 0, 200, 100)
    assert all(float(term) == 0.0 for term in physics(0 * recording, torch.ones(2), beats).values())
    clean = 1.3 * recording
    without = beats_of(recording, r_peaks, 0, 80, 100)
    assert without.r_peak.isnan().all()
    assert all(float(term) == 0.0 for term in physics(clean, torch.zeros(2), without).values())
    half, whole = physics(clean, torch.full((2,), 0.5), beats), physics(clean, torch.zeros(2), beats)
    assert all(float(half[name]) == pytest.approx(0.5 * float(whole[name])) for name in BOTH)


@pytest.mark.parametrize("term", ["euler", "inter_lead"])
def test_gradient_of_each_term_reaches_every_part_of_the_network(term: str) -> None:
    signal, r_peaks = solutions(4, 100)
    physics = fitted(signal + 0.02 * torch.randn(4, 8, 200), weights={term: 1.0})
    objective, recording = FlowObjective(network(), physics), physics.filter(signal)
    torch.manual_seed(5)
    guide = torch.randn(4, GUIDE_CHANNELS, 120)
    beats = beats_of(recording, r_peaks, 10, 120, 100)
    shown = torch.ones(4, dtype=torch.bool)
    losses = objective(recording[..., 10:130], guide, conditions(4), shown, beats=beats)
    assert losses.keys() == {"loss", "velocity", term}
    assert torch.equal(losses["loss"], losses["velocity"] + losses[term])
    losses[term].backward()
    for name, part in objective.network.named_children():
        gradients = [weight.grad for weight in part.parameters() if weight.grad is not None]
        assert name == "norm" or any(float(gradient.abs().max()) > 0 for gradient in gradients), name
        assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_training_with_a_weight_lowers_the_residual_of_samples() -> None:
    torch.manual_seed(0)
    rows, samples, shown = 16, 140, torch.ones(16, dtype=torch.bool)
    solved, r_peaks = solutions(rows, 100)
    solved = solved[..., :samples]
    # People differ from their class: beats larger and smaller, and a ripple that no wave of the class draws.
    ripple = 0.15 * torch.sin(2 * math.pi * 9 * torch.arange(samples) / 100 + 6 * torch.rand(rows, 8, 1))
    signal = solved * (1 + 0.3 * torch.randn(rows, 1, 1)) + ripple
    physics = fitted(signal)
    recording = physics.filter(signal)
    guide = F.pad(physics.filter(solved), (0, 0, 0, GUIDE_CHANNELS - 8))
    beats = beats_of(recording, r_peaks, 0, samples, 100)

    def residual_of_samples(weights: Mapping[str, float]) -> float:
        torch.manual_seed(1)
        objective = FlowObjective(
            FlowTransformer(SMALL, 100), FlowPhysics(physics.filter, physics.equation, 100, weights)
        )
        optimiser = torch.optim.AdamW(objective.network.parameters(), lr=1e-2)
        for _ in range(60):
            loss = objective(recording, guide, conditions(rows), shown, beats=beats)["loss"]
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(objective.network.parameters(), 1.0)
            optimiser.step()
        with torch.no_grad():
            velocity = guided_velocity(objective.network.eval(), conditions(rows), guide, 1.0, 1.0)
            drawn = physics.filter.inverse(solve(velocity, torch.randn(rows, 8, samples), steps=4))
        beat = beats_on_grid(drawn, beats.r_peak, 100)
        return float(physics.equation.euler(physics.equation.residual(beat, beats.wave_class, beats.omega)).mean())

    assert residual_of_samples({"euler": 5.0}) < 0.8 * residual_of_samples({})
