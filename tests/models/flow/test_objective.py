"""The flow's objective: times, hidden guides, and that descending it teaches what the guide shows."""

from __future__ import annotations

import pytest
import torch

from models.flow.guide import GUIDE_CHANNELS
from models.flow.objective import TIME_SHIFT, TIME_SPREAD, FlowObjective, training_times
from models.flow.transformer import FlowTransformer
from tests.models.flow.test_transformer import network
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
