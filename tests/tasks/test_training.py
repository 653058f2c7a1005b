"""Training through Ray Train: the model folder, resuming after a killed worker, two workers, and what is refused."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from models.beats import whole_beats
from tasks.early_stopping import EarlyStopping
from tasks.model_folder import ModelFolderError, load_config, load_fit, load_generator
from tasks.settings import ComputeSettings, KnowledgeSettings, TrainingSettings
from tasks.training import train_generator
from tasks.training_data import TrainingError, random_crops, usable_rows, wave_classes
from tasks.training_loop import Average, batch_rows, finish, learning_rate
from tasks.training_progress import Progress, append_progress, kept_checkpoint, loss_history, read_progress
from tests.models.test_autoencoder import beating
from tests.models.test_conditioning import conditions
from warehouse import schema
from warehouse.reference import Reference
from warehouse.store import Lineage, Store
from warehouse.waveforms import to_lead_columns

SAMPLES = 400
STATEMENTS = {
    "NORM": {"description": "normal ECG", "superclass": "NORM", "kind": "diagnostic"},
    "CLBBB": {"description": "complete left bundle branch block", "superclass": "CD", "kind": "diagnostic"},
}
SMALL: dict[str, Any] = {
    "precision": "fp32",
    "report_every_steps": 1,
    "checkpoint_every_steps": 20,
    "autoencoder": {"architecture": {"width": 8}, "beat_decoder": {"width": 8}, "steps": 100, "batch_size": 8},
    "diffusion": {
        "architecture": {"width": 16, "token_width": 16, "blocks": 1, "multipliers": [1, 2]},
        "steps": 100,
        "batch_size": 8,
        "physics": {"fit_steps": 10},
    },
}


def small(**changes: Any) -> TrainingSettings:
    return TrainingSettings.model_validate({**SMALL, **changes})


def recordings_table(rows: int = 60) -> pa.Table:
    """Beating signals; every fifth for validation, the first with a flat lead."""
    signal, peaks = beating(rows, SAMPLES)
    codes = ["NORM" if row % 2 else "CLBBB" for row in range(rows)]
    columns: dict[str, Any] = {
        "recording_id": [f"r{row}" for row in range(rows)],
        "patient_key": [f"p{row}" for row in range(rows)],
        "source": ["test"] * rows,
        "simulated": [True] * rows,
        "strat_fold": [9 if row % 5 == 4 else 1 for row in range(rows)],
        "split": ["validation" if row % 5 == 4 else "train" for row in range(rows)],
        "age_years": [50.0 + row % 30 for row in range(rows)],
        "sex": ["female" if row % 3 else "male" for row in range(rows)],
        "text": [""] * rows,
        "statements": [[{"code": code, "likelihood": 100.0}] for code in codes],
        "superclasses": [[STATEMENTS[code]["superclass"]] for code in codes],
        "quality_flags": [["flat_lead_v1"] if row == 0 else ["noisy"] if row == 1 else [] for row in range(rows)],
        "heart_rate_bpm": [6000.0 / np.diff(found).mean() for found in peaks],
    }
    columns |= to_lead_columns(0.2 * signal.numpy())
    wanted = schema.recordings(SAMPLES, 100)
    missing = [field for field in wanted if field.name not in columns]
    columns |= {field.name: pa.nulls(rows, field.type) for field in missing}
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in wanted}, schema=wanted)


def commit_inputs(store: Store, table: pa.Table | None = None) -> tuple[Reference, Reference]:
    """Recordings and an empty knowledge base, with the same ids in every store."""
    facts = {"statements": STATEMENTS, "simulated": True, "samples": SAMPLES, "sampling_rate_hz": 100, "source": "test"}
    lineage = Lineage(stage="test", code_version=1, settings={}, inputs=[])
    table = recordings_table() if table is None else table
    with store.stage("recordings", "tiny") as staging:
        staging.write_table("recordings", 0, table.slice(0, 35))
        staging.write_table("recordings", 1, table.slice(35))
        recordings = staging.commit(table.num_rows, lineage, facts)
    with store.stage("knowledge", "none") as staging:
        staging.write_table("knowledge", 0, schema.knowledge().empty_table())
        knowledge = staging.commit(0, lineage)
    return recordings, knowledge


def train(root: Path, settings: TrainingSettings, table: pa.Table | None = None) -> tuple[Store, Reference]:
    store = Store(str(root))
    recordings, knowledge = commit_inputs(store, table)
    arguments = (settings, recordings, knowledge, KnowledgeSettings(), ComputeSettings(), str(root))
    return store, train_generator.fn(*arguments)


@pytest.fixture(scope="module", autouse=True)
def attentive_controller() -> Iterator[None]:
    """Ray Train looks at its workers every two seconds, longer than these runs last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> tuple[Store, Reference]:
    """An uninterrupted run."""
    return train(tmp_path_factory.mktemp("uninterrupted"), small())


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
        "simulator_fit.safetensors",
        "losses.png",
    }
    generator, config = load_generator(folder), load_config(folder)
    assert config.simulated
    assert config.statements == STATEMENTS
    assert len(load_fit(folder).omega) == len(config.wave_classes)
    condition = conditions(3, statements=4, entries=3)
    generated = generator.sample(condition, [1, 2, 3], steps=2, guidance=2.0)
    assert generated.shape == (3, 8, SAMPLES)
    assert torch.isfinite(generated).all()
    assert torch.equal(generated, load_generator(folder).sample(condition, [1, 2, 3], steps=2, guidance=2.0))


