"""The digest of a dataset's content: the id of a source, by which a changed dataset is told from the same one.

A dataset may hold a million files, so the digest of each is kept with the size and the modification time that the file
had. What is kept is derived: without it, or where it is damaged, the files are hashed again.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import time
from collections.abc import Sequence
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
        columns = zip(*lasting, strict=True) if lasting else ((),) * len(_COLUMNS)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _COLUMNS, strict=True)]
        write_parquet(pa.Table.from_arrays(arrays, schema=_COLUMNS), kept_in)
    total = hashlib.sha256(f"{source.name}\n".encode())
    for file in found:
        total.update(f"{file.path}\0{file.sha256}\n".encode())
    return Content(total.hexdigest(), len(found), hashed)


def record_contents(store: Store, source: Source, records: Sequence[SourceRecord], read_how: str) -> dict[str, str]:
    """Digests of the files of records, as `content_of` left them in the warehouse.

    Args:
        read_how: what else shapes what is read of files; it is part of the digests.

    Returns:
        Record to digest. A record is left out if no file of it is known, or one may change unnoticed.
    """
    # A record's files are named like it, with any extension; where a source names none, the record is its file.
    stems = {one.record: [stem for _, stem in one.files] or [one.record] for one in records}
    found: dict[str, bytes] = dict.fromkeys((stem for several in stems.values() for stem in several), b"")
    untrusted = set()
    for batch in _kept_table(_kept_in(store, source)).to_batches(BATCH):
        for path, _, modified_ns, sha256 in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            stem = path if path in found else posixpath.splitext(path)[0]
            if stem in found:
                found[stem] = hashlib.sha256(found[stem] + f"{path}\0{sha256}\n".encode()).digest()
                if modified_ns == UNTRUSTED:
                    untrusted.add(stem)
    return {
        record: hashlib.sha256(read_how.encode() + b"".join(found[stem] for stem in several)).hexdigest()[:32]
        for record, several in stems.items()
        if any(found[stem] for stem in several) and untrusted.isdisjoint(several)
    }


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


def _kept_table(path: Path) -> pa.Table:
    """What is kept; nothing where it is missing or damaged."""
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException):
        return _COLUMNS.empty_table()
    return table if table.schema == _COLUMNS else _COLUMNS.empty_table()


def _kept(path: Path) -> dict[str, _FileDigest]:
    rows = zip(*(column.to_pylist() for column in _kept_table(path).columns), strict=True)
    return {row[0]: _FileDigest(*row) for row in rows}
