"""What training reads: usable recordings, simulator classes, crops, cardiac-phase channels."""

from __future__ import annotations

import pyarrow as pa
import pytest
import torch

from models.ecg.beats import whole_beats
from tasks.training.data.beats import random_pieces
from tasks.training.data.recordings import TrainingError, usable_rows
from tasks.training.data.simulator_classes import wave_classes
from tests.models.latent_diffusion.test_autoencoder import beating
from tests.tasks.small_training import SAMPLES, recordings_table


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
    pieces, inside = random_pieces(signal, r_peaks, 200, 20, 40)
    assert pieces.shape == (40, 8, 200)
    for row in range(40):
        found = inside[row][inside[row] >= 0]
        assert len(found) >= 1
        assert torch.equal(found, inside[row, : len(found)])
        assert ((found >= 20) & (found <= 160)).all()
        for peak in found:
            assert pieces[row, 5, peak - 5 : peak + 6].argmax() == 5
    whole_pieces, unchanged = random_pieces(signal, r_peaks, SAMPLES, 20, 40)
    assert torch.equal(whole_pieces, signal)
    assert torch.equal(unchanged, r_peaks)