@pytest.mark.slow
def test_facts_tell_data_losses_and_fit(trained: tuple[Store, Reference]) -> None:
    store, model = trained
    facts = store.manifest(model).facts
    assert facts["recordings"] == {"train": 47, "validation": 12}
    assert facts["excluded"] == {"flat_lead": 1}
    assert facts["simulator_fit"]["NORM"].keys() == {"I", "II", "V1", "V2", "V3", "V4", "V5", "V6"}
    for stage in ("autoencoder", "denoiser"):
        course = [entry for entry in facts["history"] if entry["stage"] == stage]
        assert [entry["step"] for entry in course] == list(range(1, 101))
        assert course[-1]["loss"] < course[0]["loss"]
        assert np.isfinite(facts["losses"][stage]["validation"])
        assert facts["kept"][stage]["step"] == 100
    with Image.open(store.path(model) / "losses.png") as picture:
        assert picture.size[0] > 800 and len(picture.getcolors() or []) > 5


@pytest.mark.slow
def test_trained_model_is_found_not_trained_again(trained: tuple[Store, Reference]) -> None:
    store, model = trained
    started = time.monotonic()
    recordings, knowledge = store.find("recordings", "tiny"), store.find("knowledge", "none")
    again = train_generator.fn(
        small(report_every_steps=7), recordings, knowledge, KnowledgeSettings(), ComputeSettings(), str(store.root)
    )
    assert again == model
    assert time.monotonic() - started < 5


@pytest.mark.slow
def test_killed_workers_resume_to_the_same_losses(trained: tuple[Store, Reference], tmp_path: Path) -> None:
    store, model = trained
    staging = Store(str(tmp_path)).staging_folder("model", model.id)
    killed: dict[str, int] = {}
    seen: list[Progress] = []
    ended = threading.Event()

    def kill_the_worker_of_each_stage_once() -> None:
        while not ended.wait(0.02):
            seen[:] = read_progress(staging) or seen
            for stage in {"autoencoder", "denoiser"} - killed.keys():
                known = staging / "_ray" / f"{model.id}-{stage}" / "checkpoint_manager_snapshot.json"
                workers = [entry.worker_pid for entry in seen if entry.stage == stage]
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
    for stage in ("autoencoder", "denoiser"):
        of_stage = [entry for entry in seen if entry.stage == stage]
        before = [entry.step for entry in of_stage if entry.worker_pid == killed[stage]]
        after = [entry.step for entry in of_stage if entry.worker_pid != killed[stage]]
        assert max(before) < 100, "the worker was killed too late"
        assert after[0] % 20 == 1, "a resumed run goes on from a checkpoint"
        assert 1 < after[0] <= max(before) + 1
        expected = store.manifest(model).facts["losses"][stage]
        found = other_store.manifest(other).facts["losses"][stage]
        assert found["loss"] == pytest.approx(expected["loss"], abs=1e-4)
        assert found["validation"] == pytest.approx(expected["validation"], abs=1e-4)


