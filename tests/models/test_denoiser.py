"""The denoiser: shapes, and that attention attends to the tokens it is given."""

from __future__ import annotations

import pytest
import torch

from models.architecture import DenoiserArchitecture
from models.denoiser import Denoiser
from tests.models.test_conditioning import conditions

SMALL = DenoiserArchitecture(width=16, token_width=16, blocks=1)


def denoiser(architecture: DenoiserArchitecture = SMALL) -> Denoiser:
    """Seeded, with the zero-initialised layers made to do something."""
    torch.manual_seed(0)
    network = Denoiser(architecture, 8)
    for weight in network.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.05)
    return network.eval()


@pytest.mark.parametrize("steps", [125, 128, 31])
@pytest.mark.parametrize("multipliers", [(1,), (1, 2), (1, 2, 2)])
def test_any_latent_length_and_any_depth(steps: int, multipliers: tuple[int, ...]) -> None:
    network = denoiser(DenoiserArchitecture(width=16, token_width=16, blocks=2, multipliers=multipliers))
    assert network(torch.randn(2, 8, steps), torch.tensor([0, 999]), conditions(2)).shape == (2, 8, steps)


def test_prediction_depends_on_time_and_on_every_token() -> None:
    network, noisy, steps = denoiser(), torch.randn(1, 8, 125), torch.tensor([400])
    condition = conditions(1)
    given = network(noisy, steps, condition)
    assert not torch.allclose(given, network(noisy, torch.tensor([700]), condition))
    for token in range(condition.present.shape[1]):
        changed = conditions(1)
        changed.present[0, token] = False
        assert not torch.equal(given, network(noisy, steps, changed)), token


def test_masked_tokens_have_no_influence() -> None:
    network, noisy, steps = denoiser(), torch.randn(1, 8, 125), torch.tensor([400])
    one, other = conditions(1), conditions(1)
    for condition in (one, other):
        condition.present[0, 3] = False
    other.statements[0, 2] = 9.0
    assert torch.equal(network(noisy, steps, one), network(noisy, steps, other))


def test_untrained_network_predicts_nothing() -> None:
    network = Denoiser(SMALL, 8)
    assert not network(torch.randn(2, 8, 125), torch.tensor([1, 2]), conditions(2)).any()
