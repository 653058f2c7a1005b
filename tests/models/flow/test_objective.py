"""The flow's objective: times, hidden guides, and that descending it teaches what the guide shows."""

from __future__ import annotations

import pytest
import torch

from models.flow.guide import GUIDE_CHANNELS
from models.flow.objective import TIME_SHIFT, TIME_SPREAD, FlowObjective, training_times
from models.flow.sampler import guided_velocity, solve
from models.flow.transformer import FlowTransformer
from tests.models.flow.test_transformer import SMALL, network
from tests.models.test_conditioning import conditions


def test_times_are_logit_normal() -> None:
    torch.manual_seed(0)
    logits = torch.logit(training_times(4096))
    assert float(logits.mean()) == pytest.approx(TIME_SHIFT, abs=0.01)
    assert float(logits.std()) == pytest.approx(TIME_SPREAD, rel=0.01)


def test_a_quarter_of_guides_is_hidden_and_so_are_missing_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        FlowTransformer,
        "forward",
        lambda self, noisy, time, condition, guide, first: seen.append(guide) or noisy,
    )
    torch.manual_seed(0)
    rows = 8000
    guided = torch.arange(rows) % 2 == 0
    guide = torch.ones(rows, GUIDE_CHANNELS, 10)
    FlowObjective(network())(torch.randn(rows, 8, 10), guide, conditions(rows), guided)
    shown = seen[0].amax(dim=(1, 2)) > 0
    assert not shown[~guided].any()
    assert float(shown[guided].float().mean()) == pytest.approx(0.75, abs=0.03)


def test_a_trained_network_draws_what_the_guide_shows() -> None:
    torch.manual_seed(0)
    objective = FlowObjective(FlowTransformer(SMALL, 100))
    optimiser = torch.optim.AdamW(objective.parameters(), lr=3e-3)

    def example(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        signal = 1.5 * torch.sin(torch.arange(60) / 10 * (1 + torch.rand(rows, 1, 1)) + 6 * torch.rand(rows, 1, 1))
        return signal.expand(-1, 8, -1), torch.nn.functional.pad(
            signal.expand(-1, 8, -1), (0, 0, 0, GUIDE_CHANNELS - 8)
        )

    losses = []
    for _ in range(120):
        signal, guide = example(32)
        loss = objective(signal, guide, conditions(32), torch.ones(32, dtype=torch.bool))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) < 0.75 * sum(losses[:20])
    signal, guide = example(8)
    with torch.no_grad():
        velocity = guided_velocity(objective.network.eval(), conditions(8), guide, 1.0, 1.0)
        drawn = solve(velocity, torch.randn(8, 8, 60), steps=6)
    assert float(torch.corrcoef(torch.stack([drawn.flatten(), signal.flatten()]))[0, 1]) > 0.7