def impatient(**changes: Any) -> TrainingSettings:
    """An autoencoder that learns too fast, so that its validation loss soon rises again."""
    stage = {**SMALL["autoencoder"], "learning_rate": 0.02, "steps": 300, "patience": 3}
    return small(checkpoint_every_steps=5, autoencoder=stage, diffusion={**SMALL["diffusion"], "steps": 2}, **changes)


def validations(store: Store, model: Reference) -> dict[int, float]:
    """Step to validation loss of the autoencoder."""
    history = store.manifest(model).facts["history"]
    return {one["step"]: one["validation"] for one in history if one["stage"] == "autoencoder" and "validation" in one}


@pytest.mark.slow
def test_training_stops_early_with_its_best_weights_even_if_killed_after_them(
    ray_cluster: None, tmp_path: Path
) -> None:
    store, model = train(tmp_path / "whole", impatient())
    looks, kept = validations(store, model), store.manifest(model).facts["kept"]["autoencoder"]
    best = min(looks, key=lambda step: looks[step])
    assert kept == {"step": best, "validation": pytest.approx(looks[best], abs=1e-6)}
    assert max(looks) == best + 3 * 5 < 300, "it stops three checkpoints after the best one"

    killed: list[int] = []
    ended = threading.Event()
    staging = Store(str(tmp_path / "killed")).staging_folder("model", model.id)

    def kill_the_worker_after_the_best_checkpoint() -> None:
        while not ended.wait(0.02) and not killed:
            seen = [entry for entry in read_progress(staging) if entry.stage == "autoencoder"]
            if seen and seen[-1].step > best + 5:
                killed.append(seen[-1].worker_pid)
                os.kill(seen[-1].worker_pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_worker_after_the_best_checkpoint)
    killer.start()
    try:
        other_store, other = train(tmp_path / "killed", impatient())
    finally:
        ended.set()
        killer.join()
    assert killed, "the worker was not killed"
    assert validations(other_store, other) == pytest.approx(looks, abs=1e-5)
    weights = [each.path(one) / "autoencoder.safetensors" for each, one in ((store, model), (other_store, other))]
    for name, tensor in load_file(weights[0]).items():
        assert torch.allclose(tensor, load_file(weights[1])[name], atol=1e-6), name


@pytest.mark.slow
def test_two_workers_train_one_model(ray_cluster: None, tmp_path: Path) -> None:
    settings = small(
        workers=2, autoencoder={**SMALL["autoencoder"], "steps": 3}, diffusion={**SMALL["diffusion"], "steps": 3}
    )
    store, model = train(tmp_path, settings)
    losses = store.manifest(model).facts["losses"]
    assert all(np.isfinite(losses[stage]["loss"]) for stage in ("autoencoder", "denoiser"))
    assert load_generator(store.path(model)).config.samples == SAMPLES


@pytest.mark.slow
def test_divergence_ends_in_one_line_that_names_the_stage(ray_cluster: None, tmp_path: Path) -> None:
    settings = small(max_failures=0, autoencoder={**SMALL["autoencoder"], "learning_rate": 1e30})
    with pytest.raises(TrainingError, match=r"^autoencoder failed .*gradient is not finite at step") as caught:
        train(tmp_path, settings)
    assert "\n" not in str(caught.value)
    assert Store(str(tmp_path)).committed("model") == []


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


def test_batches_are_a_pure_function_of_seed_and_step_and_leave_nothing_out() -> None:
    epoch = np.concatenate([batch_rows(3, step, 50, 8) for step in range(7)])
    assert sorted(epoch[:50]) == list(range(50))
    assert not np.array_equal(epoch[:50], np.concatenate([batch_rows(4, step, 50, 8) for step in range(7)])[:50])
    assert np.array_equal(batch_rows(3, 5, 50, 8), epoch[40:48])
    assert len(batch_rows(1, 0, 5, 16)) == 16


