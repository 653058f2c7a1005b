"""The data dictionary and the worked queries follow the schemas."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.warehouse.small_tables import commit_cohort, commit_knowledge, commit_metrics, commit_recordings
from warehouse.catalog import worked_queries as queries
from warehouse.catalog.catalog import QueryError, query
from warehouse.catalog.data_dictionary import PATH, catalog_tables, render
from warehouse.schema import TABLES
from warehouse.storage.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(str(tmp_path_factory.mktemp("warehouse")))
    recordings = commit_recordings(store, "r1", rows=6)
    commit_knowledge(store, "k1", recordings)
    commit_metrics(store, commit_cohort(store, "c1", recordings, rows=15))
    return store


def test_the_dictionary_in_the_docs_is_the_one_the_schemas_give() -> None:
    assert PATH.read_text(encoding="utf-8") == render(), "run: python -m warehouse.catalog.data_dictionary"


def test_every_column_is_described() -> None:
    described = {table.name: table for table in catalog_tables()}
    for name, schema in TABLES.items():
        assert [column.name for column in described[name].columns] == ["dataset_id", *schema().names]
    for table in described.values():
        assert table.description
        assert all(column.type and column.description for column in table.columns)


def test_columns_named_for_a_unit_have_it() -> None:
    units = {"_ms": "ms", "_mv": "mV", "_bpm": "bpm", "_deg": "degree", "_years": "years", "_hz": "Hz"}
    for table in catalog_tables():
        for column in table.columns:
            for suffix, unit in units.items():
                assert not column.name.endswith(suffix) or column.unit == unit, f"{table.name}.{column.name}"


def test_there_are_ten_queries_and_all_run(store: Store) -> None:
    found = queries.queries_in()
    assert len(found) >= 10
    assert len({title for title, _ in found}) == len(found)
    empty = [title for title, sql in found if not query(store, sql).rows]
    assert empty == ["Lineage of a release"]


def test_outputs_are_written_and_written_again(store: Store) -> None:
    text = "# Queries\n\n## Rows\n\nHow many.\n\n```sql\nselect count(*) as rows from cohorts;\n```\n\nThe end.\n"
    once = queries.answered(text, store)
    assert "```text\nrows\n----\n  15\n```\n\nThe end.\n" in once
    assert queries.answered(once, store) == once
    assert queries.answered(queries.PATH.read_text(encoding="utf-8"), store).count("```text") >= 10


def test_long_results_are_cut_and_said_to_be(store: Store) -> None:
    output = queries.as_text(query(store, "select row_number from cohorts"))
    assert output.splitlines()[-1] == "(3 more rows)"


def test_a_query_that_fails_is_named(store: Store) -> None:
    with pytest.raises(QueryError, match=r"Rows: .*nothing"):
        queries.answered("## Rows\n\n```sql\nselect nothing;\n```\n", store)


def test_the_command_rewrites_the_file(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "queries.md"
    file.write_text("## Rows\n\n```sql\nselect 1 as one;\n```\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["queries", "--warehouse", str(store.root), "--file", str(file)])
    assert queries.main() == 0
    assert "one\n---\n  1\n" in file.read_text(encoding="utf-8")
    file.write_text("## Rows\n\n```sql\nselect nothing;\n```\n", encoding="utf-8")
    assert queries.main() == 1
    assert "```text" not in file.read_text(encoding="utf-8")
