"""What the stages of training learn from: latents, pieces, cardiac-phase channels, group conditions, simulated ECGs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.autoencoder import Autoencoder
from models.cardiac_phase import padded_times, phase_channels
from models.r_peaks import locate_r_peaks
from tasks.autoencoder_stages import DetailStage, shift_starts
from tasks.denoiser_stages import DenoiserStage
from tasks.simulated_latents import SIMULATED, simulated_file
from tasks.training_data import (
    SPLITS,
    BeatSplit,
    ConditionSplit,
    located_r_peaks,
    padded_r_peaks,
    save_beats,
    save_conditions,
    save_tensors,
)
from tasks.training_settings import TrainingSettings
from tasks.training_stage import AUTOENCODER_FILE, LATENTS_FILE, Material, save_weights
from tests.models.test_autoencoder import beating
from tests.models.test_conditioning import conditions
from tests.tasks.small_training import SAMPLES, SMALL, TRAINED, small

ROWS, STEPS, SHIFTS = 12, SAMPLES // 8, 8


def prepared(folder: Path, settings: TrainingSettings) -> tuple[Material, torch.Tensor]:
    """Prepared recordings with random latents, and their signal in mV."""
    signal, _ = beating(ROWS, SAMPLES)
    microvolts = (200 * signal).to(torch.int16)
    located = located_r_peaks(microvolts, 100)
    r_peaks = padded_r_peaks(located, SAMPLES, 100, settings.autoencoder.beat_decoder)
    times = padded_times([peaks / 100 for peaks in located])
    beats = BeatSplit(torch.arange(ROWS), r_peaks, times)
    zeros, hidden = torch.zeros(ROWS, dtype=torch.int64), conditions(ROWS).hidden()
    torch.manual_seed(4)
    latents = {split: torch.randn(ROWS, 8, STEPS) for split in SPLITS}
    for split in SPLITS:
        save_beats(folder, split, beats)
    for split in (*SPLITS, SIMULATED):
        save_conditions(folder, split, ConditionSplit(torch.ones(ROWS), zeros, conditions(ROWS), hidden))
    # A latent step is where it is: its number plus a part for the shift.
    shifted = torch.arange(STEPS - 1.0).repeat(SHIFTS, ROWS, 8, 1) + torch.arange(SHIFTS).view(-1, 1, 1, 1) / SHIFTS
    saved = {**latents, "shifted": shifted, "mean": torch.zeros(8), "std": torch.ones(8)}
    save_tensors(saved, folder / LATENTS_FILE)
    save_tensors({"latents": torch.full((ROWS, 8, STEPS), 7.0), "r_times": times}, simulated_file(folder))
    facts = {"sampling_rate_hz": 100, "samples": SAMPLES, "lead_scale_mv": [0.2] * 8}
    return Material(folder, folder, folder, settings, facts), microvolts.float() / 1000


def without_physics(phase_channels: bool = True, **changes: Any) -> TrainingSettings:
    physics = {"simulator": False, "inter_lead": False, "phase_channels": phase_channels}
    return small(diffusion={**SMALL["diffusion"], "physics": physics, **changes})


def test_phase_channels_in_training_are_those_of_generation(tmp_path: Path) -> None:
    material, signal = prepared(tmp_path, without_physics())
    stage, rows = DenoiserStage(material), torch.tensor([3, 7])
    batch = stage.batch("validation", rows, torch.device("cpu"))
    for row, phase in zip(rows, batch["phase"], strict=True):
        # As Generator makes them, one row at a time from R peaks in seconds.
        times = padded_times([one / 100 for one in locate_r_peaks(signal[row : row + 1].numpy(), 100)])
        assert torch.equal(phase, phase_channels(times, STEPS, 8, 100)[0])
    losses = stage.objective(**batch)
    losses["loss"].backward()
    weight = stage.denoiser.stem.weight
    assert weight.shape[1] == 8 + batch["phase"].shape[1]


def test_pieces_of_latents_and_their_phase_are_of_the_same_place(tmp_path: Path) -> None:
    material, signal = prepared(tmp_path, without_physics(crop_share=0.6))
    stage = DenoiserStage(material)
    torch.manual_seed(2)
    rows = torch.arange(ROWS)
    batch = stage.batch("train", rows, torch.device("cpu"))
    length = round(0.6 * (STEPS - 1))
    assert batch["latents"].shape == (ROWS, 8, length)
    assert len(set(batch["latents"][:, 0, 0].tolist())) > ROWS // 2, "places and shifts differ between rows"
    located = locate_r_peaks(signal.numpy(), 100)
    for row in range(ROWS):
        first = float(batch["latents"][row, 0, 0]) * 8 / 100
        whole = torch.from_numpy(located[row] / 100 - first)
        inside = whole[(whole >= 0) & (whole < length * 8 / 100)].numpy()
        assert torch.allclose(batch["phase"][row], phase_channels(padded_times([inside]), length, 8, 100)[0], atol=1e-4)


def test_whole_unshifted_recordings_are_pieces_too(tmp_path: Path) -> None:
    assert shift_starts(1, 8) == [0]
    assert shift_starts(4, 8) == [0, 2, 4, 6]
    material, _ = prepared(tmp_path, without_physics(crop_share=1.0))
    batch = DenoiserStage(material).batch("train", torch.tensor([0, 1]), torch.device("cpu"))
    assert batch["latents"].shape[-1] == STEPS - 1


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_recordings_are_shown_with_their_groups_condition_at_the_asked_share(tmp_path: Path, share: float) -> None:
    material, _ = prepared(tmp_path, without_physics(group_share=share))
    torch.manual_seed(1)
    batch = DenoiserStage(material).batch("train", torch.arange(ROWS).repeat(40), torch.device("cpu"))
    # In these recordings the group's condition hides everything.
    shown = batch["condition"].present.any(dim=1).float().mean()
    assert float(shown) == pytest.approx(1 - share, abs=0.06)


def test_without_phase_channels_the_denoiser_sees_latents_only(tmp_path: Path) -> None:
    material, _ = prepared(tmp_path, without_physics(phase_channels=False))
    stage = DenoiserStage(material)
    batch = stage.batch("train", torch.tensor([0, 1]), torch.device("cpu"))
    assert batch["phase"] is None
    assert stage.denoiser.stem.weight.shape[1] == 8
    assert torch.isfinite(stage.objective(**batch)["loss"])


def test_pre_training_begins_on_simulated_ecgs_and_ends_on_recordings(tmp_path: Path) -> None:
    material, _ = prepared(tmp_path, without_physics(pretraining_share=0.03))
    stage = DenoiserStage(material)
    assert [stage.split_of(step) for step in range(5)] == [SIMULATED] * 3 + ["train"] * 2
    assert stage.rows[SIMULATED] == ROWS
    batch = stage.batch(SIMULATED, torch.tensor([0, 1]), torch.device("cpu"))
    assert (batch["latents"] == 7).all()
    assert DenoiserStage(prepared(tmp_path, without_physics())[0]).split_of(0) == "train"


def test_stages_follow_from_the_settings() -> None:
    assert small().autoencoder_stages + small().generator_stages == TRAINED
    assert small(detail={"enabled": False}).autoencoder_stages == ("autoencoder",)
    assert small(distillation={"steps": 5}).generator_stages == ("denoiser", "student")


def test_models_that_differ_in_diffusion_share_an_autoencoder() -> None:
    shared = small().for_autoencoder_digest()
    assert small(diffusion={"steps": 7}, distillation={"steps": 5}).for_autoencoder_digest() == shared
    assert small(seed=2).for_autoencoder_digest() != shared
    assert small(detail={"enabled": False}).for_autoencoder_digest() != shared


def test_detail_learns_from_what_generation_will_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    material, _ = prepared(tmp_path, small())
    torch.manual_seed(0)
    autoencoder = Autoencoder(material.settings.autoencoder.architecture)
    save_weights(autoencoder, tmp_path / AUTOENCODER_FILE)
    signal, _ = beating(ROWS, SAMPLES)
    monkeypatch.setattr("tasks.autoencoder_stages.read_waveforms", lambda *_: (200 * signal).to(torch.int16))
    stage = DetailStage(material)
    batch = stage.batch("train", torch.tensor([2, 5]), torch.device("cpu"))
    assert torch.allclose(batch["signal"], signal[[2, 5]], atol=0.01)
    latents = load_file(tmp_path / LATENTS_FILE)["train"][[2, 5]]
    assert torch.allclose(batch["decoded"], autoencoder.decode(latents, SAMPLES), atol=1e-5)
    losses = stage.objective(**batch)
    losses["loss"].backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    gradient = stage.head.head.weight.grad
    assert gradient is not None and gradient.abs().sum() > 0
