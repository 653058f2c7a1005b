"""How weights are learned, with Ray Train and without: batches, optimiser, learning rate, averaged weights."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from tasks.training.networks.recipe import Recipe

WEIGHT_DECAY = 0.01
WARMUP_SHARE = 0.05
"""Share of the steps that warm the learning rate up."""
GRADIENT_CLIP = 1.0
"""Largest gradient norm."""


def new_optimiser(network: nn.Module, peak: float) -> torch.optim.Optimizer:
    """The optimiser of every network, at its peak learning rate."""
    return torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.99))


def descend(
    loss: Tensor, recipe: Recipe, optimiser: torch.optim.Optimizer, average: Average | None, step: int, stage: str
) -> float:
    """One optimiser step down a loss.

    Args:
        loss: of the step's batch.
        average: follows the weights, if there is one.
        step: number of the step, from 0.
        stage: what the error names.

    Returns:
        The learning rate of the step.

    Raises:
        FloatingPointError: the gradient is not finite.
    """
    rate = learning_rate(step, recipe.schedule.steps, recipe.schedule.learning_rate)
    step_down(loss, recipe.learner, optimiser, average, step, rate, stage)
    return rate


def step_down(
    loss: Tensor,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: Average | None,
    step: int,
    rate: float,
    stage: str,
) -> None:
    """One optimiser step of any network at a given learning rate; arguments and errors as of `descend`."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_CLIP)
    if not torch.isfinite(norm):
        raise FloatingPointError(f"{stage}: the gradient is not finite at step {step}; lower its learning_rate")
    optimiser.step()
    if average:
        average.update(network, step)


def batch_rows(seed: int, step: int, rows: int, batch_size: int) -> np.ndarray:
    """The rows of a step's batch: the data is gone through in a new order each epoch, without leaving anything out."""
    places = step * batch_size + np.arange(batch_size)
    return np.array([_epoch_order(seed, int(place // rows), rows)[place % rows] for place in places], dtype=np.int64)


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(rows)


def step_seed(seed: int, step: int, rank: int) -> int:
    """A seed for the noise of one worker at one step."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    warmup = max(1, round(steps * WARMUP_SHARE))
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 where it is asked for, on CPU and GPU alike."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


class Average:
    """Exponential moving average of a network's weights; the average is what generates."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = [parameter.detach().clone() for parameter in network.parameters()]

    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network; faster in the first steps, when the average is still mostly initialisation."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.weights, [parameter.detach() for parameter in network.parameters()], 1 - decay)

    def swap(self, network: nn.Module) -> None:
        """Exchange the network's weights with the average; twice is as before."""
        for parameter, other in zip(network.parameters(), self.weights, strict=True):
            now = parameter.detach().clone()
            parameter.data.copy_(other)
            other.copy_(now)
