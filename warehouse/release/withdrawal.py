"""Withdrawing a release version: its data are removed, its manifest stays with the reason.

Three steps, each atomic or repeatable: `current` moves to the newest version that is not withdrawn (or away, without
one); WITHDRAWN.json appears, from which moment the version is withdrawn; the data are removed, all ECGs at once. A kill
in between leaves a whole release or a withdrawn one, and `current` never names a withdrawn one. The same command again
finishes.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from warehouse.errors import ReleaseError
from warehouse.release.leaks import Forbidden, forbidden_of, text_leaks
from warehouse.release.releases import (
    CURRENT,
    move_current_away_from,
    read_release_manifest,
    release_folder,
    versions,
)
from warehouse.release.tombstone import WITHDRAWN, Tombstone, read_tombstone
from warehouse.storage.manifest import MANIFEST
from warehouse.storage.store import Store
from warehouse.storage.whole_files import sha256_of, sync_folder, write_text, writing

KEPT = (MANIFEST, WITHDRAWN)


def withdraw(store: Store, name: str, version: str, reason: str) -> Tombstone:
    """Withdraw a release version, or finish its withdrawal.

    Args:
        name: release name.
        version: v1, v2, ….
        reason: why, for those who used it; stays as it is if the version is withdrawn already.

    Returns:
        What stays of it.

    Raises:
        ReleaseError: there is no such version, the reason is empty or gives someone away, or the manifest is damaged.
    """
    if not reason.strip():
        raise ReleaseError("a release is not withdrawn without a reason; give it with --reason")
    with store.lock(f"release-{name}"):
        known = versions(store, name)
        if version not in {f"v{number}" for number in known}:
            there = ", ".join(f"v{number}" for number in known) or "none"
            raise ReleaseError(f"there is no release {name} {version}; versions of {name}: {there}")
        folder = release_folder(store, name) / version
        _require_publishable(store, folder, reason)
        move_current_away_from(store, name, version)
        tombstone = read_tombstone(folder) or _bury(folder, reason.strip())
        _remove_data(store, folder)
    return tombstone


def _require_publishable(store: Store, folder: Path, reason: str) -> None:
    """The reason is read by everyone: it must not name the patient or recording that it is about."""
    lineage = read_release_manifest(folder).lineage
    recordings = next((store.find("recordings", step.id) for step in lineage if step.kind == "recordings"), None)
    forbidden = forbidden_of(store, recordings) if recordings else Forbidden()
    if leaks := list(text_leaks(reason, "the reason", forbidden)):
        raise ReleaseError(f"nothing was withdrawn: {'; '.join(map(str, leaks))}; it is published, so say it without")


def _bury(folder: Path, reason: str) -> Tombstone:
    manifest = read_release_manifest(folder)
    tombstone = Tombstone(
        name=manifest.name,
        version=manifest.version,
        id=manifest.id,
        reason=reason,
        withdrawn_at=datetime.now(UTC),
        manifest_sha256=sha256_of(folder / MANIFEST),
    )
    write_text(folder / WITHDRAWN, tombstone.model_dump_json(indent=2) + "\n")
    sync_folder(folder)
    return tombstone


def _remove_data(store: Store, folder: Path) -> None:
    """Remove everything but the manifest and the tombstone; the ECGs, in a folder of their own, leave in one step."""
    removed = store.root / "_staging" / f"withdrawn-{folder.parent.name}-{folder.name}"
    with writing(folder):
        shutil.rmtree(removed, ignore_errors=True)
        removed.mkdir(parents=True)
        for path in sorted(folder.iterdir(), key=lambda path: (path.is_file(), path.name)):
            if path.name not in KEPT:
                path.rename(removed / path.name)
        sync_folder(folder)
        shutil.rmtree(removed)


def current_versions(store: Store) -> dict[str, Path]:
    """Release name to the folder that `current` names, for all releases that have one."""
    links = sorted(store.root.glob(f"releases/[!._]*/{CURRENT}"))
    return {link.parent.name: link.resolve() for link in links}
