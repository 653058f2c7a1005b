"""Releases: immutable, versioned folders that anyone may have.

A release is built in `_staging/release-<id>/`, sealed with checksums, verified there, made read-only and renamed to
`releases/<name>/<version>/`. Only then does `releases/<name>/current`, a relative link, move. A kill at any point
leaves either nothing visible, or a whole release whose link the next run moves.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from warehouse.errors import ReleaseError
from warehouse.release.content import ReleaseManifest
from warehouse.release.tombstone import read_tombstone
from warehouse.storage.manifest import MANIFEST
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.whole_files import sha256_of, sync_folder, write_text, writing

CHECKSUMS = "SHA256SUMS"
CURRENT = "current"
VERSION = re.compile(r"v([1-9]\d*)")


def publish(
    store: Store,
    name: str,
    identifier: str,
    write: Callable[[Path, str], None],
    verify: Callable[[Path], None],
    waiting: Callable[[], None] | None = None,
) -> tuple[Reference, bool]:
    """Make a release version, once per identifier.

    Args:
        name: release name, a folder under `releases/`.
        identifier: digest of what the release is made from.
        write: writes every file but SHA256SUMS, MANIFEST.json last, into an empty folder; gets it and the version.
        verify: raises ReleaseError if the sealed folder is not fit to publish.
        waiting: called when another run is publishing under the same name.

    Returns:
        The release, and whether it was made now (False: it had been published before).

    Raises:
        ReleaseError: what is made from the same was withdrawn; or whatever `verify` raises.
    """
    with store.lock(f"release-{name}", waiting):
        if found := find_release(store, name, identifier):
            _refuse_withdrawn(Path(found.uri))
            _move_current(store, name, Path(found.uri).name, only_forward=True)
            return found, False
        with writing(store.root):
            version = f"v{max(versions(store, name), default=0) + 1}"
            staging = store.staging_folder("release", identifier)
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            write(staging, version)
            seal(staging)
            verify(staging)
            target = release_folder(store, name) / version
            target.parent.mkdir(parents=True, exist_ok=True)
            staging.rename(target)
            sync_folder(target.parent)
        _move_current(store, name, version, only_forward=False)
        return reference_to(target), True


def release_folder(store: Store, name: str) -> Path:
    """The folder that holds all versions of a release."""
    return store.root / "releases" / name


def versions(store: Store, name: str) -> list[int]:
    """Version numbers of a release, ascending."""
    folder = release_folder(store, name)
    found = [VERSION.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(match.group(1)) for match in found if match)


def find_release(store: Store, name: str, identifier: str) -> Reference | None:
    """The release that was made from the same settings and inputs, if there is one."""
    for number in versions(store, name):
        folder = release_folder(store, name) / f"v{number}"
        if (folder / MANIFEST).is_file() and read_release_manifest(folder).id == identifier:
            return reference_to(folder)
    return None


def reference_to(folder: Path) -> Reference:
    """The reference of a release folder."""
    manifest = read_release_manifest(folder)
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    return Reference(kind="release", id=manifest.id, uri=str(folder), rows=manifest.rows, sha256=digest)


def read_release_manifest(folder: Path) -> ReleaseManifest:
    """Read the manifest of a release.

    Raises:
        ReleaseError: it is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        return ReleaseManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ReleaseError(f"{folder} is not a release: it has no {MANIFEST}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ReleaseError(f"{path} is damaged: {place}: {first['msg']}") from None


def seal(folder: Path) -> None:
    """Write SHA256SUMS (for `sha256sum -c`) from what the manifest states, and make every file read-only and durable.

    No file is read again for it: whether the files are what the manifest says is for the verification to tell.
    """
    sums = {file.path: file.sha256 for file in read_release_manifest(folder).files}
    sums[MANIFEST] = sha256_of(folder / MANIFEST)
    write_text(folder / CHECKSUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.chmod(0o444)
    for inner in {path.parent for path in files}:
        sync_folder(inner)


def _refuse_withdrawn(folder: Path) -> None:
    if tombstone := read_tombstone(folder):
        raise ReleaseError(
            f"release refused, nothing was published: {tombstone.name} {tombstone.version} was made from the same "
            f"settings and inputs and was withdrawn ({tombstone.reason}); change the model, the cohort or "
            "the release's settings"
        )


def move_current_away_from(store: Store, name: str, version: str) -> None:
    """Point `current`, if it names a version, at the newest other one that is not withdrawn; without one, remove it."""
    folder = release_folder(store, name)
    link = folder / CURRENT
    if not link.is_symlink() or link.readlink().name != version:
        return
    others = [f"v{number}" for number in reversed(versions(store, name)) if f"v{number}" != version]
    left = [other for other in others if (folder / other / MANIFEST).is_file() and not read_tombstone(folder / other)]
    if left:
        _move_current(store, name, left[0], only_forward=False)
        return
    with writing(folder):
        link.unlink()
        sync_folder(folder)


def _move_current(store: Store, name: str, version: str, only_forward: bool) -> None:
    """Point `current` at a version in one step; with `only_forward`, never back to an older one."""
    folder = release_folder(store, name)
    link = folder / CURRENT
    target = VERSION.fullmatch(link.readlink().name) if link.is_symlink() else None
    if only_forward and target and int(target.group(1)) >= int(version.removeprefix("v")):
        return
    with writing(folder):
        for leftover in folder.glob(f".{CURRENT}-*"):
            leftover.unlink()
        partial = folder / f".{CURRENT}-{uuid.uuid4().hex[:8]}"
        partial.symlink_to(version)
        partial.replace(link)
        sync_folder(folder)
