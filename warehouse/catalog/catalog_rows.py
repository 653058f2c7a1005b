"""What the catalog says about the warehouse itself: its datasets, what each was made from, and its releases."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow as pa

from warehouse.catalog.catalog_schema import datasets, inputs, releases
from warehouse.errors import ReleaseError
from warehouse.release.content import ReleaseManifest
from warehouse.release.releases import CURRENT, read_release_manifest, release_folder, versions
from warehouse.release.tombstone import Tombstone, read_tombstone
from warehouse.storage.manifest import Manifest
from warehouse.storage.store import Store

RELEASED_KINDS = ("cohort", "evaluation", "audit", "model")
"""Kinds of dataset that a release is made from directly."""


def dataset_rows(store: Store, manifests: list[Manifest]) -> pa.Table:
    """The `datasets` table, oldest first."""
    simulated: dict[str, bool] = {}
    rows = []
    # An input is always committed before what is made from it, so one pass in order of time is enough.
    for manifest in manifests:
        facts = manifest.facts
        from_inputs = any(simulated.get(one.id, False) for one in manifest.lineage.inputs)
        simulated[manifest.id] = manifest.kind == "source" or bool(facts.get("simulated")) or from_inputs
        rows.append(
            {
                "dataset_id": manifest.id,
                "kind": manifest.kind,
                "rows": manifest.rows,
                "created_at": utc(manifest.created_at),
                "stage": manifest.lineage.stage,
                "code_version": manifest.lineage.code_version,
                "simulated": simulated[manifest.id],
                "bytes": sum(file.bytes for file in manifest.files),
                "path": str(store.folder(manifest.kind, manifest.id)),
                "settings": json.dumps(manifest.lineage.settings),
                "facts": json.dumps(facts),
                "libraries": json.dumps(manifest.lineage.libraries),
            }
        )
    return pa.Table.from_pylist(rows, schema=datasets())


def input_rows(store: Store, manifests: list[Manifest]) -> pa.Table:
    """The `inputs` table, of committed datasets and of releases."""
    rows = [
        {
            "dataset_id": manifest.id,
            "kind": manifest.kind,
            "input_id": one.id,
            "input_kind": one.kind,
            "input_sha256": one.sha256,
        }
        for manifest in manifests
        for one in manifest.lineage.inputs
    ]
    rows += [
        {
            "dataset_id": release.id,
            "kind": "release",
            "input_id": step.id,
            "input_kind": step.kind,
            "input_sha256": step.sha256,
        }
        for release, _ in published(store)
        for step in release.lineage
        if step.kind in RELEASED_KINDS
    ]
    return pa.Table.from_pylist(rows, schema=inputs())


def release_rows(store: Store) -> pa.Table:
    """The `releases` table, by name and version."""
    rows = []
    for release, tombstone in published(store):
        folder = release_folder(store, release.name)
        current = folder / CURRENT
        rows.append(
            {
                "release_id": release.id,
                "name": release.name,
                "version": release.version,
                "current": current.is_symlink() and current.readlink().name == release.version,
                "rows": release.rows,
                "created_at": utc(release.created_at),
                "title": release.title,
                "license": release.license,
                "simulated_source": release.simulated_source,
                "privacy_passed": release.privacy_passed,
                "cohort_id": next((step.id for step in release.lineage if step.kind == "cohort"), None),
                "steward": release.steward or None,
                "withdrawn_at": utc(tombstone.withdrawn_at) if tombstone else None,
                "withdrawal_reason": tombstone.reason if tombstone else None,
                "path": str(folder / release.version),
            }
        )
    return pa.Table.from_pylist(rows, schema=releases())


def published(store: Store) -> list[tuple[ReleaseManifest, Tombstone | None]]:
    """Manifests of all releases, by name and version, with the record of those that are withdrawn.

    One that is damaged is left out, since `verify` reports it.
    """
    found = []
    for folder in sorted(store.root.glob("releases/[!._]*")):
        for number in versions(store, folder.name):
            try:
                version = folder / f"v{number}"
                found.append((read_release_manifest(version), read_tombstone(version)))
            except ReleaseError:
                continue
    return found


def utc(moment: datetime) -> datetime:
    """A moment as DuckDB's TIMESTAMP: UTC, without a zone (zones need DuckDB's ICU tables)."""
    return moment.astimezone(UTC).replace(tzinfo=None)
