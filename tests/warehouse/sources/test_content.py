"""The digest of a dataset: each file is hashed once, and again when its size or modification time changes."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.warehouse.hashed_files import count_hashed_files
from tests.warehouse.small_dataset import SmallDataset
from warehouse.sources.content import Content, content_of
from warehouse.sources.registry import open_source
from warehouse.storage.store import Store

LONG_AGO_NS = 1_600_000_000_000_000_000
FILES = 8  # two tables, three records of two files


@pytest.fixture
def dataset(tmp_path: Path) -> SmallDataset:
    dataset = SmallDataset(tmp_path / "ptbxl", records=3)
    for path in dataset.folder.rglob("*"):
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return dataset


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "warehouse"))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    return count_hashed_files(monkeypatch)


def content(store: Store, dataset: SmallDataset, rehash: bool = False) -> Content:
    return content_of(store, open_source("ptbxl", dataset.folder), rehash)


def test_a_second_run_hashes_nothing(store: Store, dataset: SmallDataset, hashed: Counter[Path]) -> None:
    first = content(store, dataset)
    assert (first.files, first.hashed, hashed.total()) == (FILES, FILES, FILES)
    hashed.clear()
    again = content(store, dataset)
    assert (again.sha256, again.hashed, hashed.total()) == (first.sha256, 0, 0)


def test_only_a_file_that_was_touched_is_hashed_again(
    store: Store, dataset: SmallDataset, hashed: Counter[Path]
) -> None:
    first = content(store, dataset)
    hashed.clear()
    touched = dataset.stem(2).with_suffix(".dat")
    os.utime(touched, ns=(LONG_AGO_NS, LONG_AGO_NS + 1))
    again = content(store, dataset)
    assert (again.sha256, again.hashed, hashed) == (first.sha256, 1, Counter({touched: 1}))
    assert content(store, dataset).hashed == 0


def test_files_that_come_and_go_change_the_digest(store: Store, dataset: SmallDataset) -> None:
    first = content(store, dataset)
    signal = dataset.stem(2).with_suffix(".dat")
    signal.rename(signal.with_suffix(".away"))
    without = content(store, dataset)
    signal.with_suffix(".away").rename(signal)
    assert without.sha256 != first.sha256
    assert content(store, dataset).sha256 == first.sha256


def test_a_change_that_keeps_size_and_time_is_found_by_rehashing(store: Store, dataset: SmallDataset) -> None:
    first = content(store, dataset)
    signal = dataset.stem(2).with_suffix(".dat")
    signal.write_bytes(bytes(reversed(signal.read_bytes())))
    os.utime(signal, ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert content(store, dataset) == Content(first.sha256, FILES, 0)
    found = content(store, dataset, rehash=True)
    assert found.sha256 != first.sha256
    assert found.hashed == FILES
    assert content(store, dataset) == Content(found.sha256, FILES, 0)


def test_a_file_written_a_moment_ago_is_not_trusted(store: Store, dataset: SmallDataset) -> None:
    now_ns = time.time_ns()
    signal = dataset.stem(2).with_suffix(".dat")
    os.utime(signal, ns=(now_ns, now_ns))
    first = content(store, dataset)
    signal.write_bytes(bytes(reversed(signal.read_bytes())))
    os.utime(signal, ns=(now_ns, now_ns))
    again = content(store, dataset)
    assert again.sha256 != first.sha256
    assert again.hashed == 1


def test_a_file_that_can_no_longer_be_read_changes_the_digest(
    store: Store, dataset: SmallDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = content(store, dataset)
    signal, opened, allowed = dataset.stem(2).with_suffix(".dat"), Path.open, os.access

    def refusing(path: Path, *arguments: object, **options: object) -> object:
        if path == signal:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    with monkeypatch.context() as forbidden:
        forbidden.setattr(os, "access", lambda path, mode: path != signal and allowed(path, mode))
        forbidden.setattr(Path, "open", refusing)
        unreadable = content(store, dataset)
    assert unreadable.sha256 != first.sha256
    assert content(store, dataset) == Content(first.sha256, FILES, 1)


def test_damaged_digests_are_made_again(store: Store, dataset: SmallDataset) -> None:
    first = content(store, dataset)
    (kept,) = (store.root / "_cache").rglob("*.parquet")
    kept.write_bytes(kept.read_bytes()[:50])
    assert content(store, dataset) == first
    assert content(store, dataset).hashed == 0


def test_a_dataset_elsewhere_has_digests_of_its_own(store: Store, dataset: SmallDataset, tmp_path: Path) -> None:
    first = content(store, dataset)
    other = SmallDataset(tmp_path / "other", records=3)
    assert content(store, other).sha256 == first.sha256
    assert content(store, dataset).hashed == 0
