"""Benchmark records: complete, honest about quick runs, and free of anything that names a machine or a folder."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.record import Check, Machine, arguments, publish

CHECKS = [
    Check(name="speed", value=1200.0, low=1100.0, high=1300.0, unit="×", target=1000.0, n=5, seeds=[1, 2]),
    Check(name="error", value=2.0, target=1.0, comparison="<="),
    Check(name="known only to some", value=None, target=1.0),
    Check(name="a figure", value=3.0),
]


def test_a_target_is_met_by_the_value_itself() -> None:
    assert [check.met for check in CHECKS] == [True, False, None, None]
    assert (
        Check(name="equal", value=1.0, target=1.0).met
        and Check(name="equal", value=1.0, target=1.0, comparison="<=").met
    )


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="goal"):
        Check.model_validate({"name": "speed", "value": 1.0, "goal": 2.0})


def test_the_record_holds_what_a_reader_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = publish("simulator", CHECKS, quick=False, seconds=1.5, settings={"records": 4}, results=tmp_path)
    record = json.loads(path.read_text())
    assert {"command", "commit", "date", "machine", "settings", "checks"} <= record.keys()
    wanted = {"name", "value", "low", "high", "unit", "target", "comparison", "met", "n", "seeds"}
    assert all(set(check) == wanted for check in record["checks"])
    assert record["command"] == "python -m benchmarks.simulator"
    assert {"processor", "cores", "memory_gb", "python"} <= record["machine"].keys()
    assert "torch" in record["machine"]["libraries"]
    table = capsys.readouterr().out
    assert "speed" in table and "1,200" in table and "yes" in table and "no" in table


def test_a_quick_run_leaves_the_full_result_alone(tmp_path: Path) -> None:
    full = publish("simulator", CHECKS, quick=False, seconds=1.0, settings={}, results=tmp_path)
    before = full.read_bytes()
    quick = publish("simulator", CHECKS[:1], quick=True, seconds=1.0, settings={}, results=tmp_path)
    assert quick != full and full.read_bytes() == before
    assert json.loads(quick.read_text())["command"].endswith("--quick")


def test_a_machine_is_described_without_its_name() -> None:
    described = Machine.here().model_dump_json()
    assert platform.node() not in described
    assert str(Path.home()) not in described and str(Path.cwd()) not in described
    assert Machine.here().cores == len(os.sched_getaffinity(0))


def test_every_benchmark_takes_the_same_flags() -> None:
    given = arguments("a benchmark").parse_args(["--quick", "--profile", "demo", "--data", "somewhere"])
    assert given.quick and given.profile == "demo" and given.data == Path("somewhere") and given.set == []
