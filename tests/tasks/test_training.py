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
from safetensors.torch import load_file

from models.autoencoder import Autoencoder
from models.beats import whole_beats
from models.cardiac_phase import padded_times, phase_channels
from models.r_peaks import locate_r_peaks
from tasks.model_folder import ModelFolderError, load_config, load_fit, load_generator
from tasks.settings import ComputeSettings, KnowledgeSettings, TrainingSettings
from tasks.training import train_generator
from tasks.training_data import (
    TrainingError,
    located_r_peaks,
    padded_r_peaks,
    random_crops,
    save_split,
    usable_rows,
    wave_classes,
)
from tasks.training_loop import Average, batch_rows, learning_rate
from tasks.training_progress import Progress, append_progress, loss_history, read_progress
from tasks.training_stages import (
    AUTOENCODER_FILE,
    LATENTS,
    DenoiserStage,
    DetailStage,
    save_tensors,
    save_weights,
)
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
    "detail": {"architecture": {"width": 16, "blocks": 2, "steps": 1}, "steps": 100, "batch_size": 8},
}
TRAINED = ("autoencoder", "denoiser", "detail")


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
        "detail.safetensors",
        "simulator_fit.safetensors",
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
    assert facts["parameters"].keys() == {"autoencoder", "beat_decoder", "denoiser", "detail"}
    assert 0 < facts["reconstruction_mae_mv"]["validation"]["V1"] < 0.2
    for stage in TRAINED:
        course = [entry for entry in facts["history"] if entry["stage"] == stage]
        assert [entry["step"] for entry in course] == list(range(1, 101))
        assert course[-1]["loss"] < course[0]["loss"]
        assert np.isfinite(facts["losses"][stage]["validation"])


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
            for stage in set(TRAINED) - killed.keys():
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
    for stage in TRAINED:
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


@pytest.mark.slow
def test_two_workers_train_one_model(ray_cluster: None, tmp_path: Path) -> None:
    sections = {section: {**SMALL[section], "steps": 3} for section in ("autoencoder", "diffusion", "detail")}
    settings = small(workers=2, distillation={"steps": 3, "batch_size": 8}, **sections)
    store, model = train(tmp_path, settings)
    losses = store.manifest(model).facts["losses"]
    assert all(np.isfinite(losses[stage]["loss"]) for stage in (*TRAINED, "student"))
    generator = load_generator(store.path(model))
    assert generator.config.samples == SAMPLES
    condition = conditions(3, statements=4, entries=3)
    assert torch.isfinite(generator.sample(condition, [1, 2, 3], steps=2, guidance=2.0, fast=True)).all()


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


def prepared(tmp_path: Path, settings: TrainingSettings) -> tuple[DenoiserStage, Any]:
    """The denoiser stage on prepared recordings, and their signal in mV."""
    signal, _ = beating(12, SAMPLES)
    microvolts = (200 * signal).to(torch.int16)
    located = located_r_peaks(microvolts, 100)
    r_peaks = padded_r_peaks(located, SAMPLES, 100, settings.autoencoder.beat_decoder)
    times = padded_times([peaks / 100 for peaks in located])
    rows, zeros = np.arange(12), torch.zeros(12, dtype=torch.int64)
    for split in ("train", "validation"):
        save_split(
            tmp_path, split, rows, r_peaks, times, torch.ones(12), zeros, conditions(12), conditions(12).hidden()
        )
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


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_recordings_are_shown_with_their_groups_condition_at_the_asked_share(tmp_path: Path, share: float) -> None:
    settings = without_physics()
    settings = settings.model_copy(update={"diffusion": settings.diffusion.model_copy(update={"group_share": share})})
    stage, _ = prepared(tmp_path, settings)
    torch.manual_seed(1)
    batch = stage.batch("train", torch.arange(12).repeat(40), torch.device("cpu"))
    # In these recordings the group's condition hides everything.
    shown = batch["condition"].present.any(dim=1).float().mean()
    assert float(shown) == pytest.approx(1 - share, abs=0.06)


def test_without_phase_channels_training_has_the_network_it_had(tmp_path: Path) -> None:
    stage, _ = prepared(tmp_path, without_physics(phase_channels=False))
    batch = stage.batch("train", torch.tensor([0, 1]), torch.device("cpu"))
    assert batch["phase"] is None
    assert stage.denoiser.stem.weight.shape[1] == 8
    assert torch.isfinite(stage.objective(**batch)["loss"])


def test_a_model_without_detail_head_trains_two_stages_only() -> None:
    assert small().stages == TRAINED
    assert small(detail={"enabled": False}).stages == TRAINED[:2]
    assert small(distillation={"steps": 5}).stages == (*TRAINED, "student")


def test_detail_learns_from_what_generation_will_decode(tmp_path: Path) -> None:
    settings = small()
    prepared(tmp_path, without_physics())
    torch.manual_seed(0)
    autoencoder = Autoencoder(settings.autoencoder.architecture)
    save_weights(autoencoder, tmp_path / AUTOENCODER_FILE)
    signal, _ = beating(12, SAMPLES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.training_data.read_waveforms", lambda *_: (200 * signal).to(torch.int16))
        facts = {"sampling_rate_hz": 100, "samples": SAMPLES, "lead_scale_mv": [0.2] * 8}
        stage = DetailStage(tmp_path, tmp_path, settings, facts)
    batch = stage.batch("train", torch.tensor([2, 5]), torch.device("cpu"))
    assert torch.allclose(batch["signal"], signal[[2, 5]], atol=0.01)
    latents = load_file(tmp_path / LATENTS)["train"][[2, 5]]
    assert torch.allclose(batch["decoded"], autoencoder.decode(latents, SAMPLES), atol=1e-5)
    losses = stage.objective(**batch)
    losses["loss"].backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert stage.head.head.weight.grad.abs().sum() > 0


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
