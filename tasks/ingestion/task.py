"""Ingestion: recordings in, one checked and measured table out, split by patient; the unusable are quarantined."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import task

from tasks.ingestion.recording_parts import Assignment, Progress, Window, read_refused, write_parts
from tasks.settings import ComputeSettings, IngestionSettings, SourceSettings
from tasks.stage import RUN_BY_PREFECT, Result, Stage, commit_once, run_logger
from warehouse.errors import SourceError
from warehouse.schema import quarantine
from warehouse.sources import RefusedRecord, Source, SourceRecord, open_source
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.pseudonyms import Pseudonyms, pseudonyms_of
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

INGESTION = Stage("ingest recordings", makes="recordings", code_version=2)
SPLITS = ("train", "validation", "test")


@task(name="reference source", **RUN_BY_PREFECT)
def reference_source(settings: SourceSettings) -> Reference:
    """Name a dataset on disk by a digest of its content.

    Args:
        settings: which dataset, and where.

    Raises:
        SourceError: the dataset's folder or tables are missing or malformed.
    """
    if settings.path is None:
        raise SourceError(f"source.path is not set; give the {settings.kind} folder with --data PATH")
    source = open_source(settings.path)
    records = source.records()
    fingerprint = source.fingerprint()
    folder = Path(settings.path).expanduser().resolve()
    reference = Reference(kind="source", id=fingerprint[:16], uri=str(folder), rows=len(records), sha256=fingerprint)
    run_logger().info("reference source: %s in %s", reference, folder)
    return reference


@task(name="ingest recordings", **RUN_BY_PREFECT)
def ingest_recordings(settings: IngestionSettings, source: Reference, compute: ComputeSettings, uri: str) -> Reference:
    """Read, check, measure, split and store the recordings of a source.

    Args:
        settings: sampling rate, window, folds.
        source: what `reference_source` returned.
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
        INGESTION, settings, [source], store, lambda staging: _build(settings, source, compute, store, staging)
    )


def _build(
    settings: IngestionSettings, reference: Reference, compute: ComputeSettings, store: Store, staging: Staging
) -> Result:
    from tasks.cluster import connect

    # A simulated dataset lies in the warehouse, which may have moved; a real one is where the reference says.
    folder = str(store.path(reference)) if store.find("source", reference.id) else reference.uri
    source = open_source(folder, settings.max_recordings)
    window = Window(settings.sampling_rate_hz, settings.duration_s)
    assigned, refused = assign(source.records(), settings, source.name, pseudonyms_of(store))
    refused = [*source.refused(), *refused]
    size = settings.recordings_per_part
    parts = [assigned[start : start + size] for start in range(0, len(assigned), size)]
    # The quarantine is written last: where it exists, an earlier run was killed between writing and committing.
    if not staging.has_part("quarantine", 0):
        connect(compute)
        progress = Progress(len(parts))
        for done in write_parts(folder, staging, window, parts, settings.workers):
            if progress.due(done):
                run_logger().info(
                    "ingest recordings: %d of %d recordings", min(done * size, len(assigned)), len(assigned)
                )
        refused += read_refused(staging, len(parts))
        staging.write_table("quarantine", 0, _quarantine_table(source, refused))
    splits = _counts(staging, "recordings", "split")
    reasons = _counts(staging, "quarantine", "reason")
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
    """Give each record its split and pseudonyms.

    A patient whose recordings lie in folds of several splits would leak from training into testing, so all of that
    patient's recordings are refused.
    """
    split_of_fold = dict.fromkeys(settings.validation_folds, "validation") | dict.fromkeys(settings.test_folds, "test")
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


def _counts(staging: Staging, table: str, column: str) -> Counter[str]:
    """How often each value of a column occurs in a staged table."""
    counts: Counter[str] = Counter()
    for part in sorted((staging.path / table).glob("part-*.parquet")):
        counts.update(pq.read_table(part, columns=[column], partitioning=None)[column].to_pylist())
    return counts


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
