"""What the flow's recipe shows its objective: filtered recordings, their guides, and pieces of both at one place."""

from __future__ import annotations

import pytest
import torch

from models.flow.transformer import patch_samples
from models.leads import INDEPENDENT_LEADS
from tasks.settings import RetrievalSettings
from tasks.settings.training import TrainingSettings
from tasks.training.flow_model import beats_of, prepare
from tasks.training.networks.flow import FlowRecipe
from tasks.training.networks.recipe import Material
from tests.tasks.small_training import SAMPLES, commit_inputs, small
from warehouse.storage.store import Store
from warehouse.storage.waveform_file import waveform_file

LEADS = len(INDEPENDENT_LEADS)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> FlowRecipe:
    root = tmp_path_factory.mktemp("flow")
    store, folder = Store(str(root)), root / "model"
    folder.mkdir()
    recordings, _ = commit_inputs(store)
    settings: TrainingSettings = small(generator="flow", flow={"architecture": {"width": 16, "depth": 1, "heads": 2}})
    prepared = prepare(store, folder, settings, recordings, None, RetrievalSettings())
    assert prepare(store, folder, settings, recordings, None, RetrievalSettings()) == prepared
    material = Material(folder, waveform_file(store, recordings), beats_of(folder), settings, prepared.data)
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
    monkeypatch.setattr(recipe, "_piece", lambda channels: (channels, 0))
    guides = recipe.batch("train", rows, CPU)["guide"]
    for row in rows.tolist():
        distance = [
            float((whole[row][:, at : at + length] - piece["signal"][row]).abs().max())
            for at in range(SAMPLES - length + 1)
        ]
        at = distance.index(min(distance))
        assert distance[at] < 1e-5
        assert torch.allclose(guides[row][:, at : at + length], piece["guide"][row], atol=1e-4)


def test_recordings_without_a_usual_beat_have_no_guide(recipe: FlowRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipe.guided, "train", torch.arange(recipe.rows["train"]) != 2)
    assert recipe.batch("train", torch.tensor([1, 2, 3]), CPU)["guided"].tolist() == [True, False, True]
    torch.manual_seed(0)
    assert torch.isfinite(recipe.objective(**recipe.batch("train", torch.arange(6), CPU))["loss"])
