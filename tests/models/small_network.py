"""A small network and how it is used, for the contract that all networks keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from models.architecture import Architecture
from models.conditioning import ConditionTensors
from models.rhythm import statistics
from models.simulator.rhythm_series import RHYTHMS
from tests.models.test_conditioning import conditions

ROWS: Final = 6
SAMPLES: Final = 400
RATE_HZ: Final = 100

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """A small network and how it is used.

    Attributes:
        shape: its architecture.
        build: the network of an architecture.
        inputs: example inputs by name, rows on the first axis of each.
        run: what the network makes of them, rows on the first axis of each output.
        loss: what it is trained to lower; None where its parts are trained one by one.
        fit: fits what is fitted in closed form.
        idle: parameters that no loss depends on.
    """

    shape: Architecture
    build: Callable[[Any], nn.Module]
    inputs: Callable[[], Inputs]
    run: Callable[[Any, Inputs], tuple[Tensor, ...]]
    loss: Callable[[Any], Tensor] | None
    fit: Callable[[Any], None] = lambda network: None
    idle: frozenset[str] = frozenset()

    def made(self, seed: int = 0) -> Any:
        """A network of seeded weights, none of which is zero: layers that begin as zero would hide what is before."""
        torch.manual_seed(seed)
        network = self.build(self.shape)
        for weight in network.parameters():
            if not weight.any():
                nn.init.normal_(weight, std=0.05)
        self.fit(network)
        return network


def varied_conditions() -> ConditionTensors:
    """Conditions that differ in every field and in what they leave out."""
    condition = conditions(ROWS, statements=2, entries=1)
    condition.numbers[:] += torch.arange(ROWS)[:, None] * torch.tensor([5.0, 0.0, 9.0])
    condition.numbers[::2, 1] = 0.0
    condition.present[torch.arange(ROWS), torch.arange(ROWS) % condition.present.shape[1]] = False
    condition.findings[1::2] = 0.0
    condition.measured[torch.arange(ROWS), 0, torch.arange(ROWS)] = False
    condition.rhythm[:] = torch.arange(ROWS) % len(RHYTHMS)
    condition.stated_rhythm[:] = torch.arange(ROWS)[:, None] % torch.tensor(
        [len(statistics.RHYTHMS), len(statistics.ECTOPIES)]
    )
    return condition
