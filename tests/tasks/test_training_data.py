"""What training reads: usable recordings, simulator classes, crops, cardiac-phase channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.beats import whole_beats
from models.cardiac_phase import padded_times, phase_channels
from models.r_peaks import locate_r_peaks
from tasks.settings import TrainingSettings
from tasks.training_data import (
    TrainingError,
    located_r_peaks,
    padded_r_peaks,
    random_crops,
    save_split,
    usable_rows,
    wave_classes,
)
from tasks.training_stages import LATENTS, DenoiserStage, save_tensors
from tests.models.test_autoencoder import beating
from tests.models.test_conditioning import conditions
from tests.tasks.small_training import SAMPLES, SMALL, recordings_table, small


def test_recordings_without_signal_are_left_out_and_counted() -> None:
    table = recordings_table(10).append_column("row", pa.array(range(10)))
    rows, excluded = usable_rows(table)
    assert 0 not in rows["train"]
    assert 1 in rows["train"]
    assert excluded == {"flat_lead": 1}
    flat = table.set_column(
        table.schema.get_field_index("quality_flags"), "quality_flags", pa.array([["flat_lead_i"]] * 10)
    )
    with pytest.raises(TrainingError, match="no usable train recordings"):
        usable_rows(flat)


def test_rare_statements_fall_back_to_superclass_then_to_all() -> None:
    statements = ["NORM"] * 25 + ["IMI"] * 12 + ["AMI"] * 12 + ["PACE"] * 3
    superclasses = [["NORM"]] * 25 + [["MI"]] * 24 + [[]] * 3
    facts = {code: {"description": code, "superclass": "", "kind": "diagnostic"} for code in set(statements)}
    table = pa.table(
        {
            "split": ["train"] * 52,
            "statements": [[{"code": code, "likelihood": 100.0}] for code in statements],
            "superclasses": pa.array(superclasses, pa.list_(pa.string())),
        }
    )
    names, index = wave_classes(table, facts, min_recordings=20)
    assert names == ["all", "MI", "NORM"]
    assert [names[i] for i in index] == ["NORM"] * 25 + ["MI"] * 24 + ["all"] * 3


def test_crops_keep_signal_and_r_peaks_together() -> None:
    torch.manual_seed(0)
    signal, peaks = beating(40, SAMPLES)
    r_peaks = torch.full((40, 12), -1)
    for row, found in enumerate(peaks):
        whole = whole_beats(found, SAMPLES, 20, 40)[: 1 if row < 10 else None]
        r_peaks[row, : len(whole)] = torch.from_numpy(whole)
    pieces, inside = random_crops(signal, r_peaks, 200, 20, 40)
    assert pieces.shape == (40, 8, 200)
    for row in range(40):
        found = inside[row][inside[row] >= 0]
        assert len(found) >= 1
        assert torch.equal(found, inside[row, : len(found)])
        assert ((found >= 20) & (found <= 160)).all()
        for peak in found:
            assert pieces[row, 5, peak - 5 : peak + 6].argmax() == 5
    whole_pieces, unchanged = random_crops(signal, r_peaks, SAMPLES, 20, 40)
    assert torch.equal(whole_pieces, signal)
    assert torch.equal(unchanged, r_peaks)


def prepared(tmp_path: Path, settings: TrainingSettings) -> tuple[DenoiserStage, Any]:
    """The denoiser stage on prepared recordings, and their signal in mV."""
    signal, _ = beating(12, SAMPLES)
    microvolts = (200 * signal).to(torch.int16)
    located = located_r_peaks(microvolts, 100)
    r_peaks = padded_r_peaks(located, SAMPLES, 100, settings.autoencoder.beat_decoder)
    times = padded_times([peaks / 100 for peaks in located])
    rows, zeros = np.arange(12), torch.zeros(12, dtype=torch.int64)
    for split in ("train", "validation"):
        save_split(tmp_path, split, rows, r_peaks, times, torch.ones(12), zeros, conditions(12))
    latents = {"train": torch.randn(12, 8, 50), "validation": torch.randn(12, 8, 50)}
    save_tensors({**latents, "mean": torch.zeros(8), "std": torch.ones(8)}, tmp_path / LATENTS)
    facts = {"sampling_rate_hz": 100, "lead_scale_mv": [0.2] * 8}
    return DenoiserStage(tmp_path, tmp_path, settings, facts), microvolts.float() / 1000


def without_physics(**changes: Any) -> TrainingSettings:
    return small(diffusion={**SMALL["diffusion"], "physics": {"simulator": False, "inter_lead": False, **changes}})


def test_phase_channels_in_training_are_those_of_generation(tmp_path: Path) -> None:
    stage, signal = prepared(tmp_path, without_physics())
    rows = torch.tensor([3, 7])
    batch = stage.batch("train", rows, torch.device("cpu"))
    for row, phase in zip(rows, batch["phase"], strict=True):
        # As Generator makes them, one row at a time from R peaks in seconds.
        times = padded_times([one / 100 for one in locate_r_peaks(signal[row : row + 1].numpy(), 100)])
        assert torch.equal(phase, phase_channels(times, 50, 8, 100)[0])
    losses = stage.objective(**batch)
    losses["loss"].backward()
    weight = stage.denoiser.stem.weight
    assert weight.shape[1] == 8 + batch["phase"].shape[1]


def test_without_phase_channels_training_has_the_network_it_had(tmp_path: Path) -> None:
    stage, _ = prepared(tmp_path, without_physics(phase_channels=False))
    batch = stage.batch("train", torch.tensor([0, 1]), torch.device("cpu"))
    assert batch["phase"] is None
    assert stage.denoiser.stem.weight.shape[1] == 8
    assert torch.isfinite(stage.objective(**batch)["loss"])
