"""Released Parquet: small, read alike by every reader, and sorted so that a query for one condition reads little."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import datasets
import duckdb
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from models.leads import LEAD_COLUMNS
from tests.tiny_pipeline import SAMPLES, TinyPipeline
from warehouse.release.content import ReleaseDescription, gather
from warehouse.release.files import write_release_files
from warehouse.storage.parquet_encoding import ROW_GROUP_ROWS
from warehouse.storage.store import Store
from warehouse.storage.waveforms import microvolts

ROWS = 1536
CONDITION = "sinus tachycardia"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("warehouse")))


@pytest.fixture(scope="module")
def folder(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a release of 1,536 ECGs, 512 for each of three conditions that take turns in the cohort."""
    inputs = TinyPipeline(store, rows=ROWS).commit()
    description = ReleaseDescription("tiny", "Tiny cohort", "CC-BY-4.0", "Tests", "Nobody 2026")
    content = gather(store, description, inputs, "v1", "0123456789abcdef", datetime.now(UTC))
    # A release of many small parts, as resumed cohorts have, is still one sorted file.
    assert len(content.parts) == 2
    written = tmp_path_factory.mktemp("release")
    write_release_files(written, content, "<!doctype html><title>Tiny</title>")
    return written


@pytest.fixture(scope="module")
def expected(store: Store) -> np.ndarray:
    """int16 µV, (rows, 8, samples), by row number, as the cohort was committed."""
    (cohort,) = store.committed("cohort")
    reference = store.find("cohort", cohort.id)
    assert reference
    return microvolts(store.read(reference, "cohorts"))


def by_row_number(rows: np.ndarray, leads: list[np.ndarray]) -> np.ndarray:
    return np.stack(leads, axis=1)[np.argsort(rows)]


def test_pyarrow_reads_what_was_generated(folder: Path, expected: np.ndarray) -> None:
    table = pq.read_table(folder / "cohorts").sort_by("row_number")
    np.testing.assert_array_equal(microvolts(table), expected)


def test_pandas_reads_what_was_generated(folder: Path, expected: np.ndarray) -> None:
    frame = pd.read_parquet(folder / "cohorts")
    leads = [np.stack(frame[lead].to_list()) for lead in LEAD_COLUMNS]
    np.testing.assert_array_equal(by_row_number(frame["row_number"].to_numpy(), leads), expected)


def test_duckdb_reads_what_was_generated(folder: Path, expected: np.ndarray) -> None:
    found = duckdb.sql(f"select row_number, {', '.join(LEAD_COLUMNS)} from '{folder}/cohorts/*.parquet'").fetchnumpy()
    leads = [np.stack(list(found[lead])) for lead in LEAD_COLUMNS]
    np.testing.assert_array_equal(by_row_number(np.asarray(found["row_number"]), leads), expected)


def test_hugging_face_datasets_reads_what_was_generated(
    folder: Path, expected: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    files = [str(path) for path in sorted((folder / "cohorts").glob("*.parquet"))]
    table = datasets.Dataset.from_parquet(files, cache_dir=str(tmp_path)).with_format("numpy")
    assert table.features["lead_ii"].length == SAMPLES
    np.testing.assert_array_equal(by_row_number(table["row_number"][:], [table[x][:] for x in LEAD_COLUMNS]), expected)


def test_a_query_for_one_condition_reads_few_row_groups(folder: Path) -> None:
    (path,) = (folder / "cohorts").glob("*.parquet")
    groups = pq.ParquetFile(path).num_row_groups
    assert groups == ROWS // ROW_GROUP_ROWS == 6
    (fragment,) = ds.dataset(path).get_fragments()
    read = fragment.split_by_row_group(ds.field("condition") == CONDITION)
    assert len(read) == 2  # 512 of 1,536 ECGs
    assert sum(len(one.row_groups) for one in read) < groups
    (answer,) = duckdb.sql(f"select count(*) from '{path}' where condition = '{CONDITION}'").fetchall()
    assert answer == (512,)


def test_waveforms_are_split_into_byte_streams_and_names_are_in_dictionaries(folder: Path) -> None:
    (path,) = (folder / "cohorts").glob("*.parquet")
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    for lead in LEAD_COLUMNS:
        assert "BYTE_STREAM_SPLIT" in columns[f"{lead}.list.element"].encodings
    assert columns["condition"].has_dictionary_page and columns["condition"].is_stats_set
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_waveforms_take_a_tenth_less_than_plain_parquet(folder: Path) -> None:
    (path,) = (folder / "cohorts").glob("*.parquet")
    metadata = pq.ParquetFile(path).metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(index) for group in groups for index in range(group.num_columns)]
    size = sum(one.total_compressed_size for one in columns if one.path_in_schema.startswith("lead_"))
    plain = io.BytesIO()
    pq.write_table(pq.read_table(path, columns=list(LEAD_COLUMNS)), plain, compression="zstd")
    assert size <= 0.9 * len(plain.getvalue())
    assert size <= 0.42 * ROWS * 12 * SAMPLES * 2  # of the bytes that twelve leads take in a .dat file
