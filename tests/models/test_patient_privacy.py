"""Differential privacy is accounted per patient: however many recordings somebody has, they move the weights as one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from opacus.accountants import create_accountant
from scipy.optimize import brentq
from scipy.stats import norm
from torch import Tensor, nn

from models.beats.beats import Beats
from models.beats.prior import BeatPrior
from models.beats.training import Prevention, train_prior
from models.flow.objective import FlowObjective
from models.flow.transformer import FlowTransformer
from models.patient_privacy import NUMBERS_AT_ONCE, PatientGradients, PatientPrivacy, loss_of
from tests.models.beats.people import SHORT, SMALL, people
from tests.models.flow.flow_networks import FLOW_NETWORKS, SHAPE
from tests.models.small_network import ROWS

pytestmark = pytest.mark.usefixtures("one_thread")

EVERYONE = PatientPrivacy(epsilon=5.0, delta=1e-4, patients_per_step=10_000, largest_gradient=1.0, noise_seed=3)
UNCLIPPED = PatientPrivacy(epsilon=5.0, delta=1e-4, patients_per_step=10_000, largest_gradient=1e9, noise_seed=3)


class Line(nn.Module):
    """y = w · x, with the squared error as loss."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x @ self.weight - y).square()


def stepped(
    x: Tensor, y: Tensor, patients: Tensor, privacy: PatientPrivacy = EVERYONE, noise: float | None = 0.0
) -> Tensor:
    """Gradient that one private step takes."""
    model = Line()
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    private = PatientGradients(model, optimiser, loss_of, patients, privacy, 1, noise)
    private.step(0, lambda rows: {"x": x[rows], "y": y[rows]})
    return model.weight.detach()


def test_without_noise_and_clipping_a_step_is_an_ordinary_one() -> None:
    x, y = torch.randn(600, 3), torch.randn(600)
    model = Line()
    model(x, y).mean().backward()
    assert model.weight.grad is not None
    # More recordings than are held at once.
    assert torch.allclose(stepped(x, y, torch.arange(600), UNCLIPPED), -model.weight.grad, atol=1e-6)


class Velocity(nn.Module):
    """A transformer and the squared error of its velocity at given noisy signals."""

    def __init__(self, network: FlowTransformer) -> None:
        super().__init__()
        self.network = network

    def forward(self, target: Tensor, **given: Any) -> dict[str, Tensor]:
        return {"loss": (self.network(**given) - target).square().mean()}


def transformer() -> FlowTransformer:
    """A small one without dropout whose every weight has a gradient."""
    return replace(FLOW_NETWORKS[FlowTransformer], shape=SHAPE.model_copy(update={"dropout": 0.0})).made()


def test_without_noise_and_clipping_a_transformer_learns_as_it_usually_does() -> None:
    network = transformer()
    given = FLOW_NETWORKS[FlowTransformer].inputs()
    batch = {**given, "target": torch.randn_like(given["noisy"]), "first": 2}
    model = Velocity(network)
    model(**batch)["loss"].backward()
    before = {name: (one.detach().clone(), one.grad) for name, one in network.named_parameters()}
    assert all(gradient is not None for _, gradient in before.values())
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    private = PatientGradients(model, optimiser, loss_of, torch.arange(ROWS), UNCLIPPED, 1, 0.0)
    private.rows_at_once = ROWS // 2

    def some(rows: Tensor) -> dict[str, Any]:
        return {name: one if isinstance(one, int) else one[rows] for name, one in batch.items()}

    private.step(0, some)
    for name, weight in network.named_parameters():
        was, gradient = before[name]
        assert gradient is not None and torch.allclose(weight, was - gradient, atol=1e-5), name


def test_the_objective_of_a_flow_draws_other_numbers_for_every_patient() -> None:
    network = transformer()
    given = FLOW_NETWORKS[FlowTransformer].inputs()
    one = {"signal": given["noisy"][:1], "guide": given["guide"][:1], "condition": given["condition"][:1]}
    batch = {**one, "guided": torch.ones(1, dtype=torch.bool)}
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)

    def loss(*given: Any) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return loss_of(*given)

    private = PatientGradients(FlowObjective(network), optimiser, loss, torch.arange(4), UNCLIPPED, 1, 0.0)
    samples: list[Tensor] = []
    weight = network.skip.weight
    take = private.optimizer.step
    private.optimizer.step = lambda: samples.append(weight.grad_sample) or take()  # type: ignore[attr-defined,func-returns-value,method-assign]
    private.step(0, lambda rows: {name: each[[0] * len(rows)] for name, each in batch.items()})
    first, *others = samples[0]
    assert samples[0].isfinite().all() and all((first - other).abs().max() > 1e-3 for other in others)


