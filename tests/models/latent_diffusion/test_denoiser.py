"""The denoiser: shapes, and that attention attends to the tokens it is given."""

from __future__ import annotations

import pytest
import torch

from models.architecture import DenoiserArchitecture
from models.latent_diffusion.denoiser import Denoiser
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


def test_levels_matter_and_have_to_be_told() -> None:
    torch.manual_seed(0)
    network = Denoiser(SMALL, 8, levels=4)
    for weight in network.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.05)
    noisy, steps, condition = torch.randn(1, 8, 125), torch.tensor([400]), conditions(1)
    quiet = network(noisy, steps, condition, levels=torch.zeros(1, 4))
    assert not torch.allclose(quiet, network(noisy, steps, condition, levels=torch.ones(1, 4)))
    with pytest.raises(ValueError, match="needs levels"):
        network(noisy, steps, condition)


def test_only_the_coarsest_level_attends() -> None:
    network = denoiser(DenoiserArchitecture(width=16, multipliers=(1, 2, 2), blocks=1))
    assert [level.cross is not None for level in network.down] == [False, False, True]
    assert [level.around is not None for level in network.up] == [True, False, False]


def test_a_copy_for_sampling_predicts_nearly_the_same_and_reads_numbers_exactly() -> None:
    network, condition = denoiser(), conditions(4)
    copied = network.in_precision(torch.bfloat16)
    assert copied.stem.weight.dtype == torch.bfloat16 and network.stem.weight.dtype == torch.float32
    assert copied.condition.number_scale.dtype == torch.float32
    noisy, steps = torch.randn(4, 8, 125), torch.tensor([1, 300, 600, 999])
    with torch.no_grad():
        expected, found = network(noisy, steps, condition), copied(noisy, steps, condition).float()
    assert (found - expected).std() < 0.03 * expected.std()
