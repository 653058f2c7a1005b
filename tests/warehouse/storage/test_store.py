"""Staged, then committed: a reader sees all of a dataset or nothing, whatever happens in between."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.facts import audit_facts, recordings_facts
from warehouse.errors import WarehouseError
from warehouse.storage.facts import AuditFacts, RecordingsFacts
from warehouse.storage.manifest import Lineage, read_manifest
from warehouse.storage.reference import Reference, digest
from warehouse.storage.store import Store
from warehouse.storage.whole_files import sha256_of, write_parquet, write_text


def lineage() -> Lineage:
    return Lineage(stage="test", code_version=1, settings={}, inputs=[])


def commit_rows(store: Store, identifier: str, rows: int) -> Reference:
    with store.stage("recordings", identifier) as staging:
        staging.write_table("recordings", 0, pa.table({"n": list(range(rows))}))
        return staging.commit(rows, lineage(), recordings_facts(source="x"))


def test_committed_data_reads_back_and_is_described(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "warehouse"))
    reference = commit_rows(store, "a1", 3)
    assert store.find("recordings", "a1") == reference
    assert store.read(reference, "recordings")["n"].to_pylist() == [0, 1, 2]
    manifest = store.manifest(reference)
    (file,) = manifest.files
    path = store.path(reference) / file.path
    assert (file.bytes, file.sha256) == (path.stat().st_size, sha256_of(path))
    assert manifest.tables == {"recordings": ["n: int64"]}
    assert store.facts(reference, RecordingsFacts) == recordings_facts(source="x")


def test_facts_are_those_of_the_kind(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "warehouse"))
    reference = commit_rows(store, "a1", 3)
    with pytest.raises(WarehouseError, match=r"facts of recordings a1 do not fit this version \(verdict, failed"):
        store.facts(reference, AuditFacts)
    with store.stage("recordings", "a2") as staging, pytest.raises(ValueError, match="audit cannot describe"):
        staging.commit(1, lineage(), audit_facts())
    assert store.find("recordings", "a2") is None


def test_nothing_is_visible_before_the_commit(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with store.stage("recordings", "a1") as staging:
        staging.write_table("recordings", 0, pa.table({"n": [1]}))
        assert store.find("recordings", "a1") is None
        assert store.committed() == []
        staging.commit(1, lineage())
    assert [one.id for one in store.committed()] == ["a1"]


def test_staging_survives_a_failure_and_is_continued(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(RuntimeError), store.stage("recordings", "a1") as staging:
        assert not staging.resumed
        staging.write_table("recordings", 0, pa.table({"n": [1]}))
        raise RuntimeError("killed")
    assert store.find("recordings", "a1") is None
    with store.stage("recordings", "a1") as staging:
        assert staging.resumed
        assert [staging.has_part("recordings", part) for part in (0, 1)] == [True, False]


def test_a_part_that_exists_has_its_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    with store.stage("recordings", "a1") as staging:
        with monkeypatch.context() as killed:
            killed.setattr("warehouse.storage.store.write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                staging.write_table("recordings", 0, pa.table({"n": [1]}), note={"kept": 1})
        assert not staging.has_part("recordings", 0)
        staging.write_table("recordings", 0, pa.table({"n": [1]}))
        assert not staging.has_part("recordings", 0, noted=True)
        staging.write_table("recordings", 0, pa.table({"n": [1]}), note={"kept": 1})
        assert staging.has_part("recordings", 0, noted=True)
    with store.stage("recordings", "a1") as continued:
        assert continued.note("recordings", 0) == {"kept": 1}
        reference = continued.commit(1, lineage())
    assert [file.path for file in store.manifest(reference).files] == ["recordings/part-00000.parquet"]


KILLED_BEFORE_RENAME = """
import os, pathlib, sys
import pyarrow as pa
from warehouse.storage.manifest import Lineage
from warehouse.storage.store import Store
pathlib.Path.rename = lambda self, target: os._exit(9)
with Store(sys.argv[1]).stage("recordings", "a1") as staging:
    staging.write_table("recordings", 0, pa.table({"n": [1, 2]}))
    staging.commit(2, Lineage(stage="test", code_version=1, settings={}, inputs=[]))
