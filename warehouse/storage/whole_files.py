"""Files that appear whole or not at all, and what to do where the operating system refuses to write one."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from warehouse.errors import WarehouseError
from warehouse.storage.parquet_encoding import FAST_LEVEL, encode_parquet


def write_parquet(table: pa.Table, path: Path, level: int = FAST_LEVEL) -> Path:
    """Write a Parquet file that appears whole or not at all, and is on disk when this returns."""
    with whole_file(path) as file:
        encode_parquet(table, file, level)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text file (UTF-8) that appears whole or not at all, and is on disk when this returns."""
    with whole_file(path) as file:
        file.write(text.encode())
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write; it gets its name, in place of an earlier one, when all of it is on disk."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into one line that says what to do."""
    try:
        yield
    except OSError as error:
        if said := explained(error, path):
            raise said from error
        raise


def explained(error: OSError, path: Path) -> WarehouseError | None:
    """What to do about a failed write; None where there is nothing better to say than the error itself."""
    place = error.filename or path
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WarehouseError(
            f"no space left while writing {place}; free some, then run the same command again: it continues from there"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return WarehouseError(
            f"cannot write {place} ({error.strerror}); make it writable or set warehouse.uri elsewhere"
        )
    return None


def sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
