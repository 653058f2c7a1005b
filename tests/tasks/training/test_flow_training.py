"""Training of a flow through Ray Train: the model folder, nothing of a recording in it, and resuming."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from models.flow.config import FlowConfig
from models.flow.generator import FlowGenerator
from tasks.settings import CohortSettings, ComputeSettings, RetrievalSettings
from tasks.training.model_folder import ModelFolderError, load_config, load_fit, load_generator, load_latent_diffusion
from tasks.training.progress import read_progress
from tasks.training.task import train_generator
from tests.models.test_conditioning import conditions
from tests.tasks.small_training import SAMPLES, SMALL, commit_inputs, small
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

STEPS = 100
FLOW = small(
    generator="flow",
    flow={
        "architecture": {"width": 16, "depth": 1, "heads": 2},
        "steps": STEPS,
        "batch_size": 8,
        "learning_rate": 3e-3,
    },
    prior={**SMALL["prior"], "steps": 5},
)


@pytest.fixture(scope="module", autouse=True)
def attentive_controller() -> Iterator[None]:
    """Ray Train looks at its workers every two seconds, longer than these runs last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
        yield


def train(root: Path) -> tuple[Store, Reference]:
    store = Store(str(root))
    recordings, knowledge = commit_inputs(store)
    arguments = (FLOW, recordings, None, knowledge, RetrievalSettings(), ComputeSettings(), str(root))
    return store, train_generator.fn(*arguments)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> tuple[Store, Reference]:
    """An uninterrupted run."""
    return train(tmp_path_factory.mktemp("flow"))


@pytest.mark.slow
def test_a_flow_needs_no_autoencoder_and_generates(trained: tuple[Store, Reference]) -> None:
    store, model = trained
    folder = store.path(model)
    assert {path.name for path in folder.iterdir()} == {
        "MANIFEST.json",
        "config.json",
        "filter.safetensors",
        "flow.safetensors",
        "prior.safetensors",
        "simulator_fit.safetensors",
        "losses.png",
    }
    assert {one.kind for one in store.manifest(model).lineage.inputs} == {"recordings", "knowledge"}
    generator, config = load_generator(folder), load_config(folder)
    assert isinstance(generator, FlowGenerator) and isinstance(config.generator, FlowConfig)
    assert len(load_fit(folder).omega) == len(config.wave_classes)
    condition, sampling = conditions(3, statements=4, entries=3), CohortSettings(guidance=2.0).sampling
    generated = generator.sample(condition, [1, 2, 3], **sampling)
    assert generated.shape == (3, 8, SAMPLES) and torch.isfinite(generated).all()
    assert torch.equal(generated, load_generator(folder).sample(condition, [1, 2, 3], **sampling))
    with pytest.raises(ModelFolderError, match="holds a flow, which has no autoencoder"):
        load_latent_diffusion(folder)


@pytest.mark.slow
def test_facts_tell_losses_that_fall(trained: tuple[Store, Reference]) -> None:
    store, model = trained
    facts = store.manifest(model).facts
    assert facts["recordings"] == {"train": 47, "validation": 12}
    assert facts["parameters"].keys() == {"prior", "denoiser"}
    course = [entry["loss"] for entry in facts["history"] if entry["stage"] == "flow"]
    assert len(course) == STEPS
    assert np.mean(course[-20:]) < np.mean(course[:20])
    assert np.isfinite(facts["losses"]["flow"]["validation"])


@pytest.mark.slow
def test_a_killed_worker_resumes_to_the_same_losses(trained: tuple[Store, Reference], tmp_path: Path) -> None:
    store, model = trained
    staging = Store(str(tmp_path)).staging_folder("model", model.id)
    known = staging / "_ray" / f"{model.id}-flow" / "checkpoint_manager_snapshot.json"
    killed: list[int] = []
    steps: dict[int, list[int]] = {}
    ended = threading.Event()

    def kill_the_worker_once() -> None:
        while not ended.wait(0.02):
            found = [entry for entry in read_progress(staging) if entry.stage == "flow"]
            for entry in found:
                steps.setdefault(entry.worker_pid, []).append(entry.step)
            if not killed and found and known.exists():
                killed.append(found[-1].worker_pid)
                os.kill(found[-1].worker_pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_worker_once)
    killer.start()
    try:
        other_store, other = train(tmp_path)
    finally:
        ended.set()
        killer.join()
    assert other.id == model.id
    (after,) = (of_worker for worker, of_worker in steps.items() if worker not in killed)
    assert max(steps[killed[0]]) < STEPS, "the worker was killed too late"
    assert min(after) > 1, "a resumed run goes on from a checkpoint"
    expected, found = (of.manifest(one).facts["losses"]["flow"] for of, one in ((store, model), (other_store, other)))
    assert found["loss"] == pytest.approx(expected["loss"], abs=1e-4)
    assert found["validation"] == pytest.approx(expected["validation"], abs=1e-4)


def test_a_flow_with_an_autoencoder_is_refused(tmp_path: Path) -> None:
    recordings, knowledge = commit_inputs(Store(str(tmp_path)))
    with pytest.raises(ValueError, match="do not fit"):
        train_generator.fn(
            FLOW, recordings, recordings, knowledge, RetrievalSettings(), ComputeSettings(), str(tmp_path)
        )
