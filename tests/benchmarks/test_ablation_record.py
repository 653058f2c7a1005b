"""The ablation goes on where its record ends: runs are taken over, made one at a time, and none is lost to a kill."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks import ablation
from benchmarks.ablation_arms import QUICK_NAMES, Planned, Profile, Seeds
from benchmarks.ablation_record import AblationRecord
from benchmarks.ablation_runs import key_of
from benchmarks.ablation_table import FID, Figure, Run
from benchmarks.record import RESULTS
from tasks.settings import Settings
from warehouse.storage.reference import Reference

RECORDINGS = Reference(kind="recordings", id="r", uri="", rows=1, sha256="")
ALL = len(QUICK_NAMES)
KNOWLEDGE = Reference(kind="knowledge", id="k", uri="", rows=1, sha256="")


class Stopped(RuntimeError):  # noqa: N818
    """Somebody pulls the plug."""


class Machine:
    """Stands in for everything that takes time: ingestion, knowledge base and the making of runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
        self.made: list[str] = []
        self.dies_at: int | None = None
        self.path = results / "ablation-quick.json"
        monkeypatch.setattr(ablation, "RESULTS", results)
        monkeypatch.setattr(ablation, "ENVIRONMENT", {})
        monkeypatch.setattr(ablation, "prepare_environment", lambda: None)
        monkeypatch.setattr(ablation, "quieten_console", lambda: None)
        monkeypatch.setattr("flows.ingest.ingest_dataset", lambda _: RECORDINGS)
        monkeypatch.setattr("flows.knowledge.build_knowledge_base", lambda *_: KNOWLEDGE)
        monkeypatch.setattr("benchmarks.ablation_runs.make", self.make)

    def make(
        self, planned: Planned, settings: Settings, recordings: Reference, knowledge: Reference, commit: str
    ) -> Run:
        if len(self.made) == self.dies_at:
            raise Stopped
        self.made.append(planned.arm)
        return Run(
            arm=planned.arm,
            training_seed=planned.training_seed,
            cohort_seed=planned.cohort_seed,
            key=key_of(planned, settings, recordings, knowledge),
            figures={FID: Figure(value=3.0 + len(self.made))},
            real={FID: Figure(value=1.0)},
            floor={FID: Figure(value=2.0)} if planned.training_seed else {},
            commit=commit,
        )

    def ablation(self, *words: str) -> None:
        ablation.main(["--quick", "--warehouse", str(self.path.parent / "warehouse"), *words])

    def record(self) -> dict[str, Any]:
        return json.loads(self.path.read_text(encoding="utf-8"))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def test_a_kill_loses_the_run_that_was_being_made(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.dies_at = 3
    with pytest.raises(Stopped):
        machine.ablation()
    record = machine.record()
    assert record["details"]["missing"] == [f"{arm}, training seed 1, cohort seed 1" for arm in QUICK_NAMES[3:]]
    arms = [run["arm"] for run in record["details"]["runs"]]
    assert arms == ["real", "autoencoder floor", *QUICK_NAMES[:3]]
    assert "FID" not in capsys.readouterr().out  # tables are for the end


def test_another_machine_goes_on_with_the_record(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.dies_at = 3
    with pytest.raises(Stopped):
        machine.ablation()
    before, machine.made, machine.dies_at = machine.record(), [], None
    machine.ablation("--warehouse", str(machine.path.parent / "another"))
    assert machine.made == list(QUICK_NAMES[3:])
    record, said = machine.record(), capsys.readouterr()
    assert record["details"]["missing"] == [] and record["details"]["runs"][:5] == before["details"]["runs"]
    assert record["seconds"] >= before["seconds"]
    assert f"3 of {ALL} runs are taken over" in said.err and "missing" not in said.out
    machine.ablation()
    assert machine.made == list(QUICK_NAMES[3:])
    assert machine.record()["details"]["runs"] == record["details"]["runs"]
    assert machine.record()["checks"] == record["checks"]


def test_without_minutes_the_record_stays_what_it_was(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.ablation("--minutes", "0")
    assert machine.made == [] and not machine.path.exists()
    assert f"{ALL} of {ALL} runs are missing; the same command goes on with simulator alone" in capsys.readouterr().out
    machine.dies_at = 2
    with pytest.raises(Stopped):
        machine.ablation()
    before = machine.record()
    machine.path.write_text(json.dumps(before))  # written again, not left alone
    machine.ablation("--minutes", "0")
    assert machine.path.read_text() != json.dumps(before) and len(machine.made) == 2
    assert machine.record()["details"] == before["details"] and machine.record()["checks"] == before["checks"]
    out = capsys.readouterr().out
    assert f"{ALL - 2} of {ALL} runs are missing; the same command goes on with {QUICK_NAMES[2]}" in out
    assert "FID, full over base" in out


def test_runs_of_other_settings_are_dropped(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.ablation()
    machine.made = []
    machine.ablation("--set", "cohort.batch_size=7")
    assert machine.made == []
    capsys.readouterr()
    machine.ablation("--set", "cohort.min_patients=7")
    assert machine.made == list(QUICK_NAMES) and len(machine.record()["details"]["runs"]) == 2 + len(QUICK_NAMES)
    assert f"0 of {ALL} runs are taken over" in capsys.readouterr().err


def test_only_some_arms_have_a_record_of_their_own(machine: Machine) -> None:
    machine.ablation("--arms", "base", "--minutes", "5")
    assert machine.made == ["base"] and not machine.path.exists()
    assert (machine.path.parent / "warehouse" / "_ablation" / machine.path.name).exists()


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"details": {"runs": [{"arm": "base"}]}}', "\ufffd", "old"])
def test_a_record_that_cannot_be_read_is_named_and_replaced(
    machine: Machine, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    run = {"arm": "base", "training_seed": 1, "cohort_seed": 1}
    machine.path.write_text(json.dumps({"details": {"runs": [run]}}) if broken == "old" else broken)
    machine.ablation()
    lines = [line for line in capsys.readouterr().err.splitlines() if "taken over" in line]
    assert len(lines) == 1 and lines[0].startswith("nothing is taken over from")
    assert ("older code wrote it" in lines[0]) == (broken == "old")
    assert machine.made == list(QUICK_NAMES) and machine.record()["details"]["missing"] == []


def test_the_committed_records_can_be_gone_on_with_or_are_refused_in_words() -> None:
    for quick in (True, False):
        record = AblationRecord(Profile("ptbxl-mini", quick=quick), ["base"], Seeds((1,), (1,)), RESULTS)
        assert record.taken_over({Planned("base", 1, 1): "no such key"}) == {}


def test_a_write_that_fails_leaves_the_record_before_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.ablation()
    before = machine.path.read_bytes()

    def power_cut(_: int) -> None:
        raise Stopped

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(Stopped):
        machine.ablation("--set", "cohort.sampler_steps=7")
    assert machine.path.read_bytes() == before
    assert [path.name for path in machine.path.parent.glob("*abl*")] == [machine.path.name]