def test_learning_rate_warms_up_and_decays() -> None:
    rates = [learning_rate(step, 100, 1.0, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.02


def test_average_follows_the_network_and_swapping_twice_changes_nothing() -> None:
    network = torch.nn.Linear(2, 2)
    average = Average(network, 0.5)
    start = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(1.0)
    average.update(network, step=1000)
    assert torch.allclose(average.weights[0], start + 0.5)
    average.swap(network)
    assert torch.allclose(network.weight, start + 0.5)
    average.swap(network)
    assert torch.allclose(network.weight, start + 1.0)


def test_early_stopping_keeps_the_best_weights_through_a_checkpoint() -> None:
    stopping, weights = EarlyStopping(patience=2), [torch.zeros(3)]
    for step, loss in ((10, 3.0), (20, 1.0), (30, float("nan"))):
        weights[0].fill_(step)
        stopping.look(step, loss, weights)
        assert not stopping.is_over
    resumed = EarlyStopping(patience=2)
    resumed.load(stopping.state(), torch.device("cpu"))
    weights[0].fill_(40)
    resumed.look(40, 1.0, weights)  # equal is not lower
    assert resumed.is_over
    assert (resumed.step, resumed.validation) == (20, 1.0)
    assert resumed.weights[0].tolist() == [20.0] * 3


def test_the_kept_weights_are_what_a_stage_saves_and_training_goes_on_with_its_own() -> None:
    class Stage:
        learner = torch.nn.Linear(1, 1, bias=False)
        saved: float | None = None

        def finish(self, device: torch.device) -> None:
            self.saved = float(self.learner.weight.detach())

    stage = Stage()
    with torch.no_grad():
        stage.learner.weight.fill_(5.0)
    finish(stage, [torch.full((1, 1), 2.0)], torch.device("cpu"))  # type: ignore[arg-type]
    assert stage.saved == 2.0
    assert float(stage.learner.weight.detach()) == 5.0
    finish(stage, None, torch.device("cpu"))  # type: ignore[arg-type]
    assert stage.saved == 5.0


def test_checkpoint_distance_shapes_a_model_only_if_it_may_stop_early() -> None:
    often = {"checkpoint_every_steps": 5}
    assert small().for_digest() == small(**often).for_digest()
    assert impatient().for_digest() != small(**{**impatient().model_dump(), "checkpoint_every_steps": 6}).for_digest()


def test_kept_checkpoint_is_the_last_or_with_patience_the_best(tmp_path: Path) -> None:
    for step, validation in ((5, 2.0), (10, 1.0), (15, float("nan")), (20, 1.5)):
        losses = {"loss": 1.0, "validation": validation}
        entry = Progress(
            stage="denoiser", step=step, steps=99, losses=losses, learning_rate=0.1, steps_per_s=1.0, worker_pid=1
        )
        append_progress(tmp_path, entry)
    assert kept_checkpoint(tmp_path, "denoiser", None) == {"step": 20, "validation": 1.5}
    assert kept_checkpoint(tmp_path, "denoiser", 2) == {"step": 10, "validation": 1.0}
    assert kept_checkpoint(tmp_path, "autoencoder", 2) == {}


def test_history_counts_a_repeated_step_once_and_ignores_a_cut_off_line(tmp_path: Path) -> None:
    for step, loss in ((1, 3.0), (2, 2.0), (2, 1.5), (3, 1.0)):
        append_progress(
            tmp_path,
            Progress(
                stage="denoiser",
                step=step,
                steps=3,
                losses={"loss": loss},
                learning_rate=0.1,
                steps_per_s=2.0,
                worker_pid=1,
            ),
        )
    with (tmp_path / "_progress.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"stage": "deno')
    assert [(entry["step"], entry["loss"]) for entry in loss_history(tmp_path)] == [(1, 3.0), (2, 1.5), (3, 1.0)]


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
