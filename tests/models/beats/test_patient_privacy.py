"""Differential privacy is accounted per patient: however many recordings somebody has, they move the weights as one."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm
from torch import Tensor, nn
from torch.func import functional_call

from models.beats.beats import Beats
from models.beats.patient_privacy import PatientGradients, PatientPrivacy, RowLoss
from models.beats.prior import BeatPrior
from models.beats.training import Prevention, train_prior
from tests.models.beats.people import SHORT, SMALL, people

pytestmark = pytest.mark.usefixtures("one_thread")

EVERYONE = PatientPrivacy(epsilon=5.0, delta=1e-4, patients_per_step=10_000, largest_gradient=1.0, noise_seed=3)


class Line(nn.Module):
    """y = w · x, with the squared error as loss."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x @ self.weight - y).square()


def row_loss(model: Line) -> RowLoss:
    return lambda parameters, row: functional_call(model, parameters, args=(), kwargs=row).sum()


def stepped(x: Tensor, y: Tensor, patients: Tensor, privacy: PatientPrivacy = EVERYONE) -> Tensor:
    """Gradient that one private step takes."""
    model = Line()
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    loss = row_loss(model)
    private = PatientGradients(model, optimiser, loss, patients, privacy, steps=1)
    private.step(lambda rows: {"x": x[rows], "y": y[rows]})
    return model.weight.detach()


def test_recordings_of_a_patient_are_averaged_before_they_are_clipped() -> None:
    x, y = torch.randn(6, 3), torch.randn(6)
    once = stepped(x, y, torch.arange(6))
    copies = torch.tensor([0, 0, 0, 0, 1, 2, 3, 4, 5])
    assert torch.allclose(stepped(x[copies], y[copies], copies), once, atol=1e-6)
    # As recordings of different people they would count four times.
    assert not torch.allclose(stepped(x[copies], y[copies], torch.arange(9)), once, atol=1e-3)


def test_no_patient_moves_the_sum_by_more_than_the_largest_gradient() -> None:
    x, y = torch.randn(300, 3), torch.randn(300)
    patients = torch.arange(300) // 2
    before = stepped(x, y, patients)
    x[:2] *= 1000
    after = stepped(x, y, patients)
    moved = (after - before).norm() * 150  # the optimiser divides by the expected number of patients
    assert 0.01 < moved <= 2.0 + 1e-3


def test_epsilon_is_that_of_gaussian_noise() -> None:
    """With everybody in every step, T steps of noise σ are one Gaussian mechanism of sensitivity √T / σ, whose ε is
    known exactly (Balle and Wang, ICML 2018, theorem 8); accounting by Rényi divergences lies a little above it."""
    model = Line()
    loss = row_loss(model)
    x, y = torch.randn(20, 3), torch.randn(20)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    private = PatientGradients(model, optimiser, loss, torch.arange(20), EVERYONE, steps=8)
    costs = [private.spent().epsilon]
    for _ in range(8):
        private.step(lambda rows: {"x": x[rows], "y": y[rows]})
        costs.append(private.spent().epsilon)
    assert costs[0] == 0.0 and costs == sorted(costs)
    assert 0.95 * EVERYONE.epsilon < costs[-1] <= EVERYONE.epsilon
    mu = math.sqrt(8) / private.spent().noise_multiplier
    delta = lambda eps: norm.cdf(mu / 2 - eps / mu) - math.exp(eps) * norm.cdf(-mu / 2 - eps / mu)  # noqa: E731
    exact = brentq(lambda eps: delta(eps) - EVERYONE.delta, 1e-3, 50)
    assert exact <= costs[-1] < 1.3 * exact


def test_steps_that_sample_nobody_only_add_noise() -> None:
    rare = PatientPrivacy(epsilon=5.0, delta=1e-4, patients_per_step=1, largest_gradient=1.0, noise_seed=0)
    weights = stepped(torch.randn(4000, 3), torch.randn(4000), torch.arange(4000) // 2, rare)
    assert torch.isfinite(weights).all() and (weights != 0).all()


def test_a_prior_is_trained_within_its_guarantee() -> None:
    how = PatientPrivacy(epsilon=8.0, delta=1e-4, patients_per_step=60, largest_gradient=1.0, noise_seed=1)
    training_set, held_out = people(240), people(100, first=1)
    short = type(SHORT)(steps=6, batch=0, learning_rate=3e-3, check_every=3, patience=9, seed=0)
    found = train_prior(training_set, held_out, SMALL, short, Prevention(early_stopping=False, privacy=how))
    assert found.privacy is not None
    assert found.privacy.unit == "patient" and found.privacy.patients == 120 and found.privacy.steps == 6
    assert 7 < found.privacy.epsilon <= 8 and found.privacy.delta == 1e-4
    # Components hold nothing of training patients.
    assert not torch.equal(found.prior.usual.mean, train_components(training_set.beats))
    assert torch.allclose(found.prior.usual.mean, train_components(held_out.beats))


def train_components(beats: Beats) -> Tensor:
    prior = BeatPrior(SMALL)
    prior.fit_components(beats)
    return prior.usual.mean