def test_a_patient_is_in_a_step_with_one_recording() -> None:
    x, y = torch.randn(6, 3), torch.randn(6)
    once = stepped(x, y, torch.arange(6))
    copies = torch.tensor([0, 0, 0, 0, 1, 2, 3, 4, 5])
    assert torch.allclose(stepped(x[copies], y[copies], copies), once, atol=1e-6)
    # As recordings of different people they would count four times.
    assert not torch.allclose(stepped(x[copies], y[copies], torch.arange(9)), once, atol=1e-3)
    seen: list[int] = []
    model = Line()
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    private = PatientGradients(model, optimiser, loss_of, torch.tensor([7, 2, 7]), UNCLIPPED, 40, 0.0)
    for step in range(40):
        private.step(step, lambda rows: seen.append(rows.tolist()) or {"x": x[rows], "y": y[rows]})  # type: ignore[func-returns-value,arg-type,misc]
    assert {tuple(sorted(rows)) for rows in seen} == {(0, 1), (1, 2)}


def test_no_patient_moves_the_sum_by_more_than_the_largest_gradient() -> None:
    x, y = torch.randn(300, 3), torch.randn(300)
    patients = torch.arange(300) // 2
    before = stepped(x, y, patients)
    x[:2] *= torch.tensor([1000.0, -1000.0, 1000.0])
    after = stepped(x, y, patients)
    moved = (after - before).norm() * 150  # the optimiser divides by the expected number of patients
    assert 0.01 < moved <= 2.0 + 1e-3


def test_epsilon_grows_with_steps_and_is_that_of_opacus_and_of_gaussian_noise() -> None:
    """With everybody in every step, T steps of noise σ are one Gaussian mechanism of sensitivity √T / σ, whose ε is
    known exactly (Balle and Wang, ICML 2018, theorem 8); accounting by Rényi divergences lies a little above it."""
    model = Line()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    private = PatientGradients(model, optimiser, loss_of, torch.arange(20), EVERYONE, steps=8)
    costs = [private.spent(steps).epsilon for steps in range(9)]
    assert costs[0] == 0.0 and costs == sorted(set(costs))
    assert 0.95 * EVERYONE.epsilon < costs[-1] <= EVERYONE.epsilon
    mu = math.sqrt(8) / private.noise_multiplier
    delta = lambda eps: norm.cdf(mu / 2 - eps / mu) - math.exp(eps) * norm.cdf(-mu / 2 - eps / mu)  # noqa: E731
    exact = brentq(lambda eps: delta(eps) - EVERYONE.delta, 1e-3, 50)
    assert exact <= costs[-1] < 1.3 * exact
    rare = PatientPrivacy(epsilon=2.0, delta=1e-4, patients_per_step=5, largest_gradient=1.0, noise_seed=0)
    sampled = PatientGradients(model, optimiser, loss_of, torch.arange(20), rare, steps=8)
    accountant = create_accountant("rdp")
    for _ in range(3):
        accountant.step(noise_multiplier=sampled.noise_multiplier, sample_rate=0.25)
    assert sampled.spent(3).epsilon == accountant.get_epsilon(1e-4)


def test_steps_are_functions_of_seed_and_number_and_without_patients_they_only_add_noise() -> None:
    rare = PatientPrivacy(epsilon=5.0, delta=1e-4, patients_per_step=1, largest_gradient=1.0, noise_seed=0)
    x, y, patients = torch.randn(4000, 3), torch.randn(4000), torch.arange(4000) // 2
    weights = stepped(x, y, patients, rare, noise=None)
    assert torch.isfinite(weights).all() and (weights != 0).all()
    assert torch.equal(weights, stepped(x, y, patients, rare, noise=None))


def test_fewer_gradients_of_a_large_network_are_held_at_once() -> None:
    model = nn.Linear(2**10, 2**14, bias=False, device="meta")
    assert NUMBERS_AT_ONCE // model.weight.numel() == 8


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
