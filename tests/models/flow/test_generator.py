"""The flow generator: rows of their own, the simulator's ECG at 0 steps, R peaks where they were drawn, any rate."""

from __future__ import annotations

import pytest
import torch

from models.architecture import FlowArchitecture, FlowConfig, PriorArchitecture
from models.flow.generator import FlowGenerator
from models.leads import einthoven_residual, to_twelve_leads
from models.simulator.rhythm_series import USUAL
from tests.models.simulator.test_beat_components import amplitudes
from tests.models.test_conditioning import conditions

SHAPE = FlowArchitecture(width=16, depth=1, heads=2, statement_tokens=3, knowledge_tokens=2)
SAMPLING = {"steps": 2, "guidance": 1.5, "trait_guidance": 1.25}


def generator(rate_hz: int = 100, samples: int = 405, precision: str = "bf16") -> FlowGenerator:
    """A small one of seeded weights; its last patch is not whole."""
    torch.manual_seed(0)
    prior = PriorArchitecture(components=12, width=16, blocks=1, token_width=16)
    config = FlowConfig(
        denoiser=SHAPE,
        prior=prior,
        sampling_rate_hz=rate_hz,
        samples=samples,
        precision=precision,  # type: ignore[arg-type]
        rhythms=USUAL,
        rows_at_once=4,
    )
    made = FlowGenerator(config)
    for weight in made.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    assert made.prior.events is not None
    made.prior.events.fit(amplitudes())
    signal = 0.1 * torch.randn(20, 8, samples).cumsum(dim=-1)
    made.filter.fit(made.filter.power(signal) / len(signal))
    return made


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_row_is_a_function_of_its_seed_and_condition(precision: str) -> None:
    made, condition = generator(precision=precision), conditions(6)
    together = made.sample(condition, range(6), **SAMPLING)
    assert together.shape == (6, 8, 405) and torch.isfinite(together).all()
    alone = made.sample(condition[[4, 1]], [4, 1], **SAMPLING)
    assert torch.equal(alone, together[[4, 1]])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("rate_hz", [250, 500])
def test_other_rates_generate(rate_hz: int) -> None:
    found = generator(rate_hz, 4 * rate_hz).sample(conditions(2), [1, 2], **SAMPLING)
    assert found.shape == (2, 8, 4 * rate_hz) and torch.isfinite(found).all()
    assert einthoven_residual(to_twelve_leads(found.double().numpy())) < 1e-12


def test_no_steps_leave_the_ecg_of_the_simulator() -> None:
    made, condition = generator(), conditions(3)
    drawn = made.sample(condition, [1, 2, 3], **{**SAMPLING, "steps": 0})
    peaks = made.r_peaks(condition, [1, 2, 3])
    power = drawn.diff(dim=-1).square().sum(dim=1)
    for row, found in enumerate(peaks):
        near = torch.zeros(405, dtype=torch.bool)
        for peak in found:
            near[max(0, int(peak * 100) - 6) : int(peak * 100) + 7] = True
        assert power[row][near[:-1]].mean() > 5 * power[row][~near[:-1]].mean()


def test_rhythm_and_beats_can_be_drawn_for_other_conditions() -> None:
    made, condition = generator(), conditions(2)
    faster = conditions(2)
    faster.numbers[:, 2] = 150.0
    usual = made.sample(condition, [1, 2], **SAMPLING)
    assert not torch.equal(made.sample(condition, [1, 2], **SAMPLING, rhythm_of=faster), usual)
    assert not torch.equal(made.sample(condition, [1, 2], **SAMPLING, beats_of=faster), usual)


def test_seeds_and_conditions_must_match() -> None:
    with pytest.raises(ValueError, match="3 conditions need as many seeds, got 2"):
        generator().sample(conditions(3), [1, 2], **SAMPLING)
    assert generator().sample(conditions(3)[[]], [], **SAMPLING).shape == (0, 8, 405)
