"""The generator: the same seed and condition give the same bits, whatever else is generated beside them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from models.architecture import (
    AutoencoderArchitecture,
    BeatDecoderArchitecture,
    DenoiserArchitecture,
    DetailArchitecture,
    GeneratorConfig,
    PriorArchitecture,
    SamplingCorrection,
    SolverRule,
)
from models.conditioning import ConditionTensors
from models.ecg.cardiac_phase import padded_times, phase_channels
from models.ecg.r_peaks import locate_r_peaks
from models.latent_diffusion.beat_variation import beat_windows, log_variation
from models.latent_diffusion.denoiser import Context, Denoiser
from models.latent_diffusion.detail_head import DetailHead
from models.latent_diffusion.fitted_solver import FITTED_STEPS
from models.latent_diffusion.generator import Generator
from models.latent_diffusion.residual_levels import EXAGGERATED, Levels
from models.latent_diffusion.row_groups import in_groups
from models.latent_diffusion.simulator_conditioning import own_amplitudes
from models.simulator.beat_events import simulated_ecg
from models.simulator.rhythm_series import RHYTHMS, USUAL
from tests.models.synthetic_hearts import ecgs
from tests.models.test_conditioning import conditions

ROWS, CHANNELS = 20, AutoencoderArchitecture().latent_channels


def generator(samples: int = 1000, **changes: object) -> Generator:
    """Untrained, with the zero-initialised layers made to do something."""
    config = GeneratorConfig(
        autoencoder=AutoencoderArchitecture(width=16),
        beat_decoder=BeatDecoderArchitecture(width=16),
        denoiser=DenoiserArchitecture(width=32, token_width=32, blocks=1),
        sampling_rate_hz=100,
        samples=samples,
        lead_scale_mv=(0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.3, 0.2),
        latent_mean=(0.1,) * CHANNELS,
        latent_std=(0.8,) * CHANNELS,
        **{  # type: ignore[arg-type]
            "phase_channels": True,
            "simulated_ecg": True,
            "levels": True,
            "prior": PriorArchitecture(width=16, blocks=1, token_width=16),
            "rhythms": USUAL,
            "detail": DetailArchitecture(width=16, blocks=2),
            **changes,
        },
    )
    torch.manual_seed(0)
    network = Generator(config)
    for part in (network.denoiser, network.detail, network.prior):
        for weight in part.parameters() if part else ():
            if not weight.any():
                torch.nn.init.normal_(weight, std=0.05)
    if network.detail:
        signal = torch.randn(64, 8, 500)
        network.detail.spectrum.fit(signal + 0.2 * torch.randn_like(signal), signal)
    if network.prior and network.prior.events:
        network.prior.events.fit(people())
    return network.requires_grad_(False)


def draw(
    network: Generator,
    condition: ConditionTensors,
    seeds: list[int],
    steps: int,
    guidance: float = 1.0,
    trait_guidance: float = 1.25,
) -> torch.Tensor:
    return network.sample(condition, seeds, steps=steps, guidance=guidance, trait_guidance=trait_guidance)


def spied(monkeypatch: pytest.MonkeyPatch, what: str) -> list[torch.Tensor]:
    """What denoisers are given from now on, each time: their "guide" or "levels"."""
    found, context = list[torch.Tensor](), Denoiser.context

    def spy(self: Denoiser, condition: ConditionTensors, guide: torch.Tensor, levels: torch.Tensor) -> Context:
        found.append({"guide": guide, "levels": levels}[what])
        return context(self, condition, guide, levels)

    monkeypatch.setattr(Denoiser, "context", spy)
    return found


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Guides that denoisers are shown."""
    return spied(monkeypatch, "guide")


def people() -> torch.Tensor:
    """Event amplitudes (30, 8, events) of some people."""
    signal = ecgs(30, 9)
    return own_amplitudes(signal, locate_r_peaks(signal, 100), 100)[0]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_row_has_the_same_bits_in_any_batch(precision: str) -> None:
    network, condition = generator(precision=precision, rows_at_once=8), conditions(ROWS)
    condition.numbers[:, 0] = torch.arange(float(ROWS))
    condition.numbers[:, 2] = 50 + 5 * torch.arange(float(ROWS))
    condition.present[::3, -1] = False
    condition.rhythm[:] = torch.arange(ROWS) % len(RHYTHMS)
    seeds = [1000 + row for row in range(ROWS)]
    sample = partial(network.sample, steps=3, guidance=2.0, trait_guidance=1.5)
    whole = sample(condition, seeds)
    assert whole.shape == (ROWS, 8, 1000)
    assert whole.dtype == torch.float32
    for size in (1, 7):
        pieces = [sample(condition[at : at + size], seeds[at : at + size]) for at in range(0, ROWS, size)]
        assert torch.equal(torch.cat(pieces), whole), size
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1)).tolist()
    shuffled = sample(condition[order], [seeds[row] for row in order])
    assert torch.equal(shuffled, whole[order])


