"""The heavy half of ingestion: Ray workers that read, check, measure and store recordings, one Parquet part at a time.

A part is a fixed slice of the source's records, in their order, so an interrupted ingestion ends with the same rows.
Each part's note says what became of every window that was read of its records: kept, or refused for a reason.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.ecg.measurements import measure
from models.ecg.quality_flags import quality_flags
from models.ecg.r_peaks import locate_r_peaks
from tasks.ingestion.earlier import TABLE, Earlier, Place, Taken, digests, record_key
from warehouse.errors import EinthovenError, WarehouseError
from warehouse.schema import recordings
from warehouse.sources.record import BadRecord, RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import Window as UsableWindow
from warehouse.sources.recorded_leads import independent_windows
from warehouse.sources.source import Source
from warehouse.storage.store import Staging
from warehouse.storage.waveforms import to_lead_columns, to_measured_columns, to_r_peak_column

LOG_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """A record, its pseudonyms, its split, and a digest of its files; empty where a file is not known."""

    record: SourceRecord
    recording_id: str
    patient_key: str
    split: str
    content: str = ""


@dataclass(frozen=True)
class Window:
    """What is read of each recording."""

    rate_hz: int
    duration_s: float
    every: bool = False
    """Whether all whole windows of a record are read, or its first."""

    @property
    def samples(self) -> int:
        """Samples per lead."""
        return round(self.rate_hz * self.duration_s)


@dataclass(frozen=True)
class Kept:
    """A window of a record that is stored as a recording."""

    assignment: Assignment
    window: UsableWindow

    @property
    def recording_id(self) -> str:
        """The record's pseudonym; of a window that does not begin the record, with where it begins."""
        pseudonym = self.assignment.recording_id
        return f"{pseudonym}-{self.window.start_s:g}" if self.window.start_s else pseudonym


