"""Training through Ray Train: the model folder, resuming after a killed worker, two workers, and what is refused."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.latent_diffusion.fitted_solver import FITTED_STEPS
from tasks.settings import CohortSettings, ComputeSettings, RetrievalSettings
from tasks.training.autoencoder_task import train_autoencoder
from tasks.training.data.recordings import TrainingError
from tasks.training.model_folder import ModelFolderError, load_config, load_fit, load_generator
from tasks.training.progress import Progress, read_progress
from tasks.training.task import train_generator
from tests.models.test_conditioning import conditions
from tests.stage_outputs import StageOutputs
from tests.tasks.small_training import SAMPLES, SMALL, STATEMENTS, TRAINED, autoencoder_of, small, train
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store


@pytest.fixture(scope="module", autouse=True)
def attentive_controller() -> Iterator[None]:
    """Ray Train looks at its workers every two seconds, longer than these runs last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
        yield


@pytest.fixture(scope="module")
def trained(stage_outputs: StageOutputs, ray_cluster: None) -> tuple[Store, Reference]:
    """An uninterrupted run."""
    return stage_outputs.trained


@pytest.mark.slow
def test_model_folder_is_complete_and_generates(trained: tuple[Store, Reference]) -> None:
    store, model = trained
    folder = store.path(model)
    assert {path.name for path in folder.iterdir()} == {
        "MANIFEST.json",
        "config.json",
        "autoencoder.safetensors",
        "beat_decoder.safetensors",
        "denoiser.safetensors",
        "detail.safetensors",
        "prior.safetensors",
        "simulator_fit.safetensors",
        "losses.png",
    }
    generator, config = load_generator(folder), load_config(folder)
    assert config.simulated
    assert config.statements == STATEMENTS
    assert [len(rule.times) for rule in config.generator.solvers] == list(FITTED_STEPS)
    assert len(load_fit(folder).omega) == len(config.wave_classes)
    condition = conditions(3, statements=4, entries=3)
    sampling = CohortSettings(guidance=2.0).sampling
    generated = generator.sample(condition, [1, 2, 3], **sampling)
    assert generated.shape == (3, 8, SAMPLES)
    assert torch.isfinite(generated).all()
    assert torch.equal(generated, load_generator(folder).sample(condition, [1, 2, 3], **sampling))


@pytest.mark.slow
def test_facts_tell_data_losses_and_fit(trained: tuple[Store, Reference]) -> None:
    store, model = trained
    facts = store.manifest(model).facts
    assert facts["recordings"] == {"train": 47, "validation": 12}
    assert facts["excluded"] == {"flat_lead": 1}
    assert facts["simulator_fit"]["NORM"].keys() == {"I", "II", "V1", "V2", "V3", "V4", "V5", "V6"}
    assert facts["parameters"].keys() == {"autoencoder", "beat_decoder", "prior", "denoiser", "detail"}
    assert 0 < facts["reconstruction_mae_mv"]["validation"]["V1"] < 0.2
    for stage in TRAINED:
        course = [entry for entry in facts["history"] if entry["stage"] == stage]
        assert [entry["step"] for entry in course] == list(range(1, 101))
        first, last = (np.mean([entry["loss"] for entry in some]) for some in (course[:20], course[-20:]))
        assert last < first
        assert np.isfinite(facts["losses"][stage]["validation"])
    with Image.open(store.path(model) / "losses.png") as picture:
        assert picture.size[0] > 800 and len(picture.getcolors() or []) > 5


@pytest.mark.slow
def test_trained_model_is_found_not_trained_again(trained: tuple[Store, Reference]) -> None:
    store, model = trained
    started = time.monotonic()
    recordings, knowledge = store.find("recordings", "tiny"), store.find("knowledge", "tiny")
    settings, root = small(report_every_steps=7), str(store.root)
    autoencoder = train_autoencoder.fn(settings, recordings, ComputeSettings(), root)
    assert autoencoder == autoencoder_of(store, model)
    again = train_generator.fn(
        settings, recordings, autoencoder, knowledge, RetrievalSettings(), ComputeSettings(), root
    )
    assert again == model
    assert time.monotonic() - started < 5


