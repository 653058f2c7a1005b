"""The file of all waveforms: what the Parquet parts hold, written once and whole, and again where it is missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.counted import count_waveform_reads
from tests.warehouse.small_tables import commit_recordings
from warehouse.errors import WarehouseError
from warehouse.storage import waveform_file as module
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveform_file import map_waveforms, waveform_file
from warehouse.storage.waveforms import from_lead_columns

ROWS, SAMPLES = 7, 50


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def recordings(store: Store) -> Reference:
    """Of three parts."""
    whole = commit_recordings(store, "whole", ROWS, SAMPLES)
    table = store.read(whole, "recordings")
    with store.stage("recordings", "parts") as staging:
        for part, (start, count) in enumerate(((0, 3), (3, 1), (4, 3))):
            staging.write_table("recordings", part, table.slice(start, count))
        return staging.commit(ROWS, store.manifest(whole).lineage)


def test_rows_are_those_of_the_table_to_the_microvolt(store: Store, recordings: Reference) -> None:
    mapped = map_waveforms(waveform_file(store, recordings))
    assert (mapped.shape, mapped.dtype) == ((ROWS, 8, SAMPLES), np.int16)
    expected = np.rint(from_lead_columns(store.read(recordings, "recordings")) * 1000)
    np.testing.assert_array_equal(mapped[[6, 0, 3]], expected[[6, 0, 3]])
    np.testing.assert_array_equal(mapped, expected)
    with pytest.raises(ValueError, match="read-only"):
        mapped[0, 0, 0] = 1


def test_it_belongs_to_no_dataset(store: Store, recordings: Reference) -> None:
    before = [one.id for one in store.committed()]
    path = waveform_file(store, recordings)
    assert path.relative_to(store.root).parts[0].startswith("_")
    assert [one.id for one in store.committed()] == before


def test_two_runs_at_once_write_it_once(store: Store, recordings: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    read = count_waveform_reads(monkeypatch)
    with ThreadPoolExecutor(4) as runs:
        paths = set(runs.map(lambda _: waveform_file(Store(str(store.root)), recordings), range(4)))
    assert len(paths) == 1
    assert read == {f"part-0000{part}.parquet": 1 for part in range(3)}


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "of other rows"])
def test_it_is_written_again_where_it_is_not_whole(store: Store, recordings: Reference, damage: str) -> None:
    path = waveform_file(store, recordings)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "of other rows":
        np.save(path, np.zeros((2, 8, SAMPLES), np.int16))
    else:
        path.write_bytes(b"" if damage == "empty" else content[:-1])
    if damage != "of other rows":
        with pytest.raises(WarehouseError, match="run the same command again, which writes it anew"):
            map_waveforms(path)
    assert waveform_file(store, recordings).read_bytes() == content


def test_a_run_that_is_stopped_leaves_nothing_and_a_killed_ones_rest_is_removed(
    store: Store, recordings: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, microvolts = store.root / "_cache" / "waveforms", module.microvolts
    parts = iter([1, 2])

    def stopped(table: pa.Table) -> Any:
        if next(parts) == 2:
            raise KeyboardInterrupt
        return microvolts(table)

    with monkeypatch.context() as patch:
        patch.setattr(module, "microvolts", stopped)
        with pytest.raises(KeyboardInterrupt):
            waveform_file(store, recordings)
    assert list(folder.iterdir()) == []
    (folder / f".{recordings.id}.npy.0a1b2c3d").write_bytes(b"half")
    (folder / ".other.npy.0a1b2c3d").write_bytes(b"being written by another run")
    path = waveform_file(store, recordings)
    assert {one.name for one in folder.iterdir()} == {path.name, ".other.npy.0a1b2c3d"}
