"""Small networks of the flow, for the contract that all networks keep."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from models.architecture import BeatPriorArchitecture, FlowArchitecture
from models.beats.beats import Beats
from models.flow.config import FlowConfig
from models.flow.generator import FlowGenerator
from models.flow.guide import GUIDE_CHANNELS
from models.flow.objective import FlowObjective
from models.flow.transformer import FlowTransformer
from models.rhythm.statistics import USUAL
from tests.models.simulator.test_beat_components import amplitudes
from tests.models.small_network import RATE_HZ, ROWS, SAMPLES, Network, varied_conditions

SHAPE: Final = FlowArchitecture(width=16, depth=2, heads=2, statement_tokens=2, knowledge_tokens=1)


def flow_loss(network: FlowTransformer) -> Tensor:
    signal, guide = torch.randn(ROWS, 8, SAMPLES), torch.randn(ROWS, GUIDE_CHANNELS, SAMPLES)
    return FlowObjective(network)(signal, guide, varied_conditions(), torch.ones(ROWS, dtype=torch.bool))["loss"]


def recorded_beats() -> Beats:
    """Beats to fit components to; every one has an ectopic beat beside it."""
    usual = amplitudes()
    return Beats(usual, -2 * usual, torch.ones(len(usual), dtype=torch.bool))


def fit(network: FlowGenerator) -> None:
    network.prior.fit_components(recorded_beats())
    signal = torch.randn(64, 8, SAMPLES).cumsum(dim=-1)
    network.filter.fit(network.filter.power(signal) / len(signal))


FLOW_NETWORKS: Final[dict[type[nn.Module], Network]] = {
    FlowTransformer: Network(
        SHAPE,
        lambda shape: FlowTransformer(shape, RATE_HZ),
        lambda: {
            "noisy": torch.randn(ROWS, 8, SAMPLES),
            "time": torch.linspace(0.1, 0.9, ROWS),
            "condition": varied_conditions(),
            "guide": torch.randn(ROWS, GUIDE_CHANNELS, SAMPLES),
        },
        lambda network, given: (network(**given),),
        flow_loss,
    ),
    FlowGenerator: Network(
        FlowConfig(
            denoiser=SHAPE,
            prior=BeatPriorArchitecture(
                components=12, ectopic_components=6, width=16, blocks=2, token_width=16, queries=2
            ),
            sampling_rate_hz=RATE_HZ,
            samples=SAMPLES,
            student=True,
            statistics=USUAL,
            rows_at_once=16,
        ),
        FlowGenerator,
        lambda: {"condition": varied_conditions(), "seeds": torch.arange(ROWS)},
        lambda network, given: (
            network.sample(given["condition"], given["seeds"].tolist(), steps=2, guidance=1.5, trait_guidance=1.25),
        ),
        None,
        fit,
    ),
}
"""Class of each network to how a small one is made and used."""
