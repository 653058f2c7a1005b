"""The transformer: attention, what reaches the velocity, and any sampling rate by the same patch length in time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from models.architecture import FLOW_SIZES, FlowArchitecture
from models.conditioning import FIELDS
from models.flow.guide import GUIDE_CHANNELS
from models.flow.transformer import FlowTransformer, attended, patch_samples, patches, rotated, rotations
from tests.models.test_conditioning import conditions, with_value

SMALL = FlowArchitecture(width=32, depth=2, heads=2, statement_tokens=3, knowledge_tokens=2)


def network(rate_hz: float = 100, shape: FlowArchitecture = SMALL) -> FlowTransformer:
    """One of seeded weights, none of which is zero."""
    torch.manual_seed(0)
    made = FlowTransformer(shape, rate_hz)
    for weight in made.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return made.eval()


@torch.no_grad()
def test_attention_written_out_is_the_fused_one() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 3, 20, 8), torch.randn(2, 3, 26, 8), torch.randn(2, 3, 26, 8)
    bias = torch.zeros(2, 1, 1, 26)
    bias[1, ..., -3:] = float("-inf")
    fused = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    assert torch.allclose(attended(query, key, value, bias), fused, atol=1e-5)


def test_rotary_products_depend_on_distance_only() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 1, SMALL.width)
    turns = rotations(0, 40, SMALL, torch.device("cpu"))
    products = [(rotated(query, turns[:, [at]]) * rotated(key, turns[:, [at + 7]])).sum() for at in (0, 11, 32)]
    assert torch.allclose(products[0], products[1], atol=1e-4) and torch.allclose(products[0], products[2], atol=1e-4)
    assert not torch.allclose(products[0], (rotated(query, turns[:, [0]]) * rotated(key, turns[:, [8]])).sum())


@pytest.mark.parametrize("rate_hz", [100, 250, 500])
def test_a_patch_is_100_ms_at_any_rate(rate_hz: int) -> None:
    assert patch_samples(rate_hz) == rate_hz // 10
    made, samples = network(rate_hz), 2 * rate_hz
    noisy = torch.randn(2, 8, samples)
    assert patches(noisy, made.samples).shape == (2, 20, 8 * rate_hz // 10)
    with torch.no_grad():
        found = made(noisy, torch.tensor([0.2, 0.8]), conditions(2), torch.zeros(2, GUIDE_CHANNELS, samples))
    assert found.shape == noisy.shape


@torch.no_grad()
def test_guide_condition_time_and_distant_patches_act() -> None:
    made = network()
    noisy, time, guide = torch.randn(1, 8, 200), torch.tensor([0.5]), torch.randn(1, GUIDE_CHANNELS, 200)
    found = made(noisy, time, conditions(1), guide)
    far = noisy.clone()
    far[..., -10:] += 1
    others = [
        made(noisy, time, conditions(1).hidden(), guide),
        made(noisy, time, conditions(1), torch.zeros_like(guide)),
        made(noisy, time + 0.2, conditions(1), guide),
        made(far, time, conditions(1), guide)[..., :10],
        *(made(noisy, time, conditions(1).without(field), guide) for field in FIELDS),
        *(made(noisy, time, with_value(conditions(1), field), guide) for field in FIELDS),
    ]
    for other in others:
        assert (other - found[..., : other.shape[-1]]).abs().max() > 1e-3


@torch.no_grad()
def test_an_untrained_network_says_what_is_best_of_white_data() -> None:
    torch.manual_seed(0)
    made = FlowTransformer(SMALL, 100)
    white, noise = torch.randn(2, 64, 8, 200)
    for at in (0.1, 0.5, 0.9):
        noisy = torch.lerp(white, noise, at)
        time, guide = torch.full((64,), at), torch.zeros(64, GUIDE_CHANNELS, 200)
        left = noise - white - made(noisy, time, conditions(64), guide)
        assert float((left * noisy).mean()) == pytest.approx(0.0, abs=0.01), "the rest is orthogonal to what is known"


def test_the_large_size_is_that_of_the_study() -> None:
    weights = sum(weight.numel() for weight in FlowTransformer(FLOW_SIZES["L"], 100).parameters())
    assert 18e6 < weights < 22e6


@pytest.mark.parametrize(("size", "longer"), [("S", 3.5), ("L", 3.3)])
@torch.no_grad()
def test_cost_of_length_and_rate(size: str, longer: float) -> None:
    def evaluation(rate_hz: int, seconds: int) -> int:
        made, samples = FlowTransformer(FLOW_SIZES[size], rate_hz).eval(), seconds * rate_hz
        context = made.context(conditions(1, statements=4, entries=3), torch.zeros(1, GUIDE_CHANNELS, samples))
        with FlopCounterMode(display=False) as counted:
            made.velocity(torch.zeros(1, 8, samples), torch.zeros(1), context)
        return counted.get_total_flops()

    usual = evaluation(100, 10)
    assert evaluation(100, 30) / usual == pytest.approx(longer, abs=0.05)
    assert 1.0 < evaluation(500, 10) / usual < 1.25
