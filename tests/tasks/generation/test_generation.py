"""Generation through real Ray actors: the same rows whatever the batches, workers, interruptions and cohort size."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.leads import LEAD_COLUMNS
from tasks.conditions.cohort_design import row_seed
from tasks.generation.cohort_table import part_note
from tasks.generation.task import GenerationError, generate_ecgs
from tasks.settings import CohortSettings, ComputeSettings
from tests.stage_outputs import COHORT, StageOutputs
from tests.tasks.clinic import STATEMENTS, put_model, put_recordings, recordings_table
from warehouse.schema import cohorts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.whole_files import write_text

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(stage_outputs: StageOutputs) -> Store:
    return stage_outputs.clinic[0]


@pytest.fixture(scope="module")
def inputs(stage_outputs: StageOutputs) -> tuple[Reference, Reference, Reference]:
    """Model, knowledge base and recordings."""
    return stage_outputs.clinic[1:]


def generate(store: Store, inputs: tuple[Reference, Reference, Reference], settings: CohortSettings) -> Reference:
    return generate_ecgs.fn(settings, *inputs, ComputeSettings(), str(store.root))


@pytest.fixture(scope="module")
def cohort(stage_outputs: StageOutputs, ray_cluster: None) -> Reference:
    return stage_outputs.generated[1]


def rows_of(store: Store, cohort: Reference) -> pa.Table:
    """Everything but the ids, which name the cohort."""
    return store.read(cohort, "cohorts").drop_columns(["ecg_id"]).combine_chunks()


def facts_of(store: Store, cohort: Reference) -> dict[str, Any]:
    """The facts but how fast it was."""
    return {name: fact for name, fact in store.manifest(cohort).facts.items() if "second" not in name}


def test_a_cohort_follows_its_schema_and_its_conditions(store: Store, cohort: Reference) -> None:
    table = store.read(cohort, "cohorts")
    assert table.schema.equals(cohorts(1000, 100))
    assert table["row_number"].to_pylist() == list(range(10))
    assert table["row_seed"].to_pylist() == [row_seed(1, row) for row in range(10)]
    assert len(set(table["ecg_id"].to_pylist())) == 10
    assert all(identifier.startswith(cohort.id) for identifier in table["ecg_id"].to_pylist())
    words = {code: facts["description"] for code, facts in STATEMENTS.items()}
    for row in table.select(["condition", "statements", "likelihoods", "given_up"]).to_pylist():
        assert row["condition"] == "; ".join(words[code] for code in row["statements"])
        assert row["likelihoods"] == [None] * len(row["statements"])
        assert set(row["given_up"]) <= {"age", "sex", "form", "rhythm", "diagnosis"}
    assert {codes[0] for codes in table["statements"].to_pylist()} == {"NORM", "LVH"}
    assert not any("ward" in text for text in table["text"].to_pylist())
    assert {tuple(held) for held in table["superclasses"].to_pylist()} <= {("NORM",), ("HYP",)}
    signals = np.stack([np.stack(table[name].to_pylist()) for name in LEAD_COLUMNS], axis=1)
    assert len(np.unique(signals.reshape(10, -1), axis=0)) == 10


def test_facts_say_how_it_went(store: Store, cohort: Reference) -> None:
    facts = store.manifest(cohort).facts
    assert facts["simulated"] is True
    assert facts["einthoven_residual_mv"] == 0
    assert facts["records_per_second"] > 0
    assert facts["design"]["training_recordings"] == 48
    flags = [flag for row in store.read(cohort, "cohorts")["quality_flags"].to_pylist() for flag in row]
    assert facts["quality_flags"] == Counter(flags)
    known = store.read(cohort, "cohorts", ["heart_rate_bpm", "target_heart_rate_bpm"])
    found, asked = (np.array(column.to_pylist(), dtype=float) for column in known.columns)
    assert facts["heart_rate_mae_bpm"] == pytest.approx(np.nanmean(np.abs(found - asked)), abs=1e-3)
    assert facts["heart_rate_measured"] == np.isfinite(found).sum()


def test_rows_do_not_depend_on_batches_workers_or_cohort_size(
    store: Store, inputs: tuple[Reference, Reference, Reference], cohort: Reference
) -> None:
    otherwise = COHORT.model_copy(update={"batch_size": 64, "workers": 2, "rows_per_part": 5, "size": 13})
    larger = generate(store, inputs, otherwise)
    assert larger.rows == 13
    assert rows_of(store, larger).slice(0, 10).equals(rows_of(store, cohort))


def test_a_killed_run_continues_with_what_it_had_and_ends_with_the_same_rows(
    store: Store, inputs: tuple[Reference, Reference, Reference], cohort: Reference, tmp_path: Path
) -> None:
    shutil.copytree(store.root, tmp_path / "warehouse")
    other = Store(str(tmp_path / "warehouse"))
    # As a kill leaves it: one part written, another half-written, no manifest.
    folder = other.folder("cohort", cohort.id)
    (folder / "MANIFEST.json").unlink()
    (folder / "cohorts" / "part-00001.parquet").rename(folder / "cohorts" / ".part-00001.parquet.0a1b2c3d")
    kept = (folder / "cohorts" / "part-00000.parquet").stat().st_mtime_ns
    staging = other.staging_folder("cohort", cohort.id)
    folder.rename(staging)
    note = part_note(pq.read_table(staging / "cohorts" / "part-00000.parquet"))
    write_text(staging / "_notes" / "cohorts" / "part-00000.json", json.dumps(note))
    again = generate(other, inputs, COHORT)
    assert (folder / "cohorts" / "part-00000.parquet").stat().st_mtime_ns == kept
    assert not list(folder.rglob(".*"))
    assert rows_of(other, again).equals(rows_of(store, cohort))
    assert facts_of(other, again) == facts_of(store, cohort)


def test_what_is_already_there_is_not_generated_again(
    store: Store, inputs: tuple[Reference, Reference, Reference], cohort: Reference
) -> None:
    assert generate(store, inputs, COHORT.model_copy(update={"workers": 2, "batch_size": 1})) == cohort


def test_too_small_groups_are_refused_with_the_setting_to_change(
    store: Store, inputs: tuple[Reference, Reference, Reference]
) -> None:
    with pytest.raises(GenerationError, match=r"cohort\.min_patients=500; lower it"):
        generate(store, inputs, COHORT.model_copy(update={"min_patients": 500}))


def test_a_model_that_diverges_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_cluster: None
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from tests.tasks import clinic

    store = Store(str(tmp_path))
    recordings = put_recordings(store, recordings_table(60))

    def save_broken(folder: Path, generator: torch.nn.Module) -> None:
        saved(folder, generator)
        path = folder / "autoencoder.safetensors"
        save_file({name: tensor * torch.nan for name, tensor in load_file(path).items()}, path)

    saved = clinic.save_generator
    monkeypatch.setattr(clinic, "save_generator", save_broken)
    model, knowledge = put_model(store, recordings)
    with pytest.raises(GenerationError, match="not finite for 4 rows") as refused:
        generate(store, (model, knowledge, recordings), COHORT.model_copy(update={"size": 4}))
    assert "\n" not in str(refused.value)
    assert store.committed("cohort") == []
