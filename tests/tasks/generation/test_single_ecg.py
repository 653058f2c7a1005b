"""One ECG for a request: the row of a cohort that has the same condition and seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.leads import LEAD_COLUMNS
from tasks.generation.single_ecg import sample_single_ecg
from tasks.generation.task import generate_ecgs
from tasks.knowledge.embeddings import local_embeddings
from tasks.settings import CohortSettings, ComputeSettings, RetrievalSettings, RetrievalWeights
from tests.tasks.clinic import STATEMENTS, put_cohort, put_model, put_recordings, recordings_table
from warehouse.errors import WarehouseError
from warehouse.schema import cohorts, knowledge
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveforms import to_lead_columns

pytestmark = pytest.mark.slow

# Nothing here is the default, so that an ECG sampled by defaults would be another.
SAMPLED = CohortSettings(size=4, sampler_steps=2, guidance=1.5, trait_guidance=2.0, rows_per_part=4, seed=3)
RETRIEVED = RetrievalSettings(top_k=1, weights=RetrievalWeights(embedding=0, statements=0, demographics=1))


def entries() -> pa.Table:
    """A knowledge base of one entry per statement; the first is what RETRIEVED finds, whatever is asked for."""
    codes = sorted(STATEMENTS, reverse=True)
    vectors = local_embeddings().embed_documents([str(STATEMENTS[code]["description"]) for code in codes])
    rows = [
        dict.fromkeys(knowledge().names)
        | {"entry_id": code, "statement": code, "embedding": vector, "name_embeddings": [vector]}
        for code, vector in zip(codes, vectors, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([field.with_nullable(True) for field in knowledge()]))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("single")))


@pytest.fixture(scope="module")
def model(store: Store) -> Reference:
    recordings = put_recordings(store, recordings_table(60))
    return put_model(store, recordings, entries(), RETRIEVED)[0]


@pytest.fixture(scope="module")
def rows(store: Store, model: Reference, ray_cluster: None) -> list[dict[str, Any]]:
    """Rows of the model's cohort; a newer cohort is of no model."""
    recordings, knowledge = store.manifest(model).lineage.inputs
    cohort = generate_ecgs.fn(SAMPLED, model, knowledge, recordings, ComputeSettings(), str(store.root))
    put_cohort(store, recordings, cohorts(1000, 100).empty_table(), "elsewhere")
    return store.read(cohort, "cohorts").to_pylist()


def request(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["text"], row["age_years"], row["sex"], row["target_heart_rate_bpm"], row["row_seed"]


def test_before_there_is_a_cohort_settings_are_the_defaults(store: Store, model: Reference) -> None:
    ecg = sample_single_ecg(store, store.manifest(model), "sinus rhythm", 50.0, "male", 70.0, 1)
    assert ecg.cohort is None and ecg.entries == ["SR"]
    assert np.isfinite(ecg.signal).all()


def test_the_ecg_of_a_rows_condition_and_seed_is_that_row(
    store: Store, model: Reference, rows: list[dict[str, Any]]
) -> None:
    assert len({row["condition"] for row in rows}) == 2
    for row in rows:
        ecg = sample_single_ecg(store, store.manifest(model), *request(row))
        assert ecg.request.condition.statements == tuple(row["statements"])
        assert ecg.entries == row["knowledge_entries"] == ["SR"]
        drawn = {name: column[0].as_py() for name, column in to_lead_columns(ecg.signal[None]).items()}
        assert drawn == {name: row[name] for name in LEAD_COLUMNS}


def test_no_knowledge_of_an_excluded_statement_is_retrieved(store: Store, model: Reference) -> None:
    ecg = sample_single_ecg(store, store.manifest(model), "LVH, not in sinus rhythm", None, None, None, 1)
    assert ecg.request.condition.statements == ("LVH",) and ecg.entries == ["NORM"]


def test_a_knowledge_base_that_is_gone_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    model, knowledge = put_model(store, put_recordings(store, recordings_table(60)), entries(), RETRIEVED)
    (store.path(knowledge) / "MANIFEST.json").unlink()
    with pytest.raises(WarehouseError, match=f"knowledge {knowledge.id} is not in"):
        sample_single_ecg(store, store.manifest(model), "sinus rhythm", None, None, None, 1)
