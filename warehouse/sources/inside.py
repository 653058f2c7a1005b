"""Paths that a table names, which must stay inside the dataset's folder."""

from __future__ import annotations

from pathlib import PurePosixPath

from warehouse.sources.record import BadRecord


def inside(name: str) -> str:
    """A record path that stays inside the dataset's folder.

    Raises:
        BadRecord: it is empty, absolute, or leaves the folder.
    """
    path = PurePosixPath(name)
    if not path.name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or "://" in name:
        raise BadRecord("bad_path", f"file name {name[:200]!r} leaves the dataset's folder")
    return str(path)