def test_a_row_does_not_depend_on_the_number_of_threads() -> None:
    # Two groups of rows, which two threads make side by side.
    network, condition = generator(rows_at_once=2), conditions(3)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(draw(network, condition, [1, 2, 3], steps=3, guidance=2.0))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])


def test_seed_condition_guidance_and_steps_matter() -> None:
    network, condition = generator(), conditions(2)
    usual = draw(network, condition, [1, 2], steps=3, guidance=2.0)
    assert not torch.equal(usual, draw(network, condition, [1, 3], steps=3, guidance=2.0))
    assert not torch.equal(usual, draw(network, condition, [1, 2], steps=4, guidance=2.0))
    assert not torch.equal(usual, draw(network, condition, [1, 2], steps=3, guidance=4.0))
    assert not torch.equal(usual, draw(network, condition, [1, 2], steps=3, guidance=2.0, trait_guidance=2.0))
    assert not torch.equal(usual, draw(network, condition.hidden(), [1, 2], steps=3, guidance=2.0))


def test_a_fitted_solver_is_used_for_its_number_of_steps_whatever_the_guidance() -> None:
    rule = SolverRule(times=(999, 400), weights=((1.0,), (-0.5, 1.5)))
    network, fitted, condition = generator(), generator(solvers=(rule,)), conditions(3)
    seeds = [1, 2, 3]
    for guidance in (1.0, 2.0):
        by_rule = draw(fitted, condition, seeds, steps=2, guidance=guidance)
        assert not torch.equal(by_rule, draw(network, condition, seeds, steps=2, guidance=guidance))
        assert torch.equal(draw(fitted, condition[[1]], [2], steps=2, guidance=guidance)[0], by_rule[1])
    assert torch.equal(draw(fitted, condition, seeds, steps=3), draw(network, condition, seeds, steps=3))


def test_fitted_solvers_bring_their_corrections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.latent_diffusion.generator.CORRECTED_ON", 16)
    network, condition, seeds = generator(rows_at_once=8), conditions(3), [1, 2, 3]
    rules = network.fitted_solvers()
    assert [len(rule.times) for rule in rules] == list(FITTED_STEPS)
    for rule in rules:
        correction = rule.correction
        assert len(correction.level_gain) == network.prior.levels.size  # type: ignore[union-attr]
        assert any(correction.level_gain) and any(correction.descriptor_offset) and 0 < correction.variation_factor <= 1
    saved = GeneratorConfig.model_validate_json(network.config.model_copy(update={"solvers": rules}).model_dump_json())
    loaded = Generator(saved)
    loaded.load_state_dict(network.state_dict())
    monkeypatch.setattr(Generator, "_correction_of", lambda *_: pytest.fail("it was saved"))
    drawn = draw(loaded, condition, seeds, steps=4)
    loaded._rules[4] = rules[1].model_copy(update={"correction": SamplingCorrection()})
    assert not torch.equal(draw(loaded, condition, seeds, steps=4), drawn)


def test_the_guide_follows_heart_rate_rhythm_and_seed() -> None:
    network, condition = generator(), conditions(4)
    condition.numbers[:, 2] = torch.tensor([50.0, 50.0, 110.0, 110.0])
    condition.rhythm[:] = torch.tensor([0, RHYTHMS.index("atrial fibrillation"), 0, 0])
    peaks = network.r_peaks(condition, [1, 1, 1, 2])
    rates = [60 / np.mean(np.diff(one)) for one in peaks]
    assert rates == pytest.approx([50, 50, 110, 110], abs=1)
    spread = [
        float(np.median([np.diff(network.r_peaks(condition, [seed] * 4)[row]).std() for seed in range(9)]))
        for row in (1, 0)
    ]
    assert spread[0] > 3 * spread[1]
    assert not np.array_equal(peaks[2], peaks[3])
    # The unconditional branch sees the same beats: hiding the condition from the tokens leaves the series alone.
    hidden = network.r_peaks(ConditionTensors.stack([condition]), [1, 1, 1, 2])
    assert all(np.array_equal(one, other) for one, other in zip(peaks, hidden, strict=True))
    sampled = draw(network, condition[[0, 2]], [1, 1], steps=2, guidance=1.0)
    assert not torch.equal(sampled[0], sampled[1])


