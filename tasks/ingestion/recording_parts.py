"""The heavy half of ingestion: Ray workers that read, check, measure and store recordings, one Parquet part at a time.

A part is a fixed slice of the source's records, in their order, so an interrupted ingestion ends with the same rows.
The records refused while a part was read lie beside it, in `_refused/`, until one table is made of all of them; they
are written before the part, so a part that exists is complete.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from models.ecg.measurements import measure
from models.ecg.quality_flags import quality_flags
from warehouse.errors import EinthovenError, WarehouseError
from warehouse.schema import recordings
from warehouse.sources import BadRecord, RefusedRecord, Source, SourceRecord, open_source
from warehouse.storage.store import Staging, write_text
from warehouse.storage.waveforms import to_lead_columns, to_measured_columns

PROGRESS_S = 10.0


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

    @property
    def samples(self) -> int:
        """Samples per lead."""
        return round(self.rate_hz * self.duration_s)


class PartWriter:
    """A Ray Data actor: turns a batch of parts into Parquet files in staging."""

    def __init__(self, folder: str, staging: Staging, window: Window) -> None:
        self.source = open_source(folder)
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
    folder: str, staging: Staging, window: Window, parts: list[list[Assignment]], workers: int
) -> Iterator[int]:
    """Write the parts that staging lacks, through a pool of Ray actors.

    Yields:
        The number of parts that are there, whenever one is added.

    Raises:
        WarehouseError: a part cannot be written.
    """
    import ray

    missing = [part for part in range(len(parts)) if not staging.has_part("recordings", part)]
    done = len(parts) - len(missing)
    yield done
    if not missing:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    items = [{"part": part, "assignments": pickle.dumps(parts[part])} for part in missing]
    written = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        PartWriter,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(workers, len(items))),
        fn_constructor_kwargs={"folder": folder, "staging": staging, "window": window},
    )
    for row in written.iter_rows():
        if row["failure"]:
            raise WarehouseError(row["failure"])
        done += 1
        yield done


def write_part(source: Source, staging: Staging, window: Window, part: int, assignments: list[Assignment]) -> None:
    """Read, check, measure and store one part, and beside it what was refused."""
    kept: list[Assignment] = []
    signals: list[np.ndarray] = []
    refused: list[RefusedRecord] = []
    for assignment in assignments:
        record = assignment.record
        try:
            signals.append(source.read(record, window.rate_hz, window.duration_s))
            kept.append(assignment)
        except BadRecord as error:
            refused.append(RefusedRecord(record.path(window.rate_hz), error.reason, error.detail))
    signal = np.stack(signals) if signals else np.empty((0, 8, window.samples), dtype=np.float32)
    table = recordings_table(source, window, kept, signal)
    folder = staging.path / "_refused"
    folder.mkdir(exist_ok=True)
    write_text(folder / f"part-{part:05d}.json", json.dumps([asdict(one) for one in refused]))
    staging.write_table("recordings", part, table)


def read_refused(staging: Staging, parts: int) -> list[RefusedRecord]:
    """What was refused while parts were read, in the source's order."""
    found = []
    for part in range(parts):
        text = (staging.path / "_refused" / f"part-{part:05d}.json").read_text(encoding="utf-8")
        found += [RefusedRecord(**one) for one in json.loads(text)]
    return found


def recordings_table(source: Source, window: Window, kept: list[Assignment], signal: np.ndarray) -> pa.Table:
    """Rows of the `recordings` table.

    Args:
        signal: (rows, 8, samples) float32 mV, leads in the order of `INDEPENDENT_LEADS`.
    """
    records = [assignment.record for assignment in kept]
    columns = {
        "recording_id": [one.recording_id for one in kept],
        "patient_key": [one.patient_key for one in kept],
        "source": [source.name] * len(kept),
        "simulated": [source.simulated] * len(kept),
        "strat_fold": [one.strat_fold for one in records],
        "split": [one.split for one in kept],
        "age_years": [one.age_years for one in records],
        "sex": [one.sex for one in records],
        "text": [one.text for one in records],
        "coded_views": [[{"view": view, "codes": list(codes)} for view, codes in one.coded_views] for one in records],
        "statements": [[{"code": code, "likelihood": value} for code, value in one.statements] for one in records],
        "superclasses": [list(one.superclasses) for one in records],
        "quality_flags": quality_flags(signal, window.rate_hz),
        **to_measured_columns(measure(signal, window.rate_hz)),
        **to_lead_columns(signal),
    }
    return pa.Table.from_pydict(columns, schema=recordings(window.samples, window.rate_hz))


class Progress:
    """Says when it is time to log again: about every ten seconds, and at the end."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.started = self.last = time.monotonic()

    def due(self, done: int) -> bool:
        """Whether to log now."""
        now = time.monotonic()
        if done < self.total and now - self.last < PROGRESS_S:
            return False
        self.last = now
        return True
