"""The heavy half of ingestion: Ray workers that read, check, measure and store recordings, one Parquet part at a time.

A part is a fixed slice of the source's records, in their order, so an interrupted ingestion ends with the same rows.
Each part's note says what became of every window that was read of its records: kept, or refused for a reason.
"""

from __future__ import annotations

import hashlib
import pickle
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.ecg.measurements import measure
from models.ecg.quality_flags import quality_flags
from models.ecg.r_peaks import locate_r_peaks
from warehouse.errors import EinthovenError, WarehouseError
from warehouse.schema import recordings
from warehouse.sources.record import BadRecord, RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import Window as UsableWindow
from warehouse.sources.recorded_leads import independent_windows
from warehouse.sources.source import Source
from warehouse.storage.store import Staging
from warehouse.storage.waveforms import microvolts, to_lead_columns, to_measured_columns, to_r_peak_column

LOG_EVERY_S = 10.0
TABLE = "recordings"


@dataclass(frozen=True)
class Assignment:
    """A record, its pseudonyms and its split."""

    record: SourceRecord
    recording_id: str
    patient_key: str
    split: str


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

    def __init__(self, reader: type[Source], folder: Path, name: str, staging: Staging, window: Window) -> None:
        self.source = reader(folder)
        self.source.name = name
        self.staging = staging
        self.window = window

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Write parts; a failure that a person must see travels as text, since Ray buries exceptions in tracebacks."""
        failures = []
        for part, assignments in zip(batch["part"], batch["assignments"], strict=True):
            try:
                write_part(self.source, self.staging, self.window, int(part), pickle.loads(assignments))
                failures.append("")
            except EinthovenError as error:
                failures.append(str(error))
        return {"part": batch["part"], "failure": np.asarray(failures, dtype=object)}


def write_parts(
    source: Source, staging: Staging, window: Window, parts: list[list[Assignment]], workers: int
) -> Iterator[int]:
    """Write the parts that staging lacks, through a pool of Ray actors, each of which opens the source for itself.

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
    items = [{"part": part, "assignments": pickle.dumps(parts[part])} for part in missing]
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
        },
    )
    for row in written.iter_rows():
        if row["failure"]:
            raise WarehouseError(row["failure"])
        done += 1
        yield done


def write_part(source: Source, staging: Staging, window: Window, part: int, assignments: list[Assignment]) -> None:
    """Read, check, measure and store one part."""
    kept: list[Kept] = []
    refused: list[RefusedRecord] = []
    read = Counter[str]()
    for assignment in assignments:
        path, dataset = assignment.record.path(window.rate_hz), assignment.record.dataset or source.name
        try:
            recorded = source.decode(assignment.record, window.rate_hz)
            windows = independent_windows(recorded, window.rate_hz, window.samples, window.every)
        except BadRecord as error:
            read[dataset] += 1
            refused.append(RefusedRecord(path, error.reason, error.detail, dataset))
            continue
        read[dataset] += len(windows)
        for one in windows:
            if isinstance(one, UsableWindow):
                kept.append(Kept(assignment, one))
            else:
                place = f"{path} from {one.start_s:g} s" if len(windows) > 1 else path
                refused.append(RefusedRecord(place, one.why.reason, one.why.detail, dataset))
    table = recordings_table(source, window, kept)
    note = {
        "records": Counter(one.record.dataset or source.name for one in assignments),
        "read": read,
        "refused": [asdict(one) for one in refused],
        "kept": [
            [
                one.assignment.record.path(window.rate_hz),
                one.assignment.record.dataset or source.name,
                one.assignment.split,
            ]
            for one in kept
        ],
        "waveforms": _digests(table),
        "patients": [one.assignment.patient_key[:16] for one in kept],
    }
    staging.write_table(TABLE, part, table, note)


def _digests(table: pa.Table) -> list[str]:
    """64 bits of the SHA-256 of each row's waveform, as it is at rest."""
    return [hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in microvolts(table)]


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