def test_the_guide_of_a_recording_is_its_phase_and_an_ecg_like_it() -> None:
    network = generator(precision="fp32")
    assert network.prior is not None and network.prior.events is not None
    signal = torch.from_numpy(ecgs(3, 1))
    located = locate_r_peaks(signal.numpy(), 100)
    amplitude, known = own_amplitudes(signal.numpy(), located, 100)
    assert known.all()
    # All of these people's beats can be said in coordinates.
    network.prior.events.fit(amplitude)
    guide = network.guide([one / 100 for one in located], network.prior.events.nearest(amplitude))
    times = padded_times([one / 100 for one in located])
    phase, shown = guide[:, :-CHANNELS], guide[:, -CHANNELS:]
    assert torch.allclose(phase, phase_channels(times, 125, 8, 100), atol=1e-6)
    like = simulated_ecg(amplitude, times, 100, 1000)
    for row in range(3):
        assert torch.corrcoef(torch.stack([like[row].flatten(), signal[row].flatten()]))[0, 1] > 0.9
    assert torch.allclose(shown, network.encode(like), atol=1e-2)


def test_a_recording_without_beats_has_a_flat_simulated_ecg() -> None:
    network, flat = generator(precision="fp32"), torch.zeros(1, 8, 1000)
    located = locate_r_peaks(flat.numpy(), 100)
    amplitude, known = own_amplitudes(flat.numpy(), located, 100)
    assert not known.any()
    guide = network.guide([one / 100 for one in located], amplitude)
    assert torch.allclose(guide[:, -CHANNELS:], network.encode(flat), atol=1e-6)


def test_each_row_has_a_beat_of_its_own_and_its_condition_counts(seen: list[torch.Tensor]) -> None:
    network = generator(phase_channels=False, levels=False, detail=None)
    condition = ConditionTensors.stack([conditions(1)] * 3)
    condition.numbers[2, 0] += 40.0
    # The RR series follows from the seed too; equal seeds leave the beat as the only difference.
    for seeds in ([1, 2, 1], [1, 2, 1]):
        draw(network, condition, seeds, steps=1, guidance=1.0)
    first, again = seen
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1], atol=0.1)
    assert not torch.equal(first[0], first[2])


def test_without_denoising_steps_the_simulated_ecg_stays_as_it_is(seen: list[torch.Tensor]) -> None:
    network = generator(detail=None, precision="fp32", levels=False)
    condition = conditions(2)
    draw(network, condition, [1, 2], steps=1, guidance=1.0)
    shown = seen[0][:2, -CHANNELS:]
    assert torch.allclose(draw(network, condition, [1, 2], steps=0), network.decode(shown), atol=1e-6)
    assert len(seen) == 1
    with pytest.raises(ValueError, match="no simulated ECG"):
        draw(generator(simulated_ecg=False), condition, [1, 2], steps=0)


def test_without_a_guide_the_network_and_its_rows_are_as_if_there_were_no_simulator() -> None:
    network, condition = generator(phase_channels=False, simulated_ecg=False, rhythms={}), conditions(2)
    assert network.denoiser.stem.weight.shape[1] == CHANNELS
    assert generator().denoiser.stem.weight.shape[1] > CHANNELS
    usual = draw(network, condition, [1, 2], steps=2, guidance=2.0)
    condition.rhythm[:] = RHYTHMS.index("atrial fibrillation")
    assert torch.equal(draw(network, condition, [1, 2], steps=2, guidance=2.0), usual)


def test_the_guide_needs_the_numbers_of_every_rhythm() -> None:
    with pytest.raises(ValueError, match=r"missing: .*atrial fibrillation"):
        generator(rhythms={})


def test_detail_is_added_to_the_pure_decoder_and_depends_on_signal_and_seed_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, condition, seeds = generator(detail=None, rows_at_once=4), conditions(6), [1, 2, 3, 4, 5, 6]
    plain.load_state_dict(generator().state_dict(), strict=False)
    decoded = draw(plain, condition, seeds, steps=2)
    usual = draw(generator(rows_at_once=4), condition, seeds, steps=2)
    # Generated signals are unlike recordings on average, which is no part of what they lack; otherwise all is the same.
    monkeypatch.setattr(DetailHead, "unlike_recordings", lambda *_: torch.zeros(1))
    network = generator(rows_at_once=4)
    sampled = draw(network, condition, seeds, steps=2)
    assert not torch.equal(sampled, decoded) and not torch.equal(sampled, usual)

    def with_detail(order: list[int]) -> torch.Tensor:
        signal, own = decoded[order], [seeds[row] for row in order]
        corrected = SamplingCorrection()
        made = lambda rows: network._detailed(signal[rows], [own[row] for row in rows], corrected)  # noqa: E731
        return in_groups(made, len(order), 4, "cpu")

    assert torch.equal(with_detail(list(range(6))), sampled)
    assert torch.equal(with_detail([4, 1]), sampled[[4, 1]])


def test_model_without_experience_ignores_knowledge() -> None:
    network, condition = generator(experience=False), conditions(2)
    given = draw(network, condition, [1, 2], steps=2, guidance=2.0)
    assert torch.equal(given, draw(network, condition.without_knowledge(), [1, 2], steps=2, guidance=2.0))


