"""What every network in models/ promises, tested on small ones; a new network needs an entry in `NETWORKS`."""

from __future__ import annotations

import copy
import importlib
import inspect
import math
import pkgutil
import typing
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn

import models
from models.architecture import (
    AlignmentArchitecture,
    Architecture,
    AutoencoderArchitecture,
    BeatDecoderArchitecture,
    BeatEncoderArchitecture,
    BeatPriorArchitecture,
    ClassifierArchitecture,
    DenoiserArchitecture,
    DetailArchitecture,
    GeneratorConfig,
    PriorArchitecture,
)
from models.beats.beats import Beats
from models.beats.prior import BeatPrior
from models.conditioning import TEXT_SIZE, ConditionTensors
from models.evaluation.alignment import AlignmentEncoder, contrastive_loss
from models.evaluation.classifier import EcgClassifier
from models.flow.objective import FlowObjective
from models.flow.physics import FlowPhysics
from models.flow.student import StudentObjective
from models.latent_diffusion.autoencoder import Autoencoder, AutoencoderObjective
from models.latent_diffusion.beat_decoder import BeatDecoder
from models.latent_diffusion.denoiser import Denoiser
from models.latent_diffusion.detail_head import DetailHead, DetailObjective
from models.latent_diffusion.diffusion import DiffusionObjective
from models.latent_diffusion.generator import Generator
from models.latent_diffusion.ode_terms import BeatPhysics
from models.latent_diffusion.residual_levels import Levels
from models.latent_diffusion.trait_prior import PriorObjective, TraitPrior
from models.privacy.beat_encoder import BEAT_SAMPLES, BeatEncoder, same_patient_loss
from models.row_seeds import row_generator
from models.simulator.beat_equation import BeatEquation
from models.simulator.rhythm_series import USUAL
from models.superclasses import SUPERCLASSES
from tests.models.flow.flow_networks import FLOW_NETWORKS
from tests.models.simulator.test_beat_components import amplitudes
from tests.models.small_network import RATE_HZ, ROWS, SAMPLES, Inputs, Network, varied_conditions

pytestmark = pytest.mark.usefixtures("one_thread")

CHANNELS, STEPS, GUIDE, LEVELS = 4, 50, 3, 16
EPSILON = 1e-5
"""Largest difference of a row between batches, as a share of the largest output: float32 sums may be grouped anew."""

LOSSES: set[type[nn.Module]] = {
    AutoencoderObjective,
    BeatEquation,
    BeatPhysics,
    DetailObjective,
    DiffusionObjective,
    FlowObjective,
    FlowPhysics,
    PriorObjective,
    StudentObjective,
}
"""Modules that compute a loss of networks: they hold nothing of their own that learns or is saved."""


def residual_pair() -> tuple[Tensor, Tensor]:
    """(64, 8, SAMPLES) signals and what an autoencoder might have made of them."""
    decoded = torch.randn(64, 8, SAMPLES)
    return decoded + 0.2 * torch.randn_like(decoded), decoded


def prior_of(shape: PriorArchitecture) -> TraitPrior:
    return TraitPrior(shape, beat=True, levels=Levels(CHANNELS, RATE_HZ / 8))


def fit_prior(network: TraitPrior) -> None:
    assert network.events is not None and network.levels is not None
    network.events.fit(amplitudes())
    network.levels.fit(network.levels.of(torch.randn(64, CHANNELS, STEPS)))


def run_autoencoder(network: Autoencoder, given: Inputs) -> tuple[Tensor, ...]:
    mean, log_variance = network.encode(given["signal"])
    return mean, log_variance, network.decode(mean, SAMPLES)


def run_detail(network: DetailHead, given: Inputs) -> tuple[Tensor, ...]:
    generators = [row_generator(int(seed), "detail") for seed in given["seeds"]]
    velocity = network(given["noisy"], given["time"], given["seen"], given["traits"])
    return velocity, network.detailed(given["decoded"], generators, torch.float32)


def run_prior(network: TraitPrior, given: Inputs) -> tuple[Tensor, ...]:
    generators = [row_generator(int(seed), "traits") for seed in given["seeds"]]
    velocity = network(given["noisy"], given["time"], given["condition"])
    drawn = network.draw(given["condition"], generators, guidance=1.5)
    assert drawn.amplitude is not None and drawn.levels is not None
    return velocity, drawn.amplitude, drawn.levels


