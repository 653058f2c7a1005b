"""Ingestion: recordings in, one checked and measured table out, split by patient; the unusable are quarantined."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import pyarrow as pa
from prefect import task

from tasks.ingestion.recording_parts import Assignment, LogInterval, Window, read_notes, write_parts
from tasks.settings import ComputeSettings, IngestionSettings, SourceSettings
from tasks.stage import RUN_BY_PREFECT, Result, Stage, commit_once, run_logger
from warehouse.errors import SourceError
from warehouse.schema import quarantine
from warehouse.sources.content import content_of
from warehouse.sources.record import RefusedRecord, SourceRecord
from warehouse.sources.registry import open_source
from warehouse.sources.source import Source
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.pseudonyms import Pseudonyms, pseudonyms_of
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

INGESTION = Stage("ingest recordings", makes="recordings", code_version=5)
SPLITS = ("train", "validation", "test")


@task(name="reference source", **RUN_BY_PREFECT)
def reference_source(settings: SourceSettings, uri: str) -> Reference:
    """Name a dataset on disk by a digest of its content.

    Args:
        settings: which dataset, and where.
        uri: the warehouse, which keeps the digests of files that did not change.

    Raises:
        SourceError: the dataset's folder or tables are missing or malformed.
    """
    if settings.path is None:
        raise SourceError(f"source.path is not set; give the {settings.kind} folder with --data PATH")
    source = open_source(settings.kind, settings.path)
    content = content_of(Store(uri), source, settings.rehash)
    reference = Reference(
        kind="source",
        id=content.sha256[:16],
        uri=str(source.folder),
        rows=len(source.records()),
        sha256=content.sha256,
    )
    run_logger().info(
        "reference source: %s in %s; %d of its %d files were read to digest them",
        reference,
        source.folder,
        content.hashed,
        content.files,
    )
    return reference


@task(name="ingest recordings", **RUN_BY_PREFECT)
def ingest_recordings(
    settings: IngestionSettings, kind: str, source: Reference, compute: ComputeSettings, uri: str
) -> Reference:
    """Read, check, measure, split and store the recordings of a source.

    Args:
        settings: sampling rate, window, folds.
        kind: what reads the source, a key of `warehouse.sources.registry.SOURCES`; the source's id depends on it.
        source: what `reference_source` or `simulate_dataset` returned.
        compute: how Ray is used.
        uri: the warehouse.

    Returns:
        A reference of kind "recordings", with the tables `recordings` and `quarantine`. Facts of its manifest:
        `statements` (code to description, superclass and kind), `splits` (rows per split), `quarantined` (records per
        reason), `source`, `simulated`, `samples` and `sampling_rate_hz`.

    Raises:
        SourceError: the dataset cannot be read, or no recording is left after quarantine.
        WarehouseError: the warehouse cannot be written.
    """
    store = Store(uri)
    return commit_once(
        INGESTION, settings, [source], store, lambda staging: _build(settings, kind, source, compute, store, staging)
    )


def _build(
    settings: IngestionSettings,
    kind: str,
    reference: Reference,
    compute: ComputeSettings,
    store: Store,
    staging: Staging,
) -> Result:
    from tasks.cluster import connect

    # A simulated dataset lies in the warehouse, which may have moved; a real one is where the reference says.
    folder = str(store.path(reference)) if store.find("source", reference.id) else reference.uri
    source = open_source(kind, folder)
    first = settings.max_recordings
    window = Window(settings.sampling_rate_hz, settings.duration_s)
    assigned, refused = assign(source.records(first), settings, source.name, pseudonyms_of(store))
    size = settings.recordings_per_part
    parts = [assigned[start : start + size] for start in range(0, len(assigned), size)]
    # The quarantine is written last: where it exists, an earlier run was killed between writing and committing.
    if not staging.has_part("quarantine", 0):
        connect(compute)
        log_interval = LogInterval(len(parts))
        for done in write_parts(source, staging, window, parts, settings.workers):
            if log_interval.due(done):
                run_logger().info(
                    "ingest recordings: %d of %d recordings", min(done * size, len(assigned)), len(assigned)
                )
    splits, unreadable = read_notes(staging, len(parts))
    refused = [*source.refused(first), *refused, *unreadable]
    reasons = Counter(one.reason for one in refused)
    staging.write_table("quarantine", 0, _quarantine_table(source, refused))
    _report(reference, splits, reasons)
    return Result(
        rows=splits.total(),
        facts=RecordingsFacts(
            statements=source.statements(),
            splits={split: splits[split] for split in SPLITS},
            quarantined=dict(reasons.most_common()),
            source=source.name,
            simulated=source.simulated,
            samples=window.samples,
            sampling_rate_hz=window.rate_hz,
        ),
    )


def assign(
    records: list[SourceRecord], settings: IngestionSettings, source: str, pseudonyms: Pseudonyms
) -> tuple[list[Assignment], list[RefusedRecord]]:
    """Give each record its split and pseudonyms; where the dataset has no folds, each patient's is drawn by the key.

    A patient whose recordings lie in folds of several splits would leak from training into testing, so all of that
    patient's recordings are refused.
    """
    records = [
        one if one.strat_fold is not None else replace(one, strat_fold=pseudonyms.fold(source, one.patient))
        for one in records
    ]
    split_of_fold: dict[int | None, str] = dict.fromkeys(settings.validation_folds, "validation")
    split_of_fold |= dict.fromkeys(settings.test_folds, "test")
    splits_of_patient: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        splits_of_patient[record.patient].add(split_of_fold.get(record.strat_fold, "train"))
    assigned: list[Assignment] = []
    refused: list[RefusedRecord] = []
    for record in records:
        splits = sorted(splits_of_patient[record.patient])
        if len(splits) > 1:
            detail = f"the patient's recordings lie in folds of {' and '.join(splits)}"
            path = record.path(settings.sampling_rate_hz)
            refused.append(RefusedRecord(path, "patient_in_several_splits", detail))
            continue
        assigned.append(
            Assignment(
                record=record,
                recording_id=pseudonyms.recording(source, record.record),
                patient_key=pseudonyms.patient(source, record.patient),
                split=splits[0],
            )
        )
    return assigned, refused


def _quarantine_table(source: Source, refused: list[RefusedRecord]) -> pa.Table:
    rows = [
        {"source": source.name, "record": one.record, "reason": one.reason, "detail": one.detail} for one in refused
    ]
    return pa.Table.from_pylist(rows, schema=quarantine())


def _report(source: Reference, splits: Counter[str], reasons: Counter[str]) -> None:
    """Say what was kept and refused.

    Raises:
        SourceError: nothing was kept.
    """
    refused = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()) or "none"
    if not splits.total():
        raise SourceError(f"no recordings left in {source.uri} after quarantine; refused: {refused}")
    kept = ", ".join(f"{split} {splits[split]}" for split in SPLITS)
    run_logger().info("ingest recordings: kept %d (%s); refused: %s", splits.total(), kept, refused)