def test_no_rows_and_too_few_seeds() -> None:
    network, condition = generator(samples=500), conditions(2)
    assert draw(network, condition[:0], [], steps=2).shape == (0, 8, 500)
    with pytest.raises(ValueError, match="2 conditions"):
        draw(network, condition, [1], steps=2)


def test_latents_have_the_promised_shapes_and_units() -> None:
    network = generator(samples=500)
    signal = torch.randn(3, 8, 500) * network.lead_scale
    latents = network.encode(signal)
    assert latents.shape == (3, *network.latent_shape) == (3, CHANNELS, 63)
    assert network.decode(latents).shape == network.reconstruct(signal).shape == (3, 8, 500)


def test_what_sampling_loses_on_average_is_given_back_and_to_all_rows_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    network, corrections = generator(detail=None, precision="fp32", rows_at_once=4), list[torch.Tensor]()
    levels, louder = network.prior.levels, Levels.louder  # type: ignore[union-attr]
    assert levels is not None
    levels.fit(levels.of(torch.randn(64, *network.latent_shape)))

    def spied(self: Levels, difference: torch.Tensor, correction: torch.Tensor) -> torch.Tensor:
        corrections.append(correction)
        return louder(self, difference, correction)

    monkeypatch.setattr(Levels, "louder", spied)
    draw(network, conditions(4), [1, 2, 3, 4], steps=2, guidance=1.0)
    first = corrections[-1]
    assert first.abs().max() > 0.05, "an untrained denoiser has other levels than white noise"
    found = len(corrections)
    draw(network, conditions(8), list(range(8)), steps=2, guidance=1.0)
    assert len(corrections) == found + 2, "it is found once"
    assert torch.equal(corrections[-1], first)
    draw(network, conditions(4), [1, 2, 3, 4], steps=1, guidance=1.0)
    assert not torch.equal(corrections[-1], first), "another way of sampling loses something else"


def test_what_is_made_louder_differs_no_more_from_beat_to_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    network = generator(detail=None, precision="fp32", rows_at_once=8)
    levels = network.prior.levels  # type: ignore[union-attr]
    assert levels is not None
    monkeypatch.setattr(Levels, "correction", lambda self, difference, drawn: torch.full((self.size,), 0.4))
    # An untrained decoder makes all latents equally loud.
    monkeypatch.setattr(Generator, "decode", lambda self, latents: latents[:, :8].repeat_interleave(8, dim=2))
    seeds, correction = list(range(8)), network._correction(2)
    assert correction.variation_factor < 0.95
    solved = network._solved(conditions(8), seeds, 2, 1.0, 1.0)
    windows = beat_windows(solved.r_peaks_s, 1000, 100)
    without, louder, made = (
        log_variation(network._decoded(solved, one), windows, 100).mean()
        for one in (SamplingCorrection(), SamplingCorrection(level_gain=correction.level_gain), correction)
    )
    assert louder > without + 0.1
    assert made == pytest.approx(float(without), abs=0.1)
    sampled = draw(network, conditions(8), seeds, steps=2, trait_guidance=1.0)
    # Here with all threads, whose products round differently.
    assert torch.allclose(sampled, network._decoded(solved, correction), atol=1e-4)
    alone = draw(network, conditions(8)[[5]], [5], steps=2, trait_guidance=1.0)
    assert torch.equal(alone[0], sampled[5])


@pytest.mark.parametrize("simulated_ecg", [True, False])
def test_beside_simulated_ecgs_larger_differences_of_levels_are_told_than_are_to_be_made(
    simulated_ecg: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, condition = generator(simulated_ecg=simulated_ecg, detail=None), conditions(4)
    told, seeds = spied(monkeypatch, "levels"), [1, 2, 3, 4]
    draw(network, condition, seeds, steps=1, trait_guidance=1.0)
    drawn = network._drawn(condition, seeds, network.r_peaks(condition, seeds), 1.0)[2].levels
    assert drawn is not None and drawn.abs().max() > 0.5
    rows = told[-1][: len(seeds)]
    assert torch.allclose(rows, (EXAGGERATED * drawn).clamp(-3.5, 3.5) if simulated_ecg else drawn, atol=1e-5)


def test_sampling_follows_the_weights() -> None:
    network, condition = generator(), conditions(1)
    before = draw(network, condition, [1], steps=1)
    assert torch.equal(draw(network, condition, [1], steps=1), before)
    with torch.no_grad():
        network.denoiser.head[-1].bias.add_(1.0)  # type: ignore[union-attr, operator]
    assert not torch.equal(draw(network, condition, [1], steps=1), before)


def test_beats_and_levels_need_a_prior() -> None:
    for wrong in ({"prior": None}, {"simulated_ecg": False, "levels": False}):
        with pytest.raises(ValueError, match="has a prior where it draws"):
            generator(**wrong)
