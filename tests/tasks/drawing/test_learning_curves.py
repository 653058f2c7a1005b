"""Loss curves reach the model folder and Prefect's artifacts as the same picture."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from prefect import flow
from prefect.artifacts import Artifact
from prefect.testing.utilities import prefect_test_harness

from tasks.drawing.learning_curves import PICTURE, save_losses, show_losses
from tests.tiny_pipeline import HISTORY
from warehouse.storage.reference import Reference
from warehouse.storage.store import Lineage, Store

FACTS = {"history": HISTORY}


def put_model(store: Store) -> Reference:
    with store.stage("model", "curves") as staging:
        save_losses(staging.path, FACTS)
        return staging.commit(1, Lineage(stage="train", code_version=1, settings={}, inputs=[]), FACTS)


def test_a_model_without_history_gets_no_picture(tmp_path: Path) -> None:
    save_losses(tmp_path, {"history": []})
    assert not list(tmp_path.iterdir())


def test_the_picture_is_the_same_for_the_same_history(tmp_path: Path) -> None:
    pictures = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save_losses(tmp_path / name, FACTS)
        pictures.append((tmp_path / name / PICTURE).read_bytes())
    assert pictures[0] == pictures[1]


@pytest.mark.slow
def test_a_prefect_run_shows_the_picture_of_the_model_folder(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    model = put_model(store)
    show_losses(store, model)  # outside a run there is nobody to show it to, and no server to ask

    @flow
    def training_only() -> None:
        show_losses(store, model)

    with prefect_test_harness(server_startup_timeout=120):
        training_only()
        artifact = Artifact.get("training-losses")
    assert artifact is not None and artifact.type == "image"
    kind, encoded = str(artifact.data).split(",", 1)
    assert kind == "data:image/png;base64"
    picture = base64.b64decode(encoded)
    assert picture == (store.path(model) / PICTURE).read_bytes()
    with Image.open(io.BytesIO(picture)) as shown:
        assert shown.size[0] > 800
    assert "denoiser: loss" in (artifact.description or "")
