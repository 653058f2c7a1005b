"""Datasets that are staged, then committed: a reader sees all of a dataset or nothing.

A stage writes into `_staging/<kind>-<id>/`, which survives a kill so that the stage can continue there. `commit` writes
the manifest, flushes it to disk and renames the folder to `<kind>/<id>/`: that rename is the one atomic step that
makes the dataset visible. A lock per dataset keeps two runs from building the same one; the second waits, then finds
it. Files directly under folders whose name starts with `_` (`_staging`, `_secrets`) are never part of a dataset.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from pydantic import ValidationError

from warehouse.errors import WarehouseError
from warehouse.storage.facts import Facts, as_json
from warehouse.storage.manifest import MANIFEST, FileEntry, Lineage, Manifest, read_manifest, table_columns
from warehouse.storage.reference import Kind, Reference
from warehouse.storage.whole_files import explained, sha256_of, sync_folder, write_parquet, write_text, writing

F = TypeVar("F", bound=Facts)


class Staging:
    """A dataset being built. Files written before a kill are still here when the stage runs again."""

    def __init__(self, store: Store, kind: Kind, identifier: str) -> None:
        self.store, self.kind, self.id = store, kind, identifier
        self.path = store.staging_folder(kind, identifier)
        self.resumed = self.path.exists()
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def write_table(self, name: str, part: int, table: pa.Table, note: Any = None) -> Path:
        """Write one part of a table and return its path; the part appears whole or not at all.

        Args:
            note: JSON value that says of this part what the stage needs to know at its end, so that the part need not
                be read back. It is on disk before the part, so that a part that exists has its note.
        """
        if note is not None:
            write_text(self._note(name, part), json.dumps(note))
        return write_parquet(table, self.part(name, part))

    def has_part(self, name: str, part: int, noted: bool = False) -> bool:
        """Whether this part is written, perhaps by an earlier, interrupted run; with `noted`, its note as well."""
        return self.part(name, part).exists() and (not noted or self._note(name, part).exists())

    def note(self, name: str, part: int) -> Any:
        """The note of a part that `write_table` wrote with one."""
        return json.loads(self._note(name, part).read_bytes())

    def part(self, name: str, part: int) -> Path:
        """Where a part is, or will be."""
        return self.path / name / f"part-{part:05d}.parquet"

    def _note(self, name: str, part: int) -> Path:
        return self.path / "_notes" / name / f"part-{part:05d}.json"

    def discard_if_empty(self) -> None:
        """Remove the folder if nothing was written into it: another run made the dataset while this one waited."""
        with suppress(OSError):
            self.path.rmdir()

    def commit(self, rows: int, lineage: Lineage, facts: Facts | None = None) -> Reference:
        """Describe what is staged and make it visible. Files and folders that start with a dot or `_` are left out.

        Raises:
            ValueError: the facts are of another kind.
        """
        if facts is not None and facts.kind != self.kind:
            raise ValueError(f"facts of a {facts.kind} cannot describe a {self.kind}")
        with writing(self.path):
            for leftover in [p for p in self.path.rglob("*") if p.name.startswith((".", "_"))]:
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink(missing_ok=True)
            files = [
                FileEntry(path=p.relative_to(self.path).as_posix(), bytes=p.stat().st_size, sha256=sha256_of(p))
                for p in sorted(self.path.rglob("*"))
                if p.is_file() and p != self.path / MANIFEST
            ]
            manifest = Manifest(
                kind=self.kind,
                id=self.id,
                rows=rows,
                tables=table_columns(self.path),
                files=files,
                lineage=lineage,
                facts=as_json(facts),
                created_at=datetime.now(UTC),
            )
            write_text(self.path / MANIFEST, manifest.model_dump_json(indent=2))
            target = self.store.folder(self.kind, self.id)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.path.rename(target)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                raise WarehouseError(
                    f"{target} is in the way, and has no {MANIFEST}; remove it and run again"
                ) from None
            sync_folder(target.parent)
        committed = self.store.find(self.kind, self.id)
        if committed is None:
            raise WarehouseError(f"{target} was committed but cannot be read back; check the disk")
        return committed


class Store:
    """The warehouse folder: committed datasets, the staging area and the catalog's place.

    Raises:
        WarehouseError: the URI is not a local folder, or the folder cannot be written.
    """

    def __init__(self, uri: str) -> None:
        if "://" in uri and not uri.startswith("file://"):
            raise WarehouseError(f"warehouse.uri {uri!r}: only local folders are supported so far; give a path")
        self.root = Path(uri.removeprefix("file://")).expanduser().resolve()
        with writing(self.root):
            (self.root / "_staging").mkdir(parents=True, exist_ok=True)
            if not os.access(self.root / "_staging", os.W_OK):
                raise PermissionError(errno.EACCES, "not writable", str(self.root))

    @property
    def catalog(self) -> Path:
        """The DuckDB file that people query."""
        return self.root / "catalog.duckdb"

    def folder(self, kind: Kind, identifier: str) -> Path:
        """Where a committed dataset lives."""
        return self.root / kind / identifier

    def staging_folder(self, kind: Kind, identifier: str) -> Path:
        """Where a dataset is built."""
        return self.root / "_staging" / f"{kind}-{identifier}"

    def find(self, kind: Kind, identifier: str) -> Reference | None:
        """The reference of a committed dataset, or None if it was not committed."""
        path = self.folder(kind, identifier) / MANIFEST
        if not path.exists():
            return None
        manifest = read_manifest(path)
        return Reference(
            kind=kind,
            id=identifier,
            uri=str(path.parent),
            rows=manifest.rows,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )

    def manifest(self, reference: Reference) -> Manifest:
        """The manifest behind a reference.

        Raises:
            WarehouseError: the dataset is gone, or is not the one the reference was made for.
        """
        path = self.folder(reference.kind, reference.id) / MANIFEST
        if not path.exists():
            raise WarehouseError(f"{reference.kind} {reference.id} is not in {self.root}; run the stage that makes it")
        if hashlib.sha256(path.read_bytes()).hexdigest() != reference.sha256:
            raise WarehouseError(f"{path} changed since {reference.kind} {reference.id} was referenced; rebuild it")
        return read_manifest(path)

    def facts(self, reference: Reference, model: type[F]) -> F:
        """The facts of a dataset, read through the model of its kind.

        Raises:
            WarehouseError: the dataset is gone or changed, or its facts are those of another version of the code.
        """
        try:
            return model.model_validate(self.manifest(reference).facts)
        except ValidationError as error:
            named = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()[:5])
            raise WarehouseError(
                f"the facts of {reference.kind} {reference.id} do not fit this version ({named}); remove "
                f"{self.folder(reference.kind, reference.id)} and run again"
            ) from None

    def path(self, reference: Reference) -> Path:
        """The folder of a committed dataset, after checking that it is the referenced one."""
        self.manifest(reference)
        return self.folder(reference.kind, reference.id)

    def read(self, reference: Reference, table: str, columns: list[str] | None = None) -> pa.Table:
        """A table of a committed dataset, parts in order."""
        folder = self.folder(reference.kind, reference.id)
        parts = [folder / one.path for one in self.manifest(reference).parts(table)]
        if not parts:
            raise WarehouseError(f"{reference.kind} {reference.id} has no table {table!r}")
        # Without partitioning=None, a folder named key=value above the warehouse would become a column.
        return pa.concat_tables([pq.read_table(part, columns=columns, partitioning=None) for part in parts])

    def committed(self, kind: Kind | None = None) -> list[Manifest]:
        """Manifests of all committed datasets, oldest first."""
        paths = self.root.glob(f"{kind or '[!_]*'}/*/{MANIFEST}")
        return sorted(
            (read_manifest(p) for p in paths if p.parent.parent.name != "releases"), key=lambda m: m.created_at
        )

    @contextmanager
    def stage(self, kind: Kind, identifier: str, waiting: Callable[[], None] | None = None) -> Iterator[Staging]:
        """Build a dataset under its lock; what is not committed stays in staging for the next try."""
        with self.lock(f"{kind}-{identifier}", waiting):
            try:
                yield Staging(self, kind, identifier)
            except OSError as error:
                # Files outside the warehouse, such as a source that cannot be read, are not about writing.
                inside = error.filename is None or Path(str(error.filename)).is_relative_to(self.root)
                if inside and (said := explained(error, self.root)):
                    raise said from error
                raise

    @contextmanager
    def lock(self, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold a lock of the warehouse, which one process at a time can.

        Args:
            waiting: called once if another process holds it.
        """
        lock = FileLock(self.root / "_staging" / f"{name}.lock")
        with writing(self.root):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if waiting:
                    waiting()
                lock.acquire()
        try:
            yield
        finally:
            lock.release()
