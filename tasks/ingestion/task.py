"""Ingestion: recordings in, one checked and measured table out, split by patient; the unusable are quarantined."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
from prefect import task

from tasks.ingestion.earlier import Earlier, Place, keep_notes
from tasks.ingestion.outcome import Outcome, collect
from tasks.ingestion.recording_parts import Assignment, LogInterval, Window, keys_of, write_parts
from tasks.settings import ComputeSettings, IngestionSettings, SourceSettings
from tasks.stage import RUN_BY_PREFECT, Result, Stage, commit_once, run_logger
from warehouse.errors import SourceError, WarehouseError
from warehouse.schema import quarantine
from warehouse.sources.content import content_of, record_contents
from warehouse.sources.record import RefusedRecord, SourceRecord
from warehouse.sources.registry import open_source
from warehouse.sources.source import Source
from warehouse.sources.statement_table import statements_table
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.pseudonyms import Pseudonyms, pseudonyms_of
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

INGESTION = Stage("ingest recordings", makes="recordings", code_version=6)
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
    source = open_source(settings.kind, settings.path, settings.name)
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
    settings: IngestionSettings,
    kind: str,
    source: Reference,
    compute: ComputeSettings,
    uri: str,
    name: str | None = None,
) -> Reference:
    """Read, check, measure, split and store the recordings of a source.

    Args:
        settings: sampling rate, window, folds.
        kind: what reads the source, a key of `warehouse.sources.registry.SOURCES`; the source's id depends on it.
        source: what `reference_source` or `simulate_dataset` returned.
        compute: how Ray is used.
        uri: the warehouse.
        name: name of the dataset, if it is not that of its kind.

    Returns:
        A reference of kind "recordings", with the tables `recordings`, `quarantine` and `statements`. Facts of its
        manifest: `statements` (code to description, superclass and kind), `listed` (records), `read` (windows of
        them), `splits` (windows kept, per split), `quarantined` (the others, per reason), `source`, `simulated`,
        `samples` and `sampling_rate_hz`.

    Raises:
        SourceError: the dataset cannot be read, or no recording is left after quarantine.
        WarehouseError: the warehouse cannot be written.
    """
    store = Store(uri)
    return commit_once(
        INGESTION,
        settings,
        [source],
        store,
        lambda staging: _build(settings, kind, name, source, compute, store, staging),
    )


def _build(
    settings: IngestionSettings,
    kind: str,
    name: str | None,
    reference: Reference,
    compute: ComputeSettings,
    store: Store,
    staging: Staging,
) -> Result:
    from tasks.cluster import connect

    # A simulated dataset lies in the warehouse, which may have moved; a real one is where the reference says.
    folder = str(store.path(reference)) if store.find("source", reference.id) else reference.uri
    source = open_source(kind, folder, name)
    _check_name(store, source, reference)
    first = settings.max_recordings
    window = Window(settings.sampling_rate_hz, settings.duration_s, settings.windows == "all")
    records = source.records(first)
    contents = record_contents(store, source, records, f"version {INGESTION.code_version}")
    assigned, refused = assign(records, settings, source.name, pseudonyms_of(store), contents)
    refused = [*source.refused(first), *refused]
    listed = len(source.rows()[:first])
    size = settings.recordings_per_part
    parts = [assigned[start : start + size] for start in range(0, len(assigned), size)]
    # The quarantine is written last: where it exists, an earlier run was killed between writing and committing.
    if not staging.has_part("quarantine", 0):
        places: list[Place | None] = [None] * len(assigned)
        if earlier := Earlier.of(store, source.name):
            places = earlier.places(keys_of(assigned, window))
            known = sum(place is not None for place in places)
            run_logger().info("ingest recordings: %d of %d records were read before", known, len(assigned))
        connect(compute)
        log_interval = LogInterval(len(parts))
        known_parts = [places[start : start + size] for start in range(0, len(assigned), size)]
        for done in write_parts(source, staging, window, parts, settings.workers, earlier, known_parts):
            if log_interval.due(done):
                run_logger().info(
                    "ingest recordings: %d of %d recordings", min(done * size, len(assigned)), len(assigned)
                )
    outcome = collect(staging, len(parts))
    keep_notes(staging, sorted({*range(len(parts))} - {*outcome.thinned}))
    outcome.check(Counter(one.record.dataset or source.name for one in assigned))
    if len(assigned) + len(refused) != listed:
        raise WarehouseError(f"{listed} records are listed, {len(assigned)} assigned and {len(refused)} refused")
    before = Counter(one.dataset or source.name for one in refused)
    refused = [*refused, *outcome.refused]
    reasons = Counter(one.reason for one in refused)
    staging.write_table("statements", 0, statements_table(source))
    staging.write_table("quarantine", 0, _quarantine_table(source, refused))
    read = before + outcome.read
    _report(reference, source, read, outcome, refused)
    _warn_of_unknown(source, [one.record for one in assigned])
    return Result(
        rows=outcome.splits.total(),
        facts=RecordingsFacts(
            statements=source.statements(),
            listed=listed,
            read=read.total(),
            splits={split: outcome.splits[split] for split in SPLITS},
            quarantined=dict(reasons.most_common()),
            source=source.name,
            datasets=[part.name for part in source.parts() if part is not source],
            simulated=source.simulated,
            samples=window.samples,
            sampling_rate_hz=window.rate_hz,
        ),
    )


def _check_name(store: Store, source: Source, reference: Reference) -> None:
    """Raise SourceError where another folder was ingested under the same name: its patients would be taken for these.

    The same folder may have changed, and the same content may lie elsewhere.
    """
    if source.simulated:
        return
    for manifest in store.committed("recordings"):
        lies_in = {one.uri for one in manifest.lineage.inputs if one.kind == "source" and one.id != reference.id}
        if manifest.facts.get("source") == source.name and lies_in - {reference.uri}:
            raise SourceError(
                f"this warehouse holds recordings of {lies_in.pop()} under the name {source.name}, so patients of "
                f"{reference.uri} would be taken for the same people; name this dataset with --set source.name=NAME"
            )


def assign(
    records: list[SourceRecord],
    settings: IngestionSettings,
    source: str,
    pseudonyms: Pseudonyms,
    contents: Mapping[str, str] | None = None,
) -> tuple[list[Assignment], list[RefusedRecord]]:
    """Give each record its split and pseudonyms; where the dataset has no folds, each patient's is drawn by the key.

    A patient whose recordings lie in folds of several splits would leak from training into testing, so all of that
    patient's recordings are refused.

    Args:
        contents: digests of the files of records, as far as they are known.
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
            refused.append(RefusedRecord(path, "patient_in_several_splits", detail, record.dataset))
            continue
        assigned.append(
            Assignment(
                record=record,
                recording_id=pseudonyms.recording(source, record.record),
                patient_key=pseudonyms.patient(source, record.patient),
                split=splits[0],
                content=(contents or {}).get(record.record, ""),
            )
        )
    return assigned, refused


