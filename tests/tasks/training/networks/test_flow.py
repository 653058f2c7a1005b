"""What the flow's recipe shows its objective: filtered recordings, their guides, and pieces of both at one place."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from models.beats.beats import Beats
from models.ecg.r_peaks import locate_r_peaks
from models.flow.transformer import patch_samples
from models.leads import INDEPENDENT_LEADS
from models.rhythm.drawn import draw_rhythms
from models.rhythm.rendering import render
from models.rhythm.rhythm import PACED, VENTRICULAR_PREMATURE
from models.rhythm.statistics import (
    ECTOPIES,
    NO_ECTOPY,
    PACED_RHYTHM,
    RHYTHMS,
    SINUS_RHYTHM,
    USUAL,
    VENTRICULAR_BEATS,
)
from tasks.settings import RetrievalSettings
from tasks.settings.training import PatientPrivacySettings, TrainingSettings
from tasks.training.beat_prior import train_beats
from tasks.training.data.beats import load_beats
from tasks.training.data.recorded import load_recorded
from tasks.training.data.recordings import TrainingError
from tasks.training.flow_model import PreparedFlow, beats_of, prepare
from tasks.training.networks.flow import FlowRecipe
from tasks.training.networks.recipe import Material
from tasks.training.optimisation import Average, learning_rate, new_optimiser
from tasks.training.patient_privacy import PrivateTraining, patient_privacy
from tasks.training.preparation import flow_inputs
from tests.models.rhythm.beats_of_text import textbook_beats
from tests.tasks.small_training import SAMPLES, SMALL_FLOW, commit_inputs, recordings_table, small
from warehouse.storage.store import Store
from warehouse.storage.waveform_file import waveform_file
from warehouse.storage.waveforms import to_lead_columns, to_r_peak_column

LEADS = len(INDEPENDENT_LEADS)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    root = tmp_path_factory.mktemp("flow")
    store, folder = Store(str(root)), root / "model"
    folder.mkdir()
    recordings, _ = commit_inputs(store)
    settings: TrainingSettings = small(generator="flow", flow=SMALL_FLOW)
    prepared = prepare(store, folder, settings, recordings, None, RetrievalSettings())
    assert prepare(store, folder, settings, recordings, None, RetrievalSettings()) == prepared
    train_beats(folder, settings)
    return Material(folder, waveform_file(store, recordings), beats_of(folder), settings, prepared.data)


@pytest.fixture(scope="module")
def recipe(material: Material) -> FlowRecipe:
    return FlowRecipe(material)


def test_a_validation_batch_is_the_filtered_recording_with_its_own_beats(recipe: FlowRecipe) -> None:
    rows = torch.arange(4)
    batch = recipe.batch("validation", rows, CPU)
    recorded = recipe.waveforms["validation"].millivolts(rows)
    restored = recipe.filter.inverse(batch["signal"])
    assert torch.allclose(restored, recorded, atol=1e-4)
    simulated = recipe.filter.inverse(batch["guide"][:, :LEADS].contiguous())
    likeness = torch.corrcoef(torch.stack([simulated.flatten(), recorded.flatten()]))[0, 1]
    assert float(likeness) > 0.5
    assert batch["first"] == 0 and batch["guided"].all()
    assert float(batch["signal"].std()) == pytest.approx(1.0, abs=0.2)


def test_training_pieces_are_of_one_place_and_never_the_same_twice(
    recipe: FlowRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = torch.arange(6)
    torch.manual_seed(1)
    one, two = (recipe.batch("train", rows, CPU) for _ in range(2))
    length = one["signal"].shape[-1]
    assert length == round(0.8 * SAMPLES / patch_samples(100)) * patch_samples(100)
    assert not torch.equal(one["guide"], two["guide"])
    monkeypatch.setattr("tasks.training.networks.flow.GAIN", 0.0)
    monkeypatch.setattr("models.flow.guide.JITTER", 0.0)
    piece = recipe.batch("train", rows, CPU)
    whole = recipe.filter(recipe.waveforms["train"].millivolts(rows))
    at_start = torch.zeros(len(rows), dtype=torch.int64)
    monkeypatch.setattr(recipe, "_place", lambda channels: (channels, at_start, 0, recipe.patches))
    guides = recipe.batch("train", rows, CPU)["guide"]
    for row in rows.tolist():
        distance = [
            float((whole[row][:, at : at + length] - piece["signal"][row]).abs().max())
            for at in range(SAMPLES - length + 1)
        ]
        at = distance.index(min(distance))
        assert distance[at] < 1e-5
        assert torch.allclose(guides[row][:, at : at + length], piece["guide"][row], atol=1e-4)


def test_physics_terms_are_of_a_beat_inside_each_piece(material: Material, recipe: FlowRecipe) -> None:
    weights = {"simulator_weight": 0.1, "inter_lead_weight": 0.1}
    settings = small(generator="flow", flow={**SMALL_FLOW, "physics": weights})
    with_physics = FlowRecipe(replace(material, settings=settings))
    rows = torch.arange(8)
    torch.manual_seed(1)
    batch = with_physics.batch("train", rows, CPU)
    torch.manual_seed(1)
    assert recipe.batch("train", rows, CPU).keys() == batch.keys() - {"beats"}
    signal, beats = batch["signal"], batch["beats"]
    end = beats.start + signal.shape[-1]
    assert ((beats.r_peak >= beats.start + 20) & (beats.r_peak + 40 <= end + 0.5)).all()
    for row, start in enumerate(beats.start.tolist()):
        assert torch.equal(beats.recording[row, :, start : start + signal.shape[-1]], signal[row])
        of_row = recipe.recorded["train"].rhythm.r_times_s[row] * 100
        assert float((of_row[of_row.isfinite()] - beats.r_peak[row]).abs().min()) < 1e-3
    losses = with_physics.objective(**batch)
    assert losses.keys() == {"loss", "velocity", "euler", "inter_lead"}
    assert losses["loss"] > losses["velocity"] > 0


def test_recordings_without_a_usual_beat_have_no_guide(recipe: FlowRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    without = torch.arange(recipe.rows["train"]) != 2
    monkeypatch.setitem(recipe.recorded, "train", replace(recipe.recorded["train"], known=without))
    assert recipe.batch("train", torch.tensor([1, 2, 3]), CPU)["guided"].tolist() == [True, False, True]
    torch.manual_seed(0)
    assert torch.isfinite(recipe.objective(**recipe.batch("train", torch.arange(6), CPU))["loss"])


def test_private_steps_learn_from_patients_at_the_rate_of_the_schedule(recipe: FlowRecipe, tmp_path: Path) -> None:
    shown = copy.deepcopy(recipe)
    how = patient_privacy(PatientPrivacySettings(epsilon=50, patients_per_step=10), tmp_path, "flow")
    again = patient_privacy(PatientPrivacySettings(epsilon=50, patients_per_step=10), tmp_path, "flow")
    assert how is not None and how == again, "a training that goes on has the same noise"
    other = patient_privacy(PatientPrivacySettings(epsilon=50), tmp_path, "prior")
    assert other is not None and other.noise_seed != how.noise_seed
    assert patient_privacy(PatientPrivacySettings(), tmp_path, "flow") is None
    average = Average(shown.learner, 0.5)
    start = [weight.clone() for weight in average.weights]
    optimiser = new_optimiser(shown.learner, 1e-3)
    private = PrivateTraining(shown, how, "bf16", optimiser, average, CPU)
    assert len(private.gradients.counts) == shown.rows["train"]
    rate = private.step(0)
    assert (
        rate == learning_rate(0, shown.schedule.steps, shown.schedule.learning_rate) == optimiser.param_groups[0]["lr"]
    )
    for weight, kept, was in zip(shown.learner.parameters(), average.weights, start, strict=True):
        assert torch.isfinite(weight).all() and not torch.equal(weight, was) and not torch.equal(kept, was)


def test_the_guide_of_a_recording_has_its_premature_and_paced_beats(tmp_path: Path) -> None:
    store, folder = Store(str(tmp_path)), tmp_path / "model"
    folder.mkdir()
    recordings, _ = commit_inputs(store, with_premature_beats())
    settings: TrainingSettings = small(generator="flow", flow=SMALL_FLOW)
    prepared = prepare(store, folder, settings, recordings, None, RetrievalSettings())
    shown = load_recorded(folder, "train")
    rows = load_beats(beats_of(folder), "train").rows
    premature, paced = ((shown.rhythm.kinds == kind).any(dim=1) for kind in (VENTRICULAR_PREMATURE, PACED))
    assert rows[premature].tolist() == [row for row in rows.tolist() if row % 4 == 2]
    assert torch.equal(shown.beats.has_ectopic, premature)
    assert rows[paced].tolist() == [row for row in rows.tolist() if row % 8 == 7]
    usual, ectopic = shown.beats.usual[premature], shown.beats.ectopic[premature]
    assert (ectopic - usual).abs().amax(dim=(1, 2)).min() > 0.2
    assert prepared.statistics.rhythms["sinus"].patients == sum(row % 8 != 7 for row in rows.tolist())
    train_beats(folder, settings)
    recipe = FlowRecipe(Material(folder, waveform_file(store, recordings), beats_of(folder), settings, prepared.data))
    chosen = torch.nonzero(load_recorded(folder, "validation").beats.has_ectopic)[:, 0]
    recorded = recipe.waveforms["validation"].millivolts(chosen)
    simulated = recipe.filter.inverse(recipe.batch("validation", chosen, CPU)["guide"][:, :LEADS].contiguous())
    found = recipe.recorded["validation"]
    alike = replace(found, beats=Beats(found.beats.usual, found.beats.ectopic, torch.zeros(len(found)) > 0))
    recipe.recorded["validation"] = alike
    usual_only = recipe.filter.inverse(recipe.batch("validation", chosen, CPU)["guide"][:, :LEADS].contiguous())
    assert (simulated - recorded).square().mean() < 0.8 * (usual_only - recorded).square().mean()


def test_a_preparation_goes_on_where_it_was_interrupted_and_refuses_other_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    recordings, knowledge = commit_inputs(store)
    settings: TrainingSettings = small(generator="flow", flow=SMALL_FLOW)
    monkeypatch.setattr(flow_inputs, "PIECE", 16)

    def made(name: str) -> PreparedFlow:
        (tmp_path / name).mkdir(exist_ok=True)
        return prepare(store, tmp_path / name, settings, recordings, knowledge, RetrievalSettings())

    whole = made("whole")
    found = flow_inputs.rhythm_of_recordings
    monkeypatch.setattr(flow_inputs, "rhythm_of_recordings", interrupted(found, 3))
    with pytest.raises(KeyboardInterrupt):
        made("cut")
    calls: list[int] = []
    monkeypatch.setattr(
        flow_inputs, "rhythm_of_recordings", lambda signal, *rest: calls.append(len(signal)) or found(signal, *rest)
    )
    assert made("cut") == whole and calls == [15, 12], "two pieces were there already"
    for path in (tmp_path / "whole").rglob("*.safetensors"):
        other = load_file(tmp_path / "cut" / path.relative_to(tmp_path / "whole"))
        for name, tensor in load_file(path).items():
            assert torch.equal(tensor.nan_to_num(), other[name].nan_to_num()), (path.name, name)
    with pytest.raises(TrainingError, match="is of other settings"):
        prepare(store, tmp_path / "cut", settings, recordings, None, RetrievalSettings())


def interrupted(call: Callable[..., Any], at: int) -> Callable[..., Any]:
    """A function whose call with this number, from 1, is interrupted."""
    calls = itertools.count(1)

    def called(*arguments: Any) -> Any:
        if next(calls) == at:
            raise KeyboardInterrupt
        return call(*arguments)

    return called


def with_premature_beats() -> pa.Table:
    """Small recordings; in every fourth a beat is a ventricular one, and every eighth is of somebody with a pacemaker.

    The others are in sinus rhythm.
    """
    table = recordings_table()
    rows = table.num_rows
    number = torch.arange(rows)
    rhythm = torch.where(number % 8 == 7, RHYTHMS.index(PACED_RHYTHM), RHYTHMS.index(SINUS_RHYTHM))
    ectopy = torch.where(number % 4 == 2, ECTOPIES.index(VENTRICULAR_BEATS), ECTOPIES.index(NO_ECTOPY))
    drawn = draw_rhythms(rhythm, ectopy, torch.full((rows,), 80.0), USUAL, SAMPLES / 100, number)
    signal = render(textbook_beats(rows), drawn, 100, SAMPLES, number).numpy()
    codes = [["PACE"] if row % 8 == 7 else ["NORM"] for row in range(rows)]
    columns = to_lead_columns(signal) | {
        "r_peak_s": to_r_peak_column(locate_r_peaks(signal, 100), 100),
        "statements": [[{"code": code, "likelihood": 100.0} for code in held] for held in codes],
    }
    for name, column in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, table.schema.field(name), pa.array(column, table.schema.field(name).type))
    return table
