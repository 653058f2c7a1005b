"""Early stopping: which weights a stage of training keeps, and when there is nothing left to wait for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class EarlyStopping:
    """Keeps the weights of the lowest validation loss; says when `patience` checkpoints in a row brought no lower one.

    Its state is part of every checkpoint, so a run that was killed knows its best weights and how long it has waited.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.validation, self.step, self.waited = math.inf, 0, 0
        self.weights: list[Tensor] = []

    @property
    def is_over(self) -> bool:
        """Whether training should end."""
        return self.waited >= self.patience

    def look(self, step: int, validation: float, weights: Sequence[Tensor]) -> None:
        """Take note of a checkpoint.

        Args:
            step: optimiser steps done.
            validation: loss of `weights`; one that is not a number counts as no improvement.
            weights: the parameters that were validated; copied if they are the best so far.
        """
        self.waited += 1
        if validation < self.validation:
            self.validation, self.step, self.waited = validation, step, 0
            self.weights = [weight.detach().clone() for weight in weights]

    def state(self) -> dict[str, Any]:
        """Everything, as a checkpoint holds it."""
        names = ("validation", "step", "waited", "weights")
        return {name: getattr(self, name) for name in names}

    def load(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from `state`."""
        self.validation, self.step, self.waited = state["validation"], state["step"], state["waited"]
        self.weights = [weight.to(device) for weight in state["weights"]]


def swap_weights(network: nn.Module, weights: Sequence[Tensor]) -> None:
    """Exchange a network's parameters with others of the same shapes, in place; twice is as before."""
    for parameter, other in zip(network.parameters(), weights, strict=True):
        now = parameter.detach().clone()
        parameter.data.copy_(other)
        other.copy_(now)