def _warn_of_unknown(source: Source, records: list[SourceRecord]) -> None:
    """Say how often ages and sexes are not known, be it that they are not stated or not understood."""
    ages, sexes = sum(one.age_years is None for one in records), sum(one.sex is None for one in records)
    if ages or sexes:
        run_logger().warning(
            "ingest recordings: of %d records of %s, %d have no age and %d no sex that can be read",
            len(records),
            source.name,
            ages,
            sexes,
        )


def _quarantine_table(source: Source, refused: list[RefusedRecord]) -> pa.Table:
    rows = [
        {"source": one.dataset or source.name, "record": one.record, "reason": one.reason, "detail": one.detail}
        for one in refused
    ]
    return pa.Table.from_pylist(rows, schema=quarantine())


def _report(
    reference: Reference, source: Source, read: Counter[str], outcome: Outcome, refused: list[RefusedRecord]
) -> None:
    """Say of each dataset what was read, kept and quarantined.

    Raises:
        SourceError: nothing was kept.
    """
    if not outcome.splits.total():
        raise SourceError(f"no recordings left in {reference.uri} after quarantine; refused: {_counted(refused)}")
    for dataset in sorted(read):
        here = [one for one in refused if (one.dataset or source.name) == dataset]
        kept = {split: outcome.kept[dataset, split] for split in SPLITS}
        run_logger().info(
            "ingest recordings: %s: read %d = kept %d (%s) + quarantined %d (%s)",
            dataset,
            read[dataset],
            sum(kept.values()),
            ", ".join(f"{split} {count}" for split, count in kept.items()),
            len(here),
            _counted(here),
        )


def _counted(refused: list[RefusedRecord]) -> str:
    return (
        ", ".join(f"{reason} {count}" for reason, count in Counter(one.reason for one in refused).most_common())
        or "none"
    )