def run_beat_prior(network: BeatPrior, given: Inputs) -> tuple[Tensor, ...]:
    read = network.read(given["condition"])
    velocity = network.velocity(given["noisy"], given["time"], read, given["has_ectopic"])
    drawn = network.draw(given["condition"], given["seeds"], has_ectopic=given["has_ectopic"])
    return velocity, network.presence(read), drawn.usual, drawn.ectopic


def beat_prior_loss(network: BeatPrior) -> Tensor:
    size, there = sum(network.sizes), torch.arange(ROWS) % 2 == 0
    coordinates, noise = torch.randn(2, ROWS, size)
    return network(coordinates, there, varied_conditions(), torch.linspace(0.1, 0.9, ROWS), noise).mean()


def run_alignment(network: AlignmentEncoder, given: Inputs) -> tuple[Tensor, ...]:
    ecg, text = network.project_ecg(network.features(given["signal"])), network.project_text(given["text"])
    return ecg, text, network.scale * (ecg * text).sum(dim=1)


def reconstruction_loss(autoencoder: Autoencoder, beat_decoder: BeatDecoder) -> Tensor:
    objective = AutoencoderObjective(autoencoder, beat_decoder, 1e-4, 1.0, 0.05)
    windows = torch.stack([torch.arange(ROWS), torch.full((ROWS,), 20)], dim=1)
    signal, beat = torch.randn(ROWS, 8, SAMPLES), torch.randn(ROWS, 8, 300)
    return objective(signal, beat, torch.full((ROWS,), 40), windows)["loss"]


def denoising_loss(network: Denoiser) -> Tensor:
    objective = DiffusionObjective(network, physics=None)
    of_class, omega = torch.zeros(ROWS, dtype=torch.int64), torch.full((ROWS,), 7.0)
    guide, levels = torch.randn(ROWS, GUIDE, STEPS), torch.randn(ROWS, LEVELS)
    return objective(torch.randn(ROWS, CHANNELS, STEPS), varied_conditions(), of_class, omega, guide, levels)["loss"]


