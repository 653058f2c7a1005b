"""The whole stage with the real language model, the real embedding model and a real warehouse."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.knowledge.claims import parse_claim
from tasks.knowledge.embeddings import local_embeddings
from tasks.knowledge.local_model import LOCAL_MODEL, LocalChatModel
from tasks.knowledge.task import build_knowledge
from tasks.settings import KnowledgeSettings
from tests.facts import recordings_facts
from tests.tasks.knowledge.patients import FACTS, recordings_table
from warehouse.schema import knowledge
from warehouse.storage.reference import Reference
from warehouse.storage.store import Lineage, Store

CANARY = "Patient Jane Canary of Springfield called on 12 March about the goldfish"
THREE: dict[tuple[str, ...], dict[str, Any]] = {
    ("NORM", "SR"): {},
    ("CLBBB",): {"qrs_ms": 152},
    ("AFIB",): {"rr_irregularity": 0.22, "p_present": False},
}


def commit_recordings(store: Store, table: pa.Table, identifier: str) -> Reference:
    with store.stage("recordings", identifier) as staging:
        staging.write_table("recordings", 0, table)
        lineage = Lineage(stage="test", code_version=1, settings={}, inputs=[])
        return staging.commit(table.num_rows, lineage, recordings_facts(statements=FACTS))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("warehouse")))


@pytest.fixture(scope="module")
def recordings(store: Store) -> Reference:
    table = recordings_table(truth=THREE)
    texts = [CANARY, *table["text"].to_pylist()[1:]]
    planted = table.set_column(table.schema.get_field_index("text"), table.schema.field("text"), pa.array(texts))
    return commit_recordings(store, planted, "three")


@pytest.fixture(scope="module")
def built(store: Store, recordings: Reference) -> Reference:
    return build_knowledge.fn(KnowledgeSettings(), recordings, str(store.root))


@pytest.mark.slow
def test_the_local_model_writes_audited_entries(store: Store, built: Reference) -> None:
    table = store.read(built, "knowledge")
    assert table.schema.equals(knowledge())
    rows = {row["statement"]: row for row in table.to_pylist()}
    assert set(rows) == {"NORM", "SR", "CLBBB", "AFIB"}
    found = store.manifest(built).facts
    assert (
        found["model"] == LOCAL_MODEL
        and found["asked"] >= 4
        and found["proposed"] == found["kept"] + found["refuted"] > 0
    )
    for row in rows.values():
        by_model = [claim for claim in row["claims"] if claim["author"] == "model"]
        assert len(by_model) == row["claims_proposed"] == row["claims_kept"] + row["claims_refuted"]
        assert all((claim["verdict"] == "kept") <= (claim["support_low"] >= 0.6) for claim in row["claims"])
        assert 1 <= row["attempts"] <= 2 and row["rendered"] == (row["claims_kept"] < 2)
        assert all(claim["support_low"] <= claim["support"] for claim in row["claims"])
        assert row["names"][0] == FACTS[row["statement"]]["description"]
        assert np.array(row["name_embeddings"]).shape == (len(row["names"]), 384)
        assert np.linalg.norm(row["embedding"]) == pytest.approx(1, abs=1e-4)
    assert "P wave absent" in rows["AFIB"]["narrative"] and "QRS duration above" in rows["CLBBB"]["narrative"]


@pytest.mark.slow
def test_nothing_a_report_says_reaches_an_entry_or_an_embedding(store: Store, built: Reference) -> None:
    text = json.dumps(store.read(built, "knowledge").drop_columns(["embedding", "name_embeddings"]).to_pylist())
    kept = "".join(path.read_text() for path in (store.root / "_cache" / "knowledge").glob("*.json"))
    assert not {"canary", "springfield", "goldfish"} & set((text + kept).lower().split())
    canary = np.array(local_embeddings().embed_query(CANARY))
    narratives = store.read(built, "knowledge", ["narrative", "embedding"]).to_pylist()
    again = local_embeddings().embed_documents([row["narrative"] for row in narratives])
    for row, vector in zip(narratives, again, strict=True):
        np.testing.assert_array_equal(
            np.array(row["embedding"], np.float32), np.array(vector, np.float32)
        )  # of the narrative, of nothing else
        assert np.array(row["embedding"]) @ canary < 0.4


@pytest.mark.slow
def test_building_again_does_nothing_and_operational_settings_do_not_matter(
    store: Store, recordings: Reference, built: Reference
) -> None:
    assert build_knowledge.fn(KnowledgeSettings(concurrency=1), recordings, str(store.root)) == built


@pytest.mark.slow
def test_a_stricter_audit_reuses_the_answers(store: Store, recordings: Reference, built: Reference) -> None:
    stricter = build_knowledge.fn(KnowledgeSettings(min_support=0.65), recordings, str(store.root))
    assert stricter.id != built.id
    assert store.manifest(stricter).facts["cached"] >= 4


@pytest.mark.slow
def test_the_local_model_chooses_among_lines_and_repeats_itself_exactly() -> None:
    groups = [["P wave present", "P wave absent"], ["heart rate above 100 bpm", "heart rate below 60 bpm"]]
    model = LocalChatModel(temperature=1.0, seed=3)
    question = "Say what the ECG shows. P wave absent in 97%. heart rate 131 bpm."
    first = model.invoke(question, choices=groups, lines=5).text
    lines = first.splitlines()
    assert len(lines) == 2 and all(sum(line in group for line in lines) == 1 for group in groups)
    assert all(parse_claim(line, {}) is not None for line in lines)
    model.invoke("What is the capital of France?", choices=[["Paris", "Lyon"]], lines=1)
    assert model.invoke(question, choices=groups, lines=5).text == first


@pytest.mark.slow
def test_the_local_model_writes_free_text() -> None:
    answer = LocalChatModel(max_new_tokens=24).invoke("What is the capital of France? Answer in one word.").text
    assert "Paris" in answer


def test_too_few_patients_leave_an_empty_knowledge_base_that_can_be_read(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    few = commit_recordings(store, recordings_table(patients=3), "few")
    empty = build_knowledge.fn(KnowledgeSettings(), few, str(store.root))
    assert empty.rows == 0
    assert store.read(empty, "knowledge").schema.equals(knowledge())
    assert "no condition has 20 training patients (knowledge.min_patients)" in caplog.text
