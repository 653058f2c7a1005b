"""The benchmark's datasets hold what it says they do, and the memory that it watches is that of a process's family."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.ingestion import loop_seconds, speed_checks, write_dataset
from benchmarks.process_memory import ProcessMemory
from tests.warehouse.small_dataset import SmallDataset
from warehouse.sources.registry import open_source


def test_every_copy_has_a_waveform_of_its_own_and_the_first_is_as_it_was(tmp_path: Path) -> None:
    original = SmallDataset(tmp_path / "original", records=3)
    write_dataset(tmp_path / "many", original.folder, original.rows, copies=2, more=1)
    source = open_source("ptbxl", tmp_path / "many")
    read = [source.read(one, 100).tobytes() for one in source.records()]
    assert len(read) == len(set(read)) == 7
    first = open_source("ptbxl", original.folder)
    assert read[:3] == [first.read(one, 100).tobytes() for one in first.records()]
    assert len({one.record for one in source.records()}) == 7
    stems = [str(tmp_path / "many" / dict(one.files)[100]) for one in source.records()]
    assert loop_seconds(stems) > 0


def test_memory_is_that_of_a_process_and_its_children() -> None:
    child = "x = bytearray(100 * 2**20); import time; time.sleep(3)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent])
    with ProcessMemory(process.pid) as memory:
        assert process.wait() == 0
    assert 100 < memory.largest_mb < 200


def test_speeds_are_compared_with_the_loop() -> None:
    checks = {check.name: check for check in speed_checks(seconds=10.0, loop=20.0, loops=5.0, records=1000)}
    assert checks["ingestion's speed over that of the loop"].value == 2.0
    assert checks["ingestion's speed over that of the loop"].met
    assert checks["… over that of loops in 2 processes at once"].value == 0.5
    assert checks["ingestion, start-up and all"].value == 100.0