@pytest.mark.slow
def test_killed_workers_resume_to_the_same_losses(trained: tuple[Store, Reference], tmp_path: Path) -> None:
    store, model = trained
    made = {stage: autoencoder_of(store, model) for stage in ("autoencoder", "detail")}
    made |= dict.fromkeys(("prior", "denoiser"), model)
    staging = {stage: Store(str(tmp_path)).staging_folder(one.kind, one.id) for stage, one in made.items()}
    killed: dict[str, int] = {}
    seen: dict[str, list[Progress]] = {stage: [] for stage in TRAINED}
    ended = threading.Event()

    def kill_the_worker_of_each_stage_once() -> None:
        while not ended.wait(0.02):
            for stage in TRAINED:
                found = [entry for entry in read_progress(staging[stage]) if entry.stage == stage]
                seen[stage] = found or seen[stage]
                known = staging[stage] / "_ray" / f"{made[stage].id}-{stage}" / "checkpoint_manager_snapshot.json"
                workers = [entry.worker_pid for entry in found]
                if stage in killed:
                    continue
                if workers and known.exists():
                    killed[stage] = workers[-1]
                    os.kill(workers[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill_the_worker_of_each_stage_once)
    killer.start()
    try:
        other_store, other = train(tmp_path, small())
    finally:
        ended.set()
        killer.join()

    assert other.id == model.id
    for stage in TRAINED:
        of_stage = seen[stage]
        before = [entry.step for entry in of_stage if entry.worker_pid == killed[stage]]
        after = [entry.step for entry in of_stage if entry.worker_pid != killed[stage]]
        assert max(before) < 100, "the worker was killed too late"
        assert after[0] % 20 == 1, "a resumed run goes on from a checkpoint"
        assert 1 < after[0] <= max(before) + 1
        expected = store.manifest(model).facts["losses"][stage]
        found = other_store.manifest(other).facts["losses"][stage]
        assert found["loss"] == pytest.approx(expected["loss"], abs=1e-4)
        assert found["validation"] == pytest.approx(expected["validation"], abs=1e-4)


@pytest.mark.slow
def test_two_workers_train_one_model(ray_cluster: None, tmp_path: Path) -> None:
    sections = {section: {**SMALL[section], "steps": 3} for section in ("autoencoder", "diffusion", "prior", "detail")}
    store, model = train(tmp_path, small(workers=2, **sections))
    losses = store.manifest(model).facts["losses"]
    assert store.manifest(model).facts["recordings"] == {"train": 47, "validation": 12}
    assert all(np.isfinite(losses[stage]["loss"]) for stage in TRAINED)
    generator = load_generator(store.path(model))
    assert generator.config.samples == SAMPLES
    condition = conditions(3, statements=4, entries=3)
    assert torch.isfinite(generator.sample(condition, [1, 2, 3], **CohortSettings().sampling)).all()


@pytest.mark.slow
def test_divergence_ends_in_one_line_that_names_the_stage(ray_cluster: None, tmp_path: Path) -> None:
    settings = small(max_failures=0, autoencoder={**SMALL["autoencoder"], "learning_rate": 1e30})
    with pytest.raises(TrainingError, match=r"^autoencoder failed .*gradient is not finite at step") as caught:
        train(tmp_path, settings)
    assert "\n" not in str(caught.value)
    assert Store(str(tmp_path)).committed("model") == []


@pytest.mark.slow
def test_damaged_model_folders_are_refused_in_one_line(trained: tuple[Store, Reference], tmp_path: Path) -> None:
    store, model = trained
    whole = {path.name: path.read_bytes() for path in store.path(model).iterdir()}

    def folder_with(name: str, content: bytes | None) -> Path:
        folder = tmp_path / f"{name}-{content is None}-{len(content or b'')}"
        folder.mkdir()
        for file, data in whole.items():
            (folder / file).write_bytes(data)
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)
        return folder

    cases = {
        "missing": [("config.json", None), ("denoiser.safetensors", None)],
        "damaged": [("config.json", b"{}"), ("denoiser.safetensors", whole["denoiser.safetensors"][:-100])],
        "does not fit": [("denoiser.safetensors", whole["autoencoder.safetensors"])],
    }
    for words, damages in cases.items():
        for name, content in damages:
            folder = folder_with(name, content)
            with pytest.raises(ModelFolderError, match=words) as caught:
                load_generator(folder)
            assert name in str(caught.value)
            assert "\n" not in str(caught.value)


def test_batches_that_workers_cannot_share_evenly_are_refused() -> None:
    with pytest.raises(ValueError, match=r"autoencoder\.batch_size 8 does not divide by workers 3"):
        small(workers=3)
