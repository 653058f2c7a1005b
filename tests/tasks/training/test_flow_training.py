"""Training of a flow through Ray Train: the model folder, nothing of a recording in it, and resuming."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.flow_training import Run, train_flow
from models.flow.config import FlowConfig
from models.flow.generator import FlowGenerator
from tasks.settings import CohortSettings, ComputeSettings, RetrievalSettings
from tasks.training.model_folder import ModelFolderError, load_config, load_fit, load_generator, load_latent_diffusion
from tasks.training.progress import read_progress
from tasks.training.task import train_generator
from tests.models.test_conditioning import conditions
from tests.tasks.small_training import SAMPLES, SMALL_FLOW, commit_inputs, small
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

STEPS = 100
FLOW = small(
    precision="bf16",  # as by default
    generator="flow",
    flow={**SMALL_FLOW, "steps": STEPS, "learning_rate": 3e-3},
)
Steps = dict[int, list[int]]
"""Process of a worker to the steps that it reported."""


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
def trained(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> tuple[Store, Reference, Steps]:
    """A run whose worker is killed once, and the steps of each of its workers."""
    root = tmp_path_factory.mktemp("flow")
    killed: list[int] = []
    steps: Steps = {}
    ended = threading.Event()

    def kill_the_worker_once() -> None:
        while not ended.wait(0.02):
            for staging in (root / "_staging").glob("model-*/"):
                found = [entry for entry in read_progress(staging) if entry.stage == "flow"]
                for entry in found:
                    steps.setdefault(entry.worker_pid, []).append(entry.step)
                known = list((staging / "_ray").glob("*-flow/checkpoint_manager_snapshot.json"))
                if not killed and found and known:
                    killed.append(found[-1].worker_pid)
                    os.kill(found[-1].worker_pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_worker_once)
    killer.start()
    try:
        store, model = train(root)
    finally:
        ended.set()
        killer.join()
    assert killed and max(steps[killed[0]]) < STEPS, "the worker was killed too late"
    return store, model, {pid: of_worker for pid, of_worker in steps.items() if pid not in killed}


@pytest.mark.slow
def test_a_flow_needs_no_autoencoder_and_generates(trained: tuple[Store, Reference, Steps]) -> None:
    store, model, _ = trained
    folder = store.path(model)
    assert {path.name for path in folder.iterdir()} == {
        "MANIFEST.json",
        "config.json",
        "filter.safetensors",
        "flow.safetensors",
        "prior.safetensors",
        "simulator_fit.safetensors",
        "training_beats.safetensors",
        "losses.png",
    }
    assert {one.kind for one in store.manifest(model).lineage.inputs} == {"recordings", "knowledge"}
    generator, config = load_generator(folder), load_config(folder)
    assert isinstance(generator, FlowGenerator) and isinstance(config.generator, FlowConfig)
    assert generator.rejection is not None and len(generator.rejection.usual.training) == 47
    assert config.generator.statistics.rhythms["sinus"].patients >= 20
    assert len(load_fit(folder).omega) == len(config.wave_classes)
    condition, sampling = conditions(3, statements=4, entries=3), CohortSettings(guidance=2.0).sampling
    generated = generator.sample(condition, [1, 2, 3], **sampling)
    assert generated.shape == (3, 8, SAMPLES) and torch.isfinite(generated).all()
    assert torch.equal(generated, load_generator(folder).sample(condition, [1, 2, 3], **sampling))
    with pytest.raises(ModelFolderError, match="holds a flow, which has no autoencoder"):
        load_latent_diffusion(folder)


@pytest.mark.slow
def test_facts_tell_losses_that_fall(trained: tuple[Store, Reference, Steps]) -> None:
    store, model, _ = trained
    facts = store.manifest(model).facts
    assert facts["recordings"] == {"train": 47, "validation": 12}
    assert facts["parameters"].keys() == {"prior", "denoiser"}
    course = [entry["loss"] for entry in facts["history"] if entry["stage"] == "flow"]
    assert len(course) == STEPS
    assert np.mean(course[-20:]) < np.mean(course[:20])
    assert np.isfinite(facts["losses"]["flow"]["validation"])
    assert [entry["step"] for entry in facts["history"] if entry["stage"] == "prior"] == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_killed_worker_resumes_to_the_weights_of_a_run_in_one_process(
    trained: tuple[Store, Reference, Steps], tmp_path: Path
) -> None:
    store, model, after = trained
    (steps,) = after.values()
    assert min(steps) > 1, "a resumed run goes on from a checkpoint"
    recordings, knowledge = (store.find(kind, "tiny") for kind in ("recordings", "knowledge"))
    assert train_flow(store, Run(tmp_path / "model", FLOW, torch.device("cpu"), math.inf), recordings, knowledge)
    for name in ("prior.safetensors", "training_beats.safetensors", "filter.safetensors", "flow.safetensors"):
        found, expected = load_file(store.path(model) / name), load_file(tmp_path / "model" / name)
        assert found.keys() == expected.keys()
        for key, weight in expected.items():
            assert torch.allclose(found[key], weight, atol=1e-4), (name, key)


def test_a_flow_with_an_autoencoder_is_refused(tmp_path: Path) -> None:
    recordings, knowledge = commit_inputs(Store(str(tmp_path)))
    with pytest.raises(ValueError, match="do not fit"):
        train_generator.fn(
            FLOW, recordings, recordings, knowledge, RetrievalSettings(), ComputeSettings(), str(tmp_path)
        )
