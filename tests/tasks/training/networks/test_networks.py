"""What the stages of training learn from: latents, pieces, the simulator's guide, group conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.architecture import AutoencoderArchitecture, GeneratorConfig
from models.ecg.cardiac_phase import padded_times, phase_channels
from models.ecg.r_peaks import locate_r_peaks
from models.latent_diffusion.autoencoder import Autoencoder
from models.latent_diffusion.generator import Generator
from models.latent_diffusion.simulator_conditioning import own_amplitudes
from models.simulator.beat_events import EVENTS, simulated_ecg
from models.simulator.rhythm_series import USUAL
from tasks.settings.training import TrainingSettings
from tasks.training.data.beats import BeatSplit, padded_r_peaks, save_beats
from tasks.training.data.conditions import ConditionSplit, save_conditions
from tasks.training.data.latents import shift_starts
from tasks.training.data.recordings import LEARNING_SPLITS
from tasks.training.data.traits import (
    components_file,
    events_of,
    guides_file,
    load_guides,
    load_traits,
    new_prior,
    traits_file,
)
from tasks.training.data.weight_files import AUTOENCODER_FILE, LATENTS_FILE, save_tensors, save_weights
from tasks.training.networks.denoiser import DenoiserRecipe
from tasks.training.networks.detail_head import DetailRecipe
from tasks.training.networks.prior import PriorRecipe
from tasks.training.networks.recipe import Material
from tasks.training.preparation.traits import prepare_traits
from tests.models.latent_diffusion.test_autoencoder import beating
from tests.models.test_conditioning import conditions
from tests.tasks.small_training import SAMPLES, SMALL, TRAINED, small
from warehouse.storage.facts import TrainingDataFacts

CHANNELS = AutoencoderArchitecture().latent_channels
ROWS, STEPS, SHIFTS, LEVELS = 12, SAMPLES // 8, 8, 4 * CHANNELS


def prepared(folder: Path, settings: TrainingSettings) -> tuple[Material, torch.Tensor]:
    """Prepared recordings with random latents, and their signal in mV."""
    signal, _ = beating(ROWS, SAMPLES)
    microvolts = (200 * signal).to(torch.int16)
    np.save(folder / "waveforms.npy", microvolts.numpy())
    times_s = [peaks / 100 for peaks in locate_r_peaks(microvolts.numpy() / 1000, 100)]
    r_peaks = padded_r_peaks(times_s, SAMPLES, 100)
    times = padded_times(times_s)
    beats = BeatSplit(torch.arange(ROWS), r_peaks, times)
    zeros, hidden = torch.zeros(ROWS, dtype=torch.int64), conditions(ROWS).hidden()
    torch.manual_seed(4)
    latents = {split: torch.randn(ROWS, CHANNELS, STEPS) for split in LEARNING_SPLITS}
    for split in LEARNING_SPLITS:
        save_beats(folder, split, beats)
        save_conditions(folder, split, ConditionSplit(torch.ones(ROWS), zeros, conditions(ROWS), hidden))
    # A latent step is where it is: its number plus a part for the shift.
    shifted = (
        torch.arange(STEPS - 1.0).repeat(SHIFTS, ROWS, CHANNELS, 1) + torch.arange(SHIFTS).view(-1, 1, 1, 1) / SHIFTS
    )
    saved = {**latents, "shifted": shifted, "mean": torch.zeros(CHANNELS), "std": torch.ones(CHANNELS)}
    save_tensors(saved, folder / LATENTS_FILE)
    # The simulated ECGs are as long as the recordings and lie elsewhere, so that pieces can be told apart.
    save_tensors({"train": shifted + 1000, "validation": latents["validation"] + 1000}, guides_file(folder))
    for split in LEARNING_SPLITS:
        told = torch.arange(float(ROWS))[:, None].expand(-1, LEVELS).contiguous()
        save_tensors({"rows": torch.arange(ROWS), "traits": told.clone(), "levels": told}, traits_file(folder, split))
    facts = TrainingDataFacts(
        sampling_rate_hz=100, samples=SAMPLES, simulated=True, lead_scale_mv=[0.2] * 8, recordings={}, excluded={}
    )
    return Material(folder, folder / "waveforms.npy", folder, settings, facts), microvolts.float() / 1000


def without_physics(phase_channels: bool = True, simulated_ecg: bool = False, **changes: Any) -> TrainingSettings:
    physics = {"phase_channels": phase_channels, "simulated_ecg": simulated_ecg}
    return small(diffusion={**SMALL["diffusion"], "physics": physics, **changes})


def test_phase_channels_in_training_are_those_of_generation(tmp_path: Path) -> None:
    material, signal = prepared(tmp_path, without_physics())
    stage, rows = DenoiserRecipe(material), torch.tensor([3, 7])
    batch = stage.batch("validation", rows, torch.device("cpu"))
    for row, phase in zip(rows, batch["guide"], strict=True):
        # As Generator makes them, one row at a time from R peaks in seconds.
        times = padded_times([one / 100 for one in locate_r_peaks(signal[row : row + 1].numpy(), 100)])
        assert torch.equal(phase, phase_channels(times, STEPS, 8, 100)[0])
    losses = stage.objective(**batch)
    losses["loss"].backward()
    weight = stage.denoiser.stem.weight
    assert weight.shape[1] == CHANNELS + batch["guide"].shape[1]


def test_pieces_of_latents_and_their_phase_are_of_the_same_place(tmp_path: Path) -> None:
    material, signal = prepared(tmp_path, without_physics(crop_share=0.6))
    stage = DenoiserRecipe(material)
    torch.manual_seed(2)
    rows = torch.arange(ROWS)
    batch = stage.batch("train", rows, torch.device("cpu"))
    length = round(0.6 * (STEPS - 1))
    assert batch["latents"].shape == (ROWS, CHANNELS, length)
    assert len(set(batch["latents"][:, 0, 0].tolist())) > ROWS // 2, "places and shifts differ between rows"
    located = locate_r_peaks(signal.numpy(), 100)
    for row in range(ROWS):
        first = float(batch["latents"][row, 0, 0]) * 8 / 100
        whole = torch.from_numpy(located[row] / 100 - first)
        inside = whole[(whole >= 0) & (whole < length * 8 / 100)].numpy()
        assert torch.allclose(batch["guide"][row], phase_channels(padded_times([inside]), length, 8, 100)[0], atol=1e-4)


def test_simulated_ecgs_are_shown_at_the_place_and_shift_of_the_piece(tmp_path: Path) -> None:
    material, _ = prepared(tmp_path, without_physics(simulated_ecg=True, crop_share=0.6))
    stage = DenoiserRecipe(material)
    for split in LEARNING_SPLITS:
        batch = stage.batch(split, torch.arange(ROWS), torch.device("cpu"))
        assert torch.allclose(batch["guide"][:, -CHANNELS:], batch["latents"] + 1000, atol=1e-2)
        assert torch.isfinite(stage.objective(**batch)["loss"])
    alone = DenoiserRecipe(prepared(tmp_path, without_physics(False, simulated_ecg=True))[0])
    assert alone.batch("train", torch.tensor([0]), torch.device("cpu"))["guide"].shape[1] == CHANNELS
    assert alone.denoiser.stem.weight.shape[1] == 2 * CHANNELS


def test_simulated_ecgs_in_training_are_those_of_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = without_physics(simulated_ecg=True)
    material, signal = prepared(tmp_path, settings)
    torch.manual_seed(0)
    save_weights(Autoencoder(settings.autoencoder.architecture), tmp_path / AUTOENCODER_FILE)
    prepare_traits(tmp_path, settings, material.waveforms, tmp_path, material.facts)
    guides = load_guides(tmp_path)
    config = GeneratorConfig(
        autoencoder=settings.autoencoder.architecture,
        beat_decoder=settings.autoencoder.beat_decoder,
        denoiser=settings.diffusion.architecture,
        simulated_ecg=True,
        levels=True,
        prior=settings.prior.architecture,
        sampling_rate_hz=100,
        samples=SAMPLES,
        lead_scale_mv=(0.2,) * 8,
        latent_mean=(0.0,) * CHANNELS,
        latent_std=(1.0,) * CHANNELS,
        rhythms=USUAL,
        precision="fp32",
    )
    generator = Generator(config)
    generator.autoencoder.load_state_dict(load_file(tmp_path / AUTOENCODER_FILE))
    assert generator.prior is not None
    generator.prior.load_state_dict(load_file(components_file(tmp_path)), strict=False)
    located = locate_r_peaks(signal.numpy(), 100)
    amplitude = events_of(generator.prior).nearest(own_amplitudes(signal.numpy(), located, 100)[0])
    guide = generator.guide([one / 100 for one in located], amplitude)
    assert torch.allclose(guides["validation"], guide, atol=1e-3)
    # The levels that the denoiser is told in training are of what is not in the guide.
    made = generator.encode(signal)
    saved = load_file(tmp_path / LATENTS_FILE)
    save_tensors({**saved, "validation": made}, tmp_path / LATENTS_FILE)
    prepare_traits(tmp_path, settings, material.waveforms, tmp_path, material.facts)
    generator.prior.load_state_dict(load_file(components_file(tmp_path)), strict=False)
    levels = generator.prior.levels
    assert levels is not None
    told = levels.coordinates(levels.of(made - generator.shown(guide)))
    # Of a dozen recordings only the first components are more than rounding.
    assert torch.allclose(load_traits(tmp_path, "validation").levels[:, :6], told[:, :6], atol=3e-2)
    # In training each shift has its own piece, and a beat that is a little off.
    assert guides["train"].shape == (SHIFTS, ROWS, CHANNELS, STEPS - 1)
    first = guides["train"][0] - guides["validation"][..., :-1]
    assert 0.001 < float(first.std()) < 0.5 * float(guides["validation"].std())
    monkeypatch.setattr("tasks.training.preparation.traits.JITTER", 0.0)
    prepare_traits(tmp_path, settings, material.waveforms, tmp_path, material.facts)
    whole = simulated_ecg(amplitude, padded_times([one / 100 for one in located]), 100, SAMPLES)
    length = 8 * (STEPS - 1)
    for shift, made in enumerate(load_guides(tmp_path)["train"]):
        assert torch.allclose(made, generator.encode(whole[..., shift : shift + length]), atol=1e-3), shift


def test_the_prior_learns_traits_with_the_conditions_of_their_recordings(tmp_path: Path) -> None:
    material, _ = prepared(tmp_path, without_physics(simulated_ecg=True, group_share=0.0))
    fitted = new_prior(material.settings, 100)
    events = events_of(fitted)
    events.fit(torch.randn(30, 8, len(EVENTS), generator=torch.Generator().manual_seed(1)))
    parts = {name: one for name, one in fitted.state_dict().items() if name.startswith(("events.", "levels."))}
    save_tensors(parts, components_file(tmp_path))
    # The first recording has no usual beat.
    rows = torch.arange(1, ROWS)
    for split in LEARNING_SPLITS:
        traits = rows[:, None].expand(-1, sum(fitted.sizes)).float()
        save_tensors({"rows": rows, "traits": traits, "levels": torch.zeros(ROWS, 1)}, traits_file(tmp_path, split))
    stage = PriorRecipe(material)
    assert stage.rows == dict.fromkeys(LEARNING_SPLITS, ROWS - 1)
    batch = stage.batch("train", torch.tensor([0, 4]), torch.device("cpu"))
    assert batch["traits"][:, 0].tolist() == [1.0, 5.0]
    expected = stage.conditions["train"].condition[torch.tensor([1, 5])].without_knowledge()
    shown = batch["condition"] if material.settings.diffusion.experience else batch["condition"].without_knowledge()
    assert torch.equal(shown.without_knowledge().present, expected.present)
    assert torch.equal(shown.text, expected.text)
    stage.objective(**batch)["loss"].backward()
    assert torch.equal(events_of(stage.prior).axes, events.axes)


def test_the_denoiser_is_told_the_levels_of_the_recording(tmp_path: Path) -> None:
    material, _ = prepared(tmp_path, without_physics())
    stage = DenoiserRecipe(material)
    batch = stage.batch("train", torch.tensor([3, 7]), torch.device("cpu"))
    assert batch["levels"].tolist() == [[3.0] * LEVELS, [7.0] * LEVELS]
    assert torch.isfinite(stage.objective(**batch)["loss"])
    untold = DenoiserRecipe(prepared(tmp_path, without_physics(levels=False))[0])
    assert untold.batch("train", torch.tensor([3]), torch.device("cpu"))["levels"] is None
    assert untold.denoiser.levels is None


def test_shifts_fill_a_latent_step_and_whole_recordings_are_pieces_too(tmp_path: Path) -> None:
    assert shift_starts(4) == [0, 1, 2, 3]
    assert shift_starts(16) == list(range(0, 16, 2))
    material, _ = prepared(tmp_path, without_physics(crop_share=1.0))
    batch = DenoiserRecipe(material).batch("train", torch.tensor([0, 1]), torch.device("cpu"))
    assert batch["latents"].shape[-1] == STEPS - 1


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_recordings_are_shown_with_their_groups_condition_at_the_asked_share(tmp_path: Path, share: float) -> None:
    material, _ = prepared(tmp_path, without_physics(group_share=share))
    torch.manual_seed(1)
    batch = DenoiserRecipe(material).batch("train", torch.arange(ROWS).repeat(40), torch.device("cpu"))
    # In these recordings the group's condition hides everything.
    shown = batch["condition"].present.any(dim=1).float().mean()
    assert float(shown) == pytest.approx(1 - share, abs=0.06)


def test_without_phase_channels_the_denoiser_sees_latents_only(tmp_path: Path) -> None:
    material, _ = prepared(tmp_path, without_physics(phase_channels=False))
    stage = DenoiserRecipe(material)
    batch = stage.batch("train", torch.tensor([0, 1]), torch.device("cpu"))
    assert batch["guide"] is None
    assert stage.denoiser.stem.weight.shape[1] == CHANNELS
    assert torch.isfinite(stage.objective(**batch)["loss"])


def test_stages_follow_from_the_settings() -> None:
    assert small().autoencoder_stages + small().generator_stages == TRAINED
    assert small(detail={"enabled": False}).autoencoder_stages == ("autoencoder",)
    assert without_physics().generator_stages == ("prior", "denoiser")
    assert without_physics(levels=False).generator_stages == ("denoiser",)


def test_models_that_differ_in_diffusion_share_an_autoencoder() -> None:
    shared = small().for_autoencoder_digest()
    changed = {"diffusion": {"steps": 7}, "prior": {"steps": 3}}
    assert small(**changed).for_autoencoder_digest() == shared
    assert small(seed=2).for_autoencoder_digest() != shared
    assert small(detail={"enabled": False}).for_autoencoder_digest() != shared


def test_detail_learns_from_what_generation_will_decode(tmp_path: Path) -> None:
    material, _ = prepared(tmp_path, small())
    torch.manual_seed(0)
    autoencoder = Autoencoder(material.settings.autoencoder.architecture)
    save_weights(autoencoder, tmp_path / AUTOENCODER_FILE)
    signal, _ = beating(ROWS, SAMPLES)
    stage = DetailRecipe(material)
    batch = stage.batch("train", torch.tensor([2, 5]), torch.device("cpu"))
    assert torch.allclose(batch["signal"], signal[[2, 5]], atol=0.01)
    latents = load_file(tmp_path / LATENTS_FILE)["train"][[2, 5]]
    assert torch.allclose(batch["decoded"], autoencoder.decode(latents, SAMPLES), atol=1e-5)
    losses = stage.objective(**batch)
    losses["loss"].backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    gradient = stage.head.head.weight.grad
    assert gradient is not None and gradient.abs().sum() > 0
