"""Schemas of what the catalog adds to the tables at rest: about datasets, lineage, releases and claims."""

from __future__ import annotations

import pyarrow as pa

from warehouse.schema import CLAIM, TABLES, column, knowledge

DATASET_ID = column("dataset_id", pa.string(), "Committed dataset that the row belongs to", nullable=False)

LATEST_VIEWS = {f"latest_{table}": table for table in TABLES}
"""View of the newest dataset to the table that holds all of them."""


def datasets() -> pa.Schema:
    """A committed dataset."""
    return pa.schema(
        [
            column("dataset_id", pa.string(), "Digest of settings, inputs and code version", nullable=False),
            column("kind", pa.string(), "recordings, knowledge, model, cohort, evaluation, audit …", nullable=False),
            column(
                "rows", pa.int64(), "Rows of its main table, or files where it has no table", "count", nullable=False
            ),
            column("created_at", pa.timestamp("us"), "When it was committed, UTC", nullable=False),
            column("stage", pa.string(), "Stage that made it", nullable=False),
            column("code_version", pa.int32(), "Code version of that stage", nullable=False),
            column("simulated", pa.bool_(), "True when it descends from simulated recordings", nullable=False),
            column("bytes", pa.int64(), "Size of its files", "byte", nullable=False),
            column("path", pa.string(), "Its folder", nullable=False),
            column("settings", pa.string(), "Settings of the stage, as JSON", nullable=False),
            column("facts", pa.string(), "Small results, as JSON", nullable=False),
            column("libraries", pa.string(), "Library versions, as JSON", nullable=False),
        ]
    )


def inputs() -> pa.Schema:
    """What a committed dataset was made from; one row per input."""
    return pa.schema(
        [
            column("dataset_id", pa.string(), "Dataset that was made", nullable=False),
            column("kind", pa.string(), "Its kind", nullable=False),
            column(
                "input_id", pa.string(), "Dataset it was made from; the fingerprint of a real source", nullable=False
            ),
            column("input_kind", pa.string(), "Kind of that dataset", nullable=False),
            column("input_sha256", pa.string(), "SHA-256 of that dataset's manifest", nullable=False),
        ]
    )


def releases() -> pa.Schema:
    """A published release."""
    return pa.schema(
        [
            column("release_id", pa.string(), "Digest of release settings, inputs and code version", nullable=False),
            column("name", pa.string(), "Release name", nullable=False),
            column("version", pa.string(), "Version; never changed once published", nullable=False),
            column("current", pa.bool_(), "Whether the release's pointer names this version", nullable=False),
            column("rows", pa.int64(), "Synthetic ECGs", "count", nullable=False),
            column("created_at", pa.timestamp("us"), "When it was published, UTC", nullable=False),
            column("title", pa.string(), "Title of the dataset card", nullable=False),
            column("license", pa.string(), "Licence, as an SPDX identifier", nullable=False),
            column(
                "simulated_source", pa.bool_(), "True when the model learned from simulated recordings", nullable=False
            ),
            column("privacy_passed", pa.bool_(), "Whether the privacy audit passed", nullable=False),
            column("cohort_id", pa.string(), "Cohort that was released"),
            column("steward", pa.string(), "Who answers for it, as its settings name them; null for nobody"),
            column("withdrawn_at", pa.timestamp("us"), "When it was withdrawn, UTC; null for a release that stands"),
            column("withdrawal_reason", pa.string(), "Why it was withdrawn"),
            column("path", pa.string(), "Its folder", nullable=False),
        ]
    )


def claims() -> pa.Schema:
    """A machine-checkable claim of a knowledge-base entry, with its verdict."""
    entry = knowledge()
    about = [entry.field(name) for name in ("entry_id", "statement", "condition", "sex", "age_band")]
    return pa.schema([DATASET_ID, *about, *CLAIM.fields])


def with_dataset(table: str) -> pa.Schema:
    """A table at rest as the catalog shows it: with the dataset that each row belongs to."""
    return pa.schema([DATASET_ID, *TABLES[table]()])
