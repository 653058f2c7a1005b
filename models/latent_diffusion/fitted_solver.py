"""A solver of few steps, fitted to a denoiser.

In y = x / √ᾱ = x0 + σ ε, with σ noise over signal, a solver integrates dy/dσ = (y − x̂0) / σ (Karras et al., NeurIPS
2022). A step from σ to σ' ends at exactly

    y' = (σ' / σ) y + (1 − σ' / σ) x̄,

x̄ being a mean of the denoiser's estimates x̂0 along the step. Solvers differ in how they guess it from estimates so
far: UniPC and DPM-Solver by polynomials in log σ, which suit any denoiser. Here it is a linear combination whose
weights sum to 1, found by least squares on this denoiser's own trajectories, one step after the other, each from where
the fitted steps before it lead. (Bespoke solvers, Shaul et al., ICLR 2024, learn theirs by gradient descent.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import torch
from torch import Tensor

from models.architecture import SolverRule
from models.latent_diffusion.diffusion import (
    TIMESTEPS,
    Denoise,
    clean_estimate,
    nearest_times,
    noise_schedule,
    noise_to_signal,
    trajectory,
)
from models.latent_diffusion.row_groups import side_by_side

FITTED_STEPS: Final = range(3, 9)
"""Numbers of steps for which there is a rule; more are solved as well by UniPC."""
FINE: Final = (40.0, 0.02, 60)
"""Noise over signal from and to, and steps, of the trajectories that rules are fitted to, after the one from pure
noise."""
RIDGE: Final = 1e-6
DIGITS: Final = 4
"""Of what is saved in `config.json`, so that it does not depend on how a machine rounds."""
Group = TypeVar("Group")
Made = TypeVar("Made")


def fit_rules(problems: Sequence[tuple[Denoise, Tensor]]) -> list[tuple[SolverRule, list[Tensor]]]:
    """A rule for each of `FITTED_STEPS`, and the clean latents (B, C, T) to which it leads from each problem's noise.

    Args:
        problems: groups of rows, each with what denoises it and its noise (B, C, T).
    """
    fine = _times(*FINE)
    device = problems[0][1].device
    # (steps + 1, B, C, T): latents at the fine time steps, and clean ones.
    passed = _each(problems, lambda one: torch.stack(trajectory(*one, fine)), device)
    shares = noise_schedule().alphas_cumprod[fine]
    rules = []
    for steps in FITTED_STEPS:
        # Near the optimum for three, four and five steps of one model; there it is flat.
        wanted = _times(3.75 * (steps - 2), 3.3 / steps**2, steps - 1)
        places = sorted({int((fine - time).abs().argmin()) for time in wanted})
        walks = [_Walk(noise, fine[places]) for _, noise in problems]
        weights = []
        for end in [*places[1:], len(fine)]:
            arrive = [each[end] / shares[end].sqrt() if end < len(fine) else each[end] for each in passed]
            _each(list(zip(walks, problems, strict=True)), lambda one: one[0].look(one[1][0]), device)
            weights.append(_fitted(walks, arrive))
            for walk in walks:
                walk.step(weights[-1])
        rule = SolverRule(times=tuple(fine[places].tolist()), weights=tuple(weights))
        rules.append((rule, [walk.latents for walk in walks]))
    return rules


def solve_by(rule: SolverRule, denoise: Denoise, noise: Tensor) -> Tensor:
    """Clean latents (B, C, T) by a fitted rule.

    Args:
        rule: from `fit_rules`.
        denoise: predicts v.
        noise: (B, C, T) standard normal.
    """
    walk = _Walk(noise, torch.tensor(rule.times))
    for weights in rule.weights:
        walk.look(denoise)
        walk.step(weights)
    return walk.latents


class _Walk:
    """The way of some rows from noise to clean latents.

    Attributes:
        latents: y where it stands; the noise before the first step, which has no signal.
        estimates: x̂0 of every look so far.
    """

    def __init__(self, noise: Tensor, times: Tensor) -> None:
        self._schedule = noise_schedule()
        self._times, self._shares = times.to(noise.device), self._schedule.alphas_cumprod[times]
        self._sigmas = [*noise_to_signal(self._shares).tolist(), 0.0]
        self.latents, self.estimates = noise, list[Tensor]()

    def look(self, denoise: Denoise) -> None:
        """Ask the denoiser."""
        at = len(self.estimates)
        noisy = self.latents * self._shares[at].sqrt() if at else self.latents
        times = self._times[at].expand(len(noisy))
        self.estimates.append(clean_estimate(self._schedule, noisy, denoise(noisy, times), times))

    def step(self, weights: Sequence[float]) -> None:
        """Go on by a combination of all estimates."""
        kept, share = self._kept()
        mean = sum((weight * one for weight, one in zip(weights, self.estimates, strict=True)), torch.zeros(()))
        self.latents = kept * self.latents + share * mean

    def wanted(self, arrive: Tensor) -> Tensor:
        """The mean of estimates by which this step would arrive at some y."""
        kept, share = self._kept()
        return (arrive - kept * self.latents) / share

    def _kept(self) -> tuple[float, float]:
        """What a step keeps of where it starts, and what it takes of the mean of estimates."""
        now, then = self._sigmas[len(self.estimates) - 1 :][:2]
        return (then, 1.0) if math.isinf(now) else (then / now, 1 - then / now)


def _fitted(walks: Sequence[_Walk], arrive: Sequence[Tensor]) -> tuple[float, ...]:
    """Weights of all estimates so far, summing to 1, by which a step comes nearest to where it should arrive."""
    others = len(walks[0].estimates) - 1
    gram, product = torch.zeros(others, others, dtype=torch.float64), torch.zeros(others, dtype=torch.float64)
    for walk, end in zip(walks, arrive, strict=True):
        *before, last = (one.flatten().double().cpu() for one in walk.estimates)
        if before:
            apart = torch.stack(before) - last
            gram += apart @ apart.mT
            product += apart @ (walk.wanted(end).flatten().double().cpu() - last)
    gram += (RIDGE * gram.diagonal().mean() + torch.finfo(gram.dtype).tiny) * torch.eye(others, dtype=gram.dtype)
    weights = [round(weight, DIGITS) for weight in torch.linalg.solve(gram, product).tolist()] if others else []
    return *weights, round(1 - sum(weights), DIGITS)


def _times(first: float, last: float, count: int) -> Tensor:
    """Time steps, descending: pure noise, and `count` whose noise over signal falls evenly in its logarithm."""
    wanted = torch.linspace(math.log(first), math.log(last), count)
    pure = torch.tensor([TIMESTEPS - 1])
    return torch.cat([pure, nearest_times(wanted)]).unique().flip(0)


def _each(groups: Sequence[Group], make: Callable[[Group], Made], device: torch.device) -> list[Made]:
    return side_by_side(lambda rows: make(groups[rows[0]]), [[number] for number in range(len(groups))], device)
