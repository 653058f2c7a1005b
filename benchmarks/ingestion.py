"""Ingestion at full scale: speed, memory, bytes at rest, and what is read again of a dataset that grew.

`python -m benchmarks.ingestion --data PATH [--data-500 PATH] [--records N]`, PATH in PTB-XL's layout (the second with
files at 500 Hz). It ingests with `einthoven ingest`, in processes of its own, and compares the time, start-up and all,
with a loop of `wfdb.rdrecord` over the same files. The dataset of ten times the records is the same one ten times over,
its header's gains changed a little, so that no waveform occurs twice.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import wfdb

from benchmarks.process_memory import ProcessMemory
from benchmarks.record import Check, publish
from models.leads import LEAD_COLUMNS
from warehouse.catalog.catalog import query
from warehouse.errors import EinthovenError
from warehouse.sources.ptbxl import DATABASE, FILE_COLUMNS, STATEMENTS
from warehouse.sources.registry import open_source
from warehouse.storage.pseudonyms import pseudonyms_of
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveforms import microvolts

TIMES: Final = 10
GROWTH: Final = 0.01
"""Records that are added to a dataset that was ingested, as a share of it."""
COMPARED: Final = 1000
"""Recordings whose stored waveforms are compared with their files."""
MILLION: Final = 1_000_000
MIMIC_IV_ECG: Final = 800_035
BYTES_AT_REST: Final = {100: 0.40, 500: 0.21}
WORKERS: Final = 2


@dataclass(frozen=True)
class Ingested:
    """An ingestion that was run.

    Attributes:
        store, recordings: what it made.
        seconds: wall time of the command.
        memory_mb: largest proportional set size of all its processes together.
        output: what it logged.
    """

    store: Store
    recordings: Reference
    seconds: float
    memory_mb: float
    output: str


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="PTB-XL at 100 Hz")
    parser.add_argument("--data-500", type=Path, help="PTB-XL, or a part of it, at 500 Hz")
    parser.add_argument("--records", type=int, help="only the first of them; the record is a quick one")
    parser.add_argument("--folder", type=Path, help="where datasets and warehouses are made and removed again")
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ingestion-", dir=chosen.folder) as folder:
        checks = [*_checks(Path(folder), chosen.data, chosen.data_500, chosen.records)]
    publish(
        "ingestion",
        checks,
        quick=chosen.records is not None,
        seconds=time.monotonic() - started,
        settings={"workers": WORKERS, "records": chosen.records},
    )


def _checks(folder: Path, data: Path, data_500: Path | None, records: int | None) -> Iterator[Check]:
    rows = _rows(data)[:records]
    said("copying", len(rows), "records")
    own = write_dataset(folder / "one", data, rows)
    stems = [str(own / row[FILE_COLUMNS[100]]) for row in rows]
    loop, loops = loop_seconds(stems), loop_seconds(stems, processes=WORKERS)
    said(f"wfdb.rdrecord: {loop:.1f} s in one process, {loops:.1f} s in {WORKERS}")
    one = ingest(own, folder / "warehouse-one")
    yield from speed_checks(one.seconds, loop, loops, len(rows))
    yield from rest_checks(one, own, 100)
    yield from growth_checks(one, own, data, rows)
    shutil.rmtree(folder / "warehouse-one")
    ten = ingest(write_dataset(folder / "ten", data, rows, TIMES), folder / "warehouse-ten")
    yield from memory_checks(one, ten)
    if data_500:
        rest = ingest(data_500, folder / "warehouse-500", "ingestion.sampling_rate_hz=500")
        yield from rest_checks(rest, data_500, 500)


def speed_checks(seconds: float, loop: float, loops: float, records: int) -> Iterator[Check]:
    """How fast a dataset was ingested, beside loops over its files in one and in several processes."""
    yield Check(name="ingestion, start-up and all", value=records / seconds, unit="records/s", n=records)
    yield Check(name="bare wfdb.rdrecord loop in one process", value=records / loop, unit="records/s", n=records)
    yield Check(name="ingestion's speed over that of the loop", value=loop / seconds, target=1.0, n=records)
    name = f"… over that of loops in {WORKERS} processes at once"
    yield Check(name=name, value=loops / seconds, n=records)
    yield Check(name="a million records, at this speed", value=MILLION * seconds / records / 3600, unit="h")


def rest_checks(ingested: Ingested, data: Path, rate_hz: int) -> Iterator[Check]:
    """What recordings take at rest, and whether all of their microvolts are there."""
    source, pseudonyms = open_source("ptbxl", data), pseudonyms_of(ingested.store)
    records = {pseudonyms.recording(source.name, one.record): one for one in source.records()}
    table = ingested.store.read(ingested.recordings, "recordings", ["recording_id", *LEAD_COLUMNS])
    ids, waveforms = table["recording_id"].to_pylist(), microvolts(table)
    stems = [data / dict(records[one].files)[rate_hz] for one in ids]
    of_signals = sum(stem.with_suffix(".dat").stat().st_size for stem in stems)
    folder = Path(ingested.recordings.uri)
    at_rest = sum(path.stat().st_size for path in (folder / "recordings").rglob("*.parquet"))
    yield Check(
        name=f"bytes at rest of the .dat files, {rate_hz} Hz, all columns",
        value=at_rest / of_signals,
        target=BYTES_AT_REST[rate_hz],
        comparison="<=",
        n=len(ids),
    )
    name = f"a million records at {rate_hz} Hz, at rest"
    yield Check(name=name, value=MILLION * at_rest / len(ids) / 2**30, unit="GiB")
    rows = np.unique(np.linspace(0, len(ids) - 1, min(COMPARED, len(ids))).astype(int))
    off = max(
        float(np.abs(waveforms[row] - 1000 * source.read(records[ids[row]], rate_hz).astype(np.float64)).max())
        for row in rows
    )
    name = f"largest difference from the files, {rate_hz} Hz"
    yield Check(name=name, value=off, unit="µV", target=0.5, comparison="<=", n=len(rows))
    asked = time.monotonic()
    answer = query(ingested.store, "select sum(list_sum(lead_ii)) from latest_recordings").rows[0][0]
    seconds = time.monotonic() - asked
    if answer != waveforms[:, LEAD_COLUMNS.index("lead_ii")].sum(dtype=np.int64):
        raise EinthovenError(f"DuckDB's sum over lead II of {folder} is {answer}, not that of the stored samples")
    yield Check(name=f"DuckDB sums up every sample of lead II, {rate_hz} Hz", value=seconds, unit="s", n=len(ids))


def growth_checks(before: Ingested, data: Path, original: Path, rows: list[dict[str, str]]) -> Iterator[Check]:
    """What is read again when a dataset grew."""
    added = max(1, round(GROWTH * len(rows)))
    write_dataset(data, original, rows, copies=1, more=added)
    after = ingest(data, before.store.root)
    line = next(line for line in after.output.splitlines() if "records were read before" in line)
    known = int(line.split("ingest recordings: ")[1].split()[0])
    name = f"of {added} new records beside {len(rows)}, records that are read"
    yield Check(name=name, value=len(rows) + added - known, target=added, comparison="<=")
    yield Check(name="… time, start-up and all", value=after.seconds, unit="s")


def memory_checks(one: Ingested, ten: Ingested) -> Iterator[Check]:
    """Memory of all processes, of the dataset and of ten times as much."""
    n = ten.recordings.rows
    yield Check(name="memory of all processes", value=one.memory_mb, unit="MiB", n=one.recordings.rows)
    yield Check(name=f"… {TIMES} times the records", value=ten.memory_mb, unit="MiB", n=n)
    name = f"memory of {TIMES} times the records over that of the records"
    yield Check(name=name, value=ten.memory_mb / one.memory_mb, target=1.15, comparison="<=", n=n)
    per_record = max(ten.memory_mb - one.memory_mb, 0.0) / (n - one.recordings.rows)
    for name, records in (("a million records", MILLION), ("MIMIC-IV-ECG", MIMIC_IV_ECG)):
        total = (one.memory_mb + per_record * (records - one.recordings.rows)) / 1024
        yield Check(name=f"memory of {name}, extrapolated", value=total, unit="GiB")
    yield Check(name=f"{TIMES} times the records", value=n / ten.seconds, unit="records/s", n=n)


def ingest(data: Path, warehouse: Path, *overrides: str) -> Ingested:
    """Ingest a dataset in a process of its own, and watch the memory of all that it starts."""
    words = ["ingest", "--profile", "ptbxl-mini", "--data", str(data), "--warehouse", str(warehouse)]
    changed = [word for one in (f"ingestion.workers={WORKERS}", *overrides) for word in ("--set", one)]
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words, *changed],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
    )
    with ProcessMemory(process.pid) as memory:
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            if "ingest recordings:" in line:
                said(line.rstrip().rpartition(" - ")[2])
        code = process.wait()
    seconds, output = time.monotonic() - started, "".join(lines)
    if code:
        raise EinthovenError(f"einthoven ingest ended with {code}: {output[-1000:]}")
    store = Store(str(warehouse))
    recordings = store.find("recordings", store.committed("recordings")[-1].id)
    assert recordings
    said(f"{recordings.rows} recordings in {seconds:.1f} s, at most {memory.largest_mb:.0f} MiB")
    return Ingested(store, recordings, seconds, memory.largest_mb, output)


def loop_seconds(stems: list[str], processes: int = 1) -> float:
    """Seconds of a loop of `wfdb.rdrecord` over records, or of several loops over equal shares of them at once.

    The files are read once before, so that they are in memory for every loop, and for the ingestion.
    """
    _decode(stems[:100])
    if processes == 1:
        for stem in stems:
            Path(f"{stem}.dat").read_bytes()
        started = time.monotonic()
        _decode(stems)
        return time.monotonic() - started
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_decode, [stems[:10]] * processes))
        started = time.monotonic()
        list(pool.map(_decode, [stems[first::processes] for first in range(processes)]))
        return time.monotonic() - started


def _decode(stems: list[str]) -> None:
    for stem in stems:
        wfdb.rdrecord(stem)


def write_dataset(folder: Path, data: Path, rows: list[dict[str, str]], copies: int = 1, more: int = 0) -> Path:
    """Some records of PTB-XL at 100 Hz, several times over under other names, ages and gains, and some of them once
    more; the first copy is as it was. Signal files are links where the file system allows it.
    """
    chosen = [(copy, row) for copy in range(copies) for row in rows] + [(copies, row) for row in rows[:more]]
    written = []
    for copy, row in chosen:
        old = row[FILE_COLUMNS[100]]
        new = f"{old}_{copy}" if copy else old
        signal = folder / f"{new}.dat"
        if not signal.exists():
            signal.parent.mkdir(parents=True, exist_ok=True)
            _link(data / f"{old}.dat", signal)
            header = (data / f"{old}.hea").read_text()
            stem, name = Path(old).name, Path(new).name
            if copy:
                header = header.replace(stem, name).replace(" 1000.0(0)/mV", f" {1000 + copy}.0(0)/mV")
            signal.with_suffix(".hea").write_text(header)
        number = int(float(row["ecg_id"])) + copy * 1_000_000
        written.append({**row, "ecg_id": number, FILE_COLUMNS[100]: new, FILE_COLUMNS[500]: ""})
    shutil.copy(data / STATEMENTS, folder)
    # Ingestion trusts what it knows of files only from two seconds after they were written.
    for path in folder.rglob("*.hea"):
        os.utime(path, (1e9, 1e9))
    with (folder / DATABASE).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(written[0]))
        table.writeheader()
        table.writerows(written)
    return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy(source, target)
        os.utime(target, (1e9, 1e9))


def _rows(data: Path) -> list[dict[str, str]]:
    """Rows of the database whose files are there."""
    with (data / DATABASE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if (data / f"{row[FILE_COLUMNS[100]]}.dat").exists()]


def said(*words: Any) -> None:
    """Say on standard error how far the benchmark is."""
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