class RecordingsWriter:
    """A Ray Data actor: turns a batch of parts into Parquet files in staging."""

    def __init__(
        self, reader: type[Source], folder: Path, name: str, staging: Staging, window: Window, earlier: Earlier | None
    ) -> None:
        self.source = reader(folder)
        self.source.name = name
        self.staging, self.window, self.earlier = staging, window, earlier

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Write parts; a failure that a person must see travels as text, since Ray buries exceptions in tracebacks."""
        failures = []
        for part, pickled in zip(batch["part"], batch["assignments"], strict=True):
            assignments, places = pickle.loads(pickled)
            try:
                taken = self.earlier.take(keys_of(assignments, self.window), places) if self.earlier else {}
                write_part(self.source, self.staging, self.window, int(part), assignments, taken)
                failures.append("")
            except EinthovenError as error:
                failures.append(str(error))
        return {"part": batch["part"], "failure": np.asarray(failures, dtype=object)}


def write_parts(
    source: Source,
    staging: Staging,
    window: Window,
    parts: list[list[Assignment]],
    workers: int,
    earlier: Earlier | None = None,
    places: Sequence[Sequence[Place | None]] | None = None,
) -> Iterator[int]:
    """Write the parts that staging lacks, through a pool of Ray actors, each of which opens the source for itself.

    Args:
        earlier: an ingestion whose rows are taken over.
        places: where it has each record of each part.

    Yields:
        The number of parts that are there, whenever one is added.

    Raises:
        WarehouseError: a part cannot be written.
    """
    import ray

    missing = [part for part in range(len(parts)) if not staging.has_part(TABLE, part, noted=True)]
    done = len(parts) - len(missing)
    yield done
    if not missing:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    known = places or [[None] * len(part) for part in parts]
    items = [{"part": part, "assignments": pickle.dumps((parts[part], known[part]))} for part in missing]
    written = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        RecordingsWriter,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(workers, len(items))),
        # The class, not its kind: what was registered in this process only is known to no other.
        fn_constructor_kwargs={
            "reader": type(source),
            "folder": source.folder,
            "name": source.name,
            "staging": staging,
            "window": window,
            "earlier": earlier,
        },
    )
    del items  # Ray holds them, and there may be a million records in them
    for row in written.iter_rows():
        if row["failure"]:
            raise WarehouseError(row["failure"])
        done += 1
        yield done


def keys_of(assignments: Iterable[Assignment], window: Window) -> list[str]:
    """Keys of records for later ingestions; empty for those whose files are not known."""
    return [record_key(one, window) if one.content else "" for one in assignments]


def write_part(
    source: Source,
    staging: Staging,
    window: Window,
    part: int,
    assignments: list[Assignment],
    taken: Mapping[int, Taken] | None = None,
) -> None:
    """Read, check, measure and store one part.

    Args:
        taken: rows of records that were read earlier, by their number among the assignments.
    """
    taken = taken or {}
    kept: list[Kept] = []
    of: list[int] = []
    refused: list[tuple[int, dict[str, str]]] = []
    windows: list[int] = []
    for number, assignment in enumerate(assignments):
        if number in taken:
            refused += [(number, one) for one in taken[number].refused]
            windows.append(taken[number].windows)
            continue
        usable, unusable = _read(source, window, assignment)
        kept += [Kept(assignment, one) for one in usable]
        of += [number] * len(usable)
        refused += [(number, asdict(one)) for one in unusable]
        windows.append(len(usable) + len(unusable))
    table = recordings_table(source, window, kept)
    if taken:
        table = pa.concat_tables([table, *(one.rows for one in taken.values())])
        of += [number for number, one in taken.items() for _ in range(one.rows.num_rows)]
        order = np.argsort(of, kind="stable")
        table, of = table.take(order), [of[row] for row in order]
    datasets = [one.record.dataset or source.name for one in assignments]
    read = Counter[str]()
    for dataset, count in zip(datasets, windows, strict=True):
        read[dataset] += count
    note = {
        "records": Counter(datasets),
        "read": read,
        "refused": [one for _, one in refused],
        "refused_of": [number for number, _ in refused],
        "kept": [
            [assignments[number].record.path(window.rate_hz), datasets[number], assignments[number].split]
            for number in of
        ],
        "of": of,
        "windows": windows,
        "waveforms": digests(table),
        "patients": [assignments[number].patient_key[:16] for number in of],
        "keys": keys_of(assignments, window),
    }
    staging.write_table(TABLE, part, table, note)


def _read(source: Source, window: Window, assignment: Assignment) -> tuple[list[UsableWindow], list[RefusedRecord]]:
    """Windows of a record that can be used, and why others, or all of it, cannot."""
    path, dataset = assignment.record.path(window.rate_hz), assignment.record.dataset or source.name
    try:
        recorded = source.decode(assignment.record, window.rate_hz)
        windows = independent_windows(recorded, window.rate_hz, window.samples, window.every)
    except BadRecord as error:
        return [], [RefusedRecord(path, error.reason, error.detail, dataset)]
    usable = [one for one in windows if isinstance(one, UsableWindow)]
    refused = [
        RefusedRecord(
            f"{path} from {one.start_s:g} s" if len(windows) > 1 else path, one.why.reason, one.why.detail, dataset
        )
        for one in windows
        if not isinstance(one, UsableWindow)
    ]
    return usable, refused


def recordings_table(source: Source, window: Window, kept: list[Kept]) -> pa.Table:
    """Rows of the `recordings` table."""
    signal = np.stack([one.window.millivolts for one in kept]) if kept else np.empty((0, 8, window.samples), np.float32)
    assignments = [one.assignment for one in kept]
    records = [one.record for one in assignments]
    r_peaks = locate_r_peaks(signal, window.rate_hz)
    bridged = [[f"missing_samples_{lead.lower()}" for lead in one.window.bridged] for one in kept]
    found = quality_flags(signal, r_peaks, window.rate_hz)
    columns = {
        "recording_id": [one.recording_id for one in kept],
        "patient_key": [one.patient_key for one in assignments],
        "source": [one.dataset or source.name for one in records],
        "simulated": [source.simulated] * len(kept),
        "window_start_s": [one.window.start_s for one in kept],
        "strat_fold": [one.strat_fold for one in records],
        "split": [one.split for one in assignments],
        "age_years": [one.age_years for one in records],
        "sex": [one.sex for one in records],
        "text": [one.text for one in records],
        "coded_views": [[{"view": view, "codes": list(codes)} for view, codes in one.coded_views] for one in records],
        "statements": [[{"code": code, "likelihood": value} for code, value in one.statements] for one in records],
        "superclasses": [list(one.superclasses) for one in records],
        "quality_flags": [[*here, *more] for here, more in zip(bridged, found, strict=True)],
        "r_peak_s": to_r_peak_column(r_peaks, window.rate_hz),
        **to_measured_columns(measure(signal, r_peaks, window.rate_hz)),
        **to_lead_columns(signal),
    }
    return pa.Table.from_pydict(columns, schema=recordings(window.samples, window.rate_hz))


class LogInterval:
    """Says when it is time to log again: about every ten seconds, and at the end."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.last = time.monotonic()

    def due(self, done: int) -> bool:
        """Whether to log now."""
        now = time.monotonic()
        if done < self.total and now - self.last < LOG_EVERY_S:
            return False
        self.last = now
        return True