"""


def test_a_kill_between_manifest_and_rename_leaves_nothing_visible(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_BEFORE_RENAME, str(tmp_path)], check=False)
    assert killed.returncode == 9
    store = Store(str(tmp_path))
    assert (store.staging_folder("recordings", "a1") / "MANIFEST.json").exists()
    assert store.find("recordings", "a1") is None
    assert store.committed() == []
    with store.stage("recordings", "a1") as staging:
        assert staging.has_part("recordings", 0)
        reference = staging.commit(2, lineage())
    assert store.read(reference, "recordings")["n"].to_pylist() == [1, 2]
    assert [file.path for file in store.manifest(reference).files] == ["recordings/part-00000.parquet"]


def test_work_files_are_left_out(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with store.stage("model", "m1") as staging:
        write_text(staging.path / "config.json", "{}")
        write_text(staging.path / "_state.json", "{}")
        (staging.path / "_checkpoints").mkdir()
        write_text(staging.path / "_checkpoints" / "step.json", "{}")
        reference = staging.commit(1, lineage())
    assert [file.path for file in store.manifest(reference).files] == ["config.json"]
    assert sorted(path.name for path in store.path(reference).iterdir()) == ["MANIFEST.json", "config.json"]


def test_the_second_of_two_runs_waits_and_then_finds_the_dataset(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    waited: list[str] = []
    second: list[Reference | None] = []

    def build_again() -> None:
        with Store(str(tmp_path)).stage("recordings", "a1", waiting=lambda: waited.append("yes")):
            second.append(store.find("recordings", "a1"))

    with store.stage("recordings", "a1") as staging:
        thread = threading.Thread(target=build_again)
        thread.start()
        deadline = time.monotonic() + 20
        while not waited and time.monotonic() < deadline:
            time.sleep(0.01)
        assert second == []
        staging.write_table("recordings", 0, pa.table({"n": [1]}))
        reference = staging.commit(1, lineage())
    thread.join(20)
    assert (waited, second) == (["yes"], [reference])


def test_a_reference_notices_that_its_dataset_changed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    reference = commit_rows(store, "a1", 1)
    manifest = store.folder("recordings", "a1") / "MANIFEST.json"
    manifest.write_text(manifest.read_text().replace('"rows": 1', '"rows": 2'))
    with pytest.raises(WarehouseError, match="changed since"):
        store.path(reference)


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    reference = Reference(kind="model", id="m1", uri=str(tmp_path), rows=1, sha256="0")
    with pytest.raises(WarehouseError, match="model m1 is not in"):
        store.manifest(reference)


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    commit_rows(store, "a1", 1)
    path = store.folder("recordings", "a1") / "MANIFEST.json"
    path.write_text("{}")
    with pytest.raises(WarehouseError, match=r"MANIFEST\.json is damaged"):
        read_manifest(path)


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (tmp_path / "recordings" / "a1").mkdir(parents=True)
    (tmp_path / "recordings" / "a1" / "stray").touch()
    with pytest.raises(WarehouseError, match="is in the way"):
        commit_rows(store, "a1", 1)


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    write = pq.write_table

    def until_full(table: pa.Table, where: object, **options: object) -> None:
        write(table.slice(0, 1), where, **options)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("warehouse.storage.store.pq.write_table", until_full)
        with pytest.raises(WarehouseError, match=r"no space left while writing .*part-00000\.parquet; free some"):
            commit_rows(store, "a1", 5)
    assert list(store.staging_folder("recordings", "a1").rglob("*.parquet*")) == []
    assert store.find("recordings", "a1") is None
    assert commit_rows(store, "a1", 5).rows == 5


def test_an_unreadable_file_elsewhere_is_not_blamed_on_the_warehouse(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "warehouse"))
    with pytest.raises(PermissionError), store.stage("recordings", "a1"):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/record.dat")


def test_an_unwritable_warehouse_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match=r"cannot write .*file.*set warehouse\.uri elsewhere"):
        Store(str(tmp_path / "file" / "warehouse"))


def test_remote_warehouses_are_refused() -> None:
    with pytest.raises(WarehouseError, match="only local folders"):
        Store("s3://bucket/warehouse")


def test_folders_named_like_partitions_add_no_column(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "site=7"))
    assert store.read(commit_rows(store, "a1", 1), "recordings").column_names == ["n"]


def test_writers_replace_whole_files(tmp_path: Path) -> None:
    path = write_text(tmp_path / "note.txt", "one")
    write_text(path, "two")
    write_parquet(pa.table({"n": [1]}), tmp_path / "deep" / "part-00000.parquet")
    assert path.read_text() == "two"
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["deep", "note.txt", "part-00000.parquet"]


def test_digests_do_not_depend_on_key_order() -> None:
    assert digest({"a": 1, "b": [2.5, None]}) == digest({"b": [2.5, None], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
