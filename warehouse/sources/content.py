"""The digest of a dataset's content: the id of a source, by which a changed dataset is told from the same one.

A dataset may hold a million files, so the digest of each is kept with the size and the modification time that the file
had. What is kept is derived: without it, or where it is damaged, the files are hashed again.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.sources.record import SourceRecord
from warehouse.sources.source import Source
from warehouse.storage.reference import digest
from warehouse.storage.store import Store
from warehouse.storage.whole_files import write_parquet

SETTLED_NS = 2_000_000_000
"""Age from which a modification time is trusted: file systems round it, to 2 s at worst, so that a file changed twice
within that time may keep it."""
UNTRUSTED = -1
BATCH = 256

_COLUMNS = pa.schema(
    [("path", pa.string()), ("bytes", pa.int64()), ("modified_ns", pa.int64()), ("sha256", pa.string())]
)


class _FileDigest(NamedTuple):
    path: str
    bytes: int
    modified_ns: int
    sha256: str

    def untrusted(self) -> _FileDigest:
        """What is kept of a file that may change unnoticed, or cannot be read: no time, which no file has."""
        return self._replace(modified_ns=UNTRUSTED)


@dataclass(frozen=True)
class Content:
    """What a dataset holds."""

    sha256: str
    """SHA-256 over the source's name, and the path and the SHA-256 of each of its files."""
    files: int
    hashed: int
    """Files that were read for it; the digests of the others were known."""


def content_of(store: Store, source: Source, rehash: bool = False) -> Content:
    """Digest a dataset's content. It depends neither on where the dataset lies nor on when its files were written.

    Args:
        store: the warehouse, which keeps the digests of files.
        rehash: read every file, whatever its size and modification time.

    Raises:
        SourceError: a table of the dataset is missing or malformed.
    """
    kept_in = _kept_in(store, source)
    kept = {} if rehash else _kept(kept_in)
    latest_ns = time.time_ns() - SETTLED_NS
    names = sorted(source.files())
    # In batches: handing a thread one file costs more than hashing it.
    batches = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) * 2)) as pool:
        digested = pool.map(lambda batch: [_digest(source.folder, name, kept.get(name)) for name in batch], batches)
        found = [file for batch in digested for file in batch]
    hashed = sum(file is not kept.get(file.path) for file in found)
    if hashed or len(kept) != len(found):
        lasting = [file if file.bytes >= 0 and file.modified_ns < latest_ns else file.untrusted() for file in found]
        write_parquet(pa.Table.from_pylist([file._asdict() for file in lasting], schema=_COLUMNS), kept_in)
    total = hashlib.sha256(f"{source.name}\n".encode())
    for file in found:
        total.update(f"{file.path}\0{file.sha256}\n".encode())
    return Content(total.hexdigest(), len(found), hashed)


@dataclass(frozen=True)
class RecordContents:
    """Digests of the files of records, by path with and without extension; empty of files that are not trusted."""

    by_stem: dict[str, bytes]

    def of(self, record: SourceRecord) -> str:
        """A digest of a record's files; empty where one is not trusted, or there is none."""
        stems = [stem for _, stem in record.files] or [record.record]
        found = [one for stem in stems if (one := self.by_stem.get(stem)) is not None]
        return hashlib.sha256(b"".join(found)).hexdigest()[:32] if all(found) and found else ""


def record_contents(store: Store, source: Source, read_how: str) -> RecordContents:
    """Digests of the files of records, as `content_of` kept them.

    Args:
        read_how: what else shapes what is read of files; it is part of the digests.
    """
    kept = _kept(_kept_in(store, source))
    found: dict[str, bytes] = {}
    for path, file in kept.items():
        for stem in {path, posixpath.splitext(path)[0]}:
            before = found.get(stem, read_how.encode())
            trusted = before and file.modified_ns != UNTRUSTED
            found[stem] = hashlib.sha256(before + f"{path}\0{file.sha256}\n".encode()).digest() if trusted else b""
    return RecordContents(found)


def _digest(folder: Path, name: str, kept: _FileDigest | None) -> _FileDigest:
    path = folder / name
    try:
        status = path.stat()
        # A file that may no longer be read is not what it was, though its size and time are.
        if kept and kept[1:3] == (status.st_size, status.st_mtime_ns) and os.access(path, os.R_OK):
            return kept
        with path.open("rb", buffering=0) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        # Its record is quarantined; the digest must change when it can be read.
        return _FileDigest(name, -1, 0, f"unread {error.errno}")
    return _FileDigest(name, status.st_size, status.st_mtime_ns, sha256)


def _kept_in(store: Store, source: Source) -> Path:
    return store.root / "_cache" / "source-files" / f"{digest(source.name, str(source.folder))}.parquet"


def _kept(path: Path) -> dict[str, _FileDigest]:
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException):
        return {}
    if table.schema != _COLUMNS:
        return {}
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return {row[0]: _FileDigest(*row) for row in rows}
