"""What sampling is timed against: published networks with the samplers that their authors give them.

Each runs with the batch size, precision and use of threads that make most ECGs per second. Their weights are random,
which cost as much time as trained ones, and a share of their steps is timed, since all steps cost the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from benchmarks.diffusets import STEPS, TEXT_SIZE, PublishedUNet, sample_ancestrally
from benchmarks.timing import in_turns
from models.latent_diffusion.row_groups import in_groups

BATCHES: Final = (4, 16, 64)
"""Batch sizes tried; 4 is what DiffuSETS' released settings generate at once."""
TIMED_STEPS: Final = 20
TRIED_STEPS: Final = 4
ECGEN_STEPS: Final = 50
"""Steps of DDIM that ECGEN takes if nothing else is asked for."""
ECGEN_SHAPE: Final = (12, 1000)
"""Leads and samples: 10 s at 100 Hz, in ECGEN's favour, whose own settings generate 500 Hz."""


@dataclass(frozen=True)
class RivalWay:
    """A way to run a rival.

    Attributes:
        batch: ECGs that it makes at once.
        bf16: whether the network runs under bf16 autocast.
        at_a_time: how many such batches are made side by side, by one thread each; 1 for one batch by all threads.
    """

    batch: int
    bf16: bool = False
    at_a_time: int = 1

    @property
    def ecgs(self) -> int:
        """ECGs of one turn."""
        return self.batch * self.at_a_time


@dataclass(frozen=True)
class Rival:
    """A published network with its sampler.

    Attributes:
        name: of the rival.
        steps: of its sampler.
        parameters: of its network.
        make: ECGs of (seed, rows, first so many steps, bf16) on a device.
    """

    name: str
    steps: int
    parameters: int
    make: Callable[[int, int, int, bool], Tensor]

    def sample(self, way: RivalWay, steps: int) -> Tensor:
        """As many ECGs as one turn of a way has, after some of the steps."""
        if way.at_a_time == 1:
            return self.make(0, way.batch, steps, way.bf16)

        def made(rows: list[int]) -> Tensor:
            return self.make(rows[0], len(rows), steps, way.bf16)

        return in_groups(made, way.ecgs, way.batch, "cpu")

    def best_way(self, threads: int) -> RivalWay:
        """The way in which it makes most ECGs per second on this machine's processor."""

        def speed(way: RivalWay) -> float:
            return way.ecgs / float(np.median(in_turns(lambda _: self.sample(way, TRIED_STEPS), repetitions=3)))

        ways = itertools.product(BATCHES, (False, True), sorted({1, threads}))
        return max((RivalWay(*way) for way in ways), key=speed)


def diffusets(device: str = "cpu") -> Rival:
    """DiffuSETS' published shape and 1000 ancestral steps (`benchmarks.diffusets`)."""
    network = PublishedUNet().eval().to(device)

    def make(seed: int, rows: int, steps: int, bf16: bool) -> Tensor:
        draw = torch.Generator(device).manual_seed(seed)
        tokens = torch.randn(rows, 1, TEXT_SIZE + 3, generator=draw, device=device)
        return sample_ancestrally(network, tokens, draw, steps, bf16)

    return Rival(f"DiffuSETS' shape, {STEPS} steps", STEPS, _parameters(network), make)


def ecgen(device: str = "cpu") -> Rival | None:
    """ECGEN's transformer `dit1d` (PyPI `ecgen`, MIT) with its default sampler, without conditions, which it then need
    not read; None where the package is not installed. It needs no other package for this (`pip install --no-deps`)."""
    try:
        from ecgen.nn.backbones import DiT1d
        from ecgen.processes import DDPMProcess
    except ImportError:
        return None
    network, process = DiT1d(in_channels=ECGEN_SHAPE[0]).eval().to(device), DDPMProcess().to(device)

    @torch.inference_mode()
    def make(seed: int, rows: int, steps: int, bf16: bool) -> Tensor:
        draw = torch.Generator(device).manual_seed(seed)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            found = process.sample(network, (rows, *ECGEN_SHAPE), steps=steps, device=device, generator=draw)
        return found.float()

    return Rival(f"ECGEN's DiT, {ECGEN_STEPS} steps of DDIM", ECGEN_STEPS, _parameters(network), make)


def rivals(device: str = "cpu") -> Sequence[Rival]:
    """All that are at hand."""
    return [found for found in (diffusets(device), ecgen(device)) if found is not None]


def _parameters(network: Any) -> int:
    return sum(weight.numel() for weight in network.parameters())