def alignment_loss(network: AlignmentEncoder) -> Tensor:
    ecgs = network.project_ecg(network.features(torch.randn(ROWS, 8, SAMPLES)))
    texts = network.project_text(torch.randn(ROWS, TEXT_SIZE))
    return contrastive_loss(ecgs, texts, torch.arange(ROWS) // 2, network.scale)


AUTOENCODER = AutoencoderArchitecture(width=16, latent_channels=CHANNELS)
BEAT_DECODER = BeatDecoderArchitecture(width=16)
DENOISER = DenoiserArchitecture(
    width=16, multipliers=(1, 2), blocks=1, token_width=16, statement_tokens=2, knowledge_tokens=1
)
DETAIL = DetailArchitecture(width=16, blocks=2)
PRIOR = PriorArchitecture(components=12, width=16, blocks=2, token_width=16)
BEAT_PRIOR = BeatPriorArchitecture(components=12, ectopic_components=6, width=16, blocks=2, token_width=16, queries=2)

NETWORKS = {
    BeatEncoder: Network(
        BeatEncoderArchitecture(width=8, embedding=8),
        BeatEncoder,
        lambda: {"beats": torch.randn(ROWS, 8, BEAT_SAMPLES)},
        lambda network, given: (network(given["beats"]),),
        lambda network: same_patient_loss(network(torch.randn(ROWS, 8, BEAT_SAMPLES)), torch.arange(ROWS) // 2),
    ),
    Autoencoder: Network(
        AUTOENCODER,
        Autoencoder,
        lambda: {"signal": torch.randn(ROWS, 8, SAMPLES)},
        run_autoencoder,
        lambda network: reconstruction_loss(network, BeatDecoder(BEAT_DECODER, CHANNELS, 8, RATE_HZ)),
    ),
    BeatDecoder: Network(
        BEAT_DECODER,
        lambda shape: BeatDecoder(shape, CHANNELS, 8, RATE_HZ),
        lambda: {"latent": torch.randn(ROWS, CHANNELS, STEPS)},
        lambda network, given: tuple(network(given["latent"])),
        lambda network: reconstruction_loss(Autoencoder(AUTOENCODER), network),
        # It raises all logits of the place alike.
        idle=frozenset({"place.bias"}),
    ),
    Denoiser: Network(
        DENOISER,
        lambda shape: Denoiser(shape, CHANNELS, GUIDE, LEVELS),
        lambda: {
            "noisy": torch.randn(ROWS, CHANNELS, STEPS),
            "steps": torch.arange(ROWS) * 150,
            "condition": varied_conditions(),
            "guide": torch.randn(ROWS, GUIDE, STEPS),
            "levels": torch.randn(ROWS, LEVELS),
        },
        lambda network, given: (network(**given),),
        denoising_loss,
    ),
    DetailHead: Network(
        DETAIL,
        lambda shape: DetailHead(shape, RATE_HZ),
        lambda: {
            "noisy": torch.randn(ROWS, 8, SAMPLES),
            "time": torch.linspace(0.1, 0.9, ROWS),
            "seen": torch.randn(ROWS, 24, SAMPLES),
            "traits": torch.randn(ROWS, 3 * DetailHead(DETAIL, RATE_HZ).spectrum.given_size),
            "decoded": torch.randn(ROWS, 8, SAMPLES),
            "seeds": torch.arange(ROWS),
        },
        run_detail,
        lambda network: DetailObjective(network)(*(each[:ROWS] for each in residual_pair()))["loss"],
        lambda network: network.spectrum.fit(*residual_pair()),
    ),
    TraitPrior: Network(
        PRIOR,
        prior_of,
        lambda: {
            "noisy": torch.randn(ROWS, sum(prior_of(PRIOR).sizes)),
            "time": torch.linspace(0.1, 0.9, ROWS),
            "condition": varied_conditions(),
            "seeds": torch.arange(ROWS),
        },
        run_prior,
        lambda network: PriorObjective(network)(torch.randn(ROWS, sum(network.sizes)), varied_conditions())["loss"],
        fit_prior,
    ),
    BeatPrior: Network(
        BEAT_PRIOR,
        BeatPrior,
        lambda: {
            "noisy": torch.randn(ROWS, sum(BeatPrior(BEAT_PRIOR).sizes)),
            "time": torch.linspace(0.1, 0.9, ROWS),
            "condition": varied_conditions(),
            "has_ectopic": torch.arange(ROWS) % 2 == 0,
            "seeds": torch.arange(ROWS),
        },
        run_beat_prior,
        beat_prior_loss,
        lambda network: network.fit_components(
            Beats(amplitudes(), 2 * amplitudes(), torch.ones(len(amplitudes()), dtype=torch.bool))
        ),
    ),
    **FLOW_NETWORKS,
    EcgClassifier: Network(
        ClassifierArchitecture(width=8, stages=2, features=16),
        EcgClassifier,
        lambda: {"signal": torch.randn(ROWS, 8, SAMPLES)},
        lambda network, given: (network(given["signal"]),),
        lambda network: F.binary_cross_entropy_with_logits(
            network(torch.randn(ROWS, 8, SAMPLES)), torch.eye(ROWS, len(SUPERCLASSES))
        ),
    ),
    AlignmentEncoder: Network(
        AlignmentArchitecture(width=8, stages=2, features=16, embedding=8),
        AlignmentEncoder,
        lambda: {"signal": torch.randn(ROWS, 8, SAMPLES), "text": torch.randn(ROWS, TEXT_SIZE)},
        run_alignment,
        alignment_loss,
    ),
    Generator: Network(
        GeneratorConfig(
            autoencoder=AUTOENCODER,
            beat_decoder=BEAT_DECODER,
            denoiser=DENOISER,
            detail=DETAIL,
            prior=PRIOR,
            sampling_rate_hz=RATE_HZ,
            samples=SAMPLES,
            lead_scale_mv=(0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.3, 0.2),
            latent_mean=(0.1,) * CHANNELS,
            latent_std=(0.8,) * CHANNELS,
            phase_channels=True,
            simulated_ecg=True,
            levels=True,
            rhythms=USUAL,
            rows_at_once=16,
        ),
        Generator,
        lambda: {"condition": varied_conditions(), "seeds": torch.arange(ROWS)},
        lambda network, given: (
            network.sample(given["condition"], given["seeds"].tolist(), steps=2, guidance=1.5, trait_guidance=1.25),
        ),
        None,
        lambda network: (
            fit_prior(network.prior),
            lambda network: network.spectrum.fit(*residual_pair())(network.detail),
        ),
    ),
}
"""Class of each network to how a small one is made and used."""

each_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=[one.__name__ for one in NETWORKS])


def example(network: Network) -> tuple[Any, Inputs]:
    """The network in evaluation mode, and its inputs."""
    made = network.made().eval()
    torch.manual_seed(1)
    return made, network.inputs()


def tensors(given: Inputs) -> list[Tensor]:
    """Every tensor among inputs."""
    parts = [one.tensors().values() if isinstance(one, ConditionTensors) else [one] for one in given.values()]
    return [tensor for part in parts for tensor in part]


def same(some: typing.Iterable[Tensor], others: typing.Iterable[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


@each_network
@pytest.mark.parametrize("training", [False, True])
def test_inputs_are_left_as_they_are(network: Network, training: bool) -> None:
    made, given = example(network)
    before = copy.deepcopy(given)
    network.run(made.train(training), given)
    assert same(tensors(given), tensors(before))


@each_network
@pytest.mark.parametrize("order", [[3, 0, 5, 1, 4, 2], [4, 1]], ids=["permuted", "few"])
def test_a_row_is_the_same_at_any_place_of_any_batch(network: Network, order: list[int]) -> None:
    made, given = example(network)
    with torch.no_grad():
        outputs = network.run(made, given)
        others = network.run(made, {name: one[torch.tensor(order)] for name, one in given.items()})
    for output, other in zip(outputs, others, strict=True):
        assert output.std(dim=0).max() > 0, "rows must differ for this to say anything"
        assert torch.allclose(other, output[order], rtol=0, atol=EPSILON * float(output.abs().max()))


@each_network
def test_evaluation_leaves_nothing_behind(network: Network) -> None:
    made, given = example(network)
    state = {name: tensor.clone() for name, tensor in (*made.named_parameters(), *made.named_buffers())}
    drawn = torch.get_rng_state()
    with torch.no_grad():
        first, second = network.run(made, given), network.run(made, given)
    assert same(first, second)
    assert same(state.values(), (tensor for _, tensor in (*made.named_parameters(), *made.named_buffers())))
    assert torch.equal(torch.get_rng_state(), drawn), "random numbers must come from the rows' own seeds"


@each_network
def test_architecture_and_weights_rebuild_the_network(network: Network) -> None:
    made, given = example(network)
    saved = network.shape.model_dump_json(), save({name: one.contiguous() for name, one in made.state_dict().items()})
    torch.manual_seed(2)
    rebuilt: Any = network.build(type(network.shape).model_validate_json(saved[0])).eval()
    with torch.no_grad():
        expected = network.run(made, given)
        assert not same(network.run(rebuilt, given), expected), "other weights must give something else"
        rebuilt.load_state_dict(load(saved[1]))
        assert same(network.run(rebuilt, given), expected)


@pytest.mark.parametrize(
    "network",
    [one for one in NETWORKS.values() if one.loss],
    ids=[kind.__name__ for kind in NETWORKS if NETWORKS[kind].loss],
)
def test_gradients_reach_whatever_should_learn(network: Network) -> None:
    assert network.loss is not None
    made = network.made().train()
    torch.manual_seed(1)
    network.loss(made).backward()
    size = {name: 0.0 if one.grad is None else float(one.grad.abs().max()) for name, one in made.named_parameters()}
    assert math.isfinite(sum(size.values()))
    # Sums that should be zero are so but for rounding.
    assert {name for name, largest in size.items() if largest < 1e-6 * max(size.values())} == network.idle


def module_classes() -> set[type[nn.Module]]:
    """Every module class that a file in models/ defines."""
    names = [found.name for found in pkgutil.walk_packages(models.__path__, "models.")]
    return {
        member
        for name in names
        for member in vars(importlib.import_module(name)).values()
        if inspect.isclass(member) and issubclass(member, nn.Module) and member.__module__ == name
    }


def has_architecture(kind: type[nn.Module]) -> bool:
    """Whether a module is made from an architecture: it is a network, not a part of one."""
    hints = typing.get_type_hints(kind.__init__).values()
    return any(inspect.isclass(hint) and issubclass(hint, Architecture) for hint in hints)


def test_every_network_has_an_entry() -> None:
    found = module_classes()
    networks = {kind for kind in found if has_architecture(kind)} - LOSSES
    assert networks == NETWORKS.keys(), "add an entry to NETWORKS for each network"
    parts = {type(part) for one in NETWORKS.values() for part in one.build(one.shape).modules()}
    parts |= {base for kind in NETWORKS for base in kind.__mro__}
    assert found - parts == LOSSES, "a module that no network has is a network without an architecture, or a loss"
