"""A dataset that grew, without Ray: rows that are there are taken over, and only the rest is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.ingestion.earlier import TABLE, Earlier, keep_notes
from tasks.ingestion.outcome import collect
from tasks.ingestion.recording_parts import Assignment, Window, keys_of, write_part
from tasks.ingestion.task import assign
from tasks.settings import IngestionSettings
from tests.warehouse.small_dataset import SmallDataset, ordinary_ecg
from warehouse.sources.content import content_of, record_contents
from warehouse.sources.ptbxl import PtbxlSource
from warehouse.storage.pseudonyms import pseudonyms_of
from warehouse.storage.store import Staging, Store

WINDOW = Window(100, 10.0)


class Counting(PtbxlSource):
    """PTB-XL that counts what is decoded."""

    def decode(self, record, rate_hz):  # type: ignore[no-untyped-def]
        self.decoded = [*getattr(self, "decoded", []), record.record]
        return super().decode(record, rate_hz)


@pytest.fixture
def dataset(tmp_path: Path) -> SmallDataset:
    dataset = SmallDataset(tmp_path / "ptbxl", records=6)
    dataset.write_record("00004_lr", ordinary_ecg(4, duration_s=3))
    return dataset


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[Staging]:
    with Store(str(tmp_path / "warehouse")).stage("recordings", "a1") as staging:
        yield staging


def assignments(dataset: SmallDataset, store: Store) -> tuple[Counting, list[Assignment]]:
    """The records of a dataset all of whose files were written long ago, once it was digested."""
    for path in dataset.folder.rglob("*"):
        os.utime(path, (1e9, 1e9))
    source = Counting(dataset.folder)
    content_of(store, source, rehash=True)
    contents = record_contents(store, source, source.records(), "version 1")
    return source, assign(source.records(), IngestionSettings(), source.name, pseudonyms_of(store), contents)[0]


def ingested(dataset: SmallDataset, staging: Staging) -> Earlier:
    source, assigned = assignments(dataset, staging.store)
    write_part(source, staging, WINDOW, 0, assigned)
    outcome = collect(staging, 1)
    keep_notes(staging, sorted({0} - {*outcome.thinned}))
    return Earlier(staging.store.root / "_cache" / "ingested" / staging.id, staging.path)


def again(dataset: SmallDataset, staging: Staging, earlier: Earlier) -> tuple[list[str], list[str]]:
    """Records that are decoded when the dataset is ingested again, and all whose rows are the same as if all were."""
    source, assigned = assignments(dataset, staging.store)
    keys = keys_of(assigned, WINDOW)
    write_part(source, staging, WINDOW, 1, assigned, earlier.take(keys, earlier.places(keys)))
    whole, _ = assignments(dataset, staging.store)
    write_part(whole, staging, WINDOW, 2, assigned)
    taken, read = (pq.read_table(staging.part(TABLE, part), partitioning=None) for part in (1, 2))
    assert staging.note(TABLE, 1) == staging.note(TABLE, 2)
    assert taken.equals(read)
    return getattr(source, "decoded", []), whole.decoded


def test_only_new_and_changed_records_are_read(dataset: SmallDataset, staging: Staging) -> None:
    earlier = ingested(dataset, staging)
    assert again(dataset, staging, earlier) == ([], ["1", "2", "3", "4", "5", "6"])
    dataset.add(7)
    dataset.rows.insert(0, dataset.rows.pop())
    dataset.rows[2]["age"] = 33
    dataset.write()
    dataset.write_record("00003_lr", ordinary_ecg(33))
    assert again(dataset, staging, earlier) == (["7", "2", "3"], ["7", "1", "2", "3", "4", "5", "6"])


def test_a_file_that_may_change_unnoticed_is_read(dataset: SmallDataset, staging: Staging) -> None:
    assignments(dataset, staging.store)
    dataset.write_record("00003_lr", ordinary_ecg(3))
    source = PtbxlSource(dataset.folder)
    content_of(staging.store, source)
    assert [*record_contents(staging.store, source, source.records(), "version 1")] == ["1", "2", "4", "5", "6"]


def test_rows_that_changed_at_rest_are_not_taken_over(dataset: SmallDataset, staging: Staging) -> None:
    earlier = ingested(dataset, staging)
    table = pq.read_table(staging.part(TABLE, 0), partitioning=None)
    staging.write_table(TABLE, 0, table.take(np.arange(len(table))[::-1]))
    assert again(dataset, staging, earlier)[0] == ["1", "2", "3", "4", "5", "6"]
    staging.part(TABLE, 0).write_bytes(b"damaged")
    assert again(dataset, staging, earlier)[0] == ["1", "2", "3", "4", "5", "6"]


def test_parts_that_lost_copies_are_read_again(dataset: SmallDataset, staging: Staging) -> None:
    dataset.write_record("00006_lr", ordinary_ecg(5))
    earlier = ingested(dataset, staging)
    dataset.write_record("00005_lr", ordinary_ecg(55))
    assert again(dataset, staging, earlier)[0] == ["1", "2", "3", "4", "5", "6"]
