"""Bad input and bad luck: one clear line, a non-zero exit, nothing half-written visible, and a run that continues."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import duckdb
import pytest

from tests.flows.conftest import BIN, ROOT, PrefectServer, small_release
from warehouse.sources.ptbxl import SIMULATED_MARK
from warehouse.storage.store import Store

pytestmark = pytest.mark.slow


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


@pytest.mark.parametrize("damage", ["empty", "columns", "records"])
def test_a_dataset_that_cannot_be_read_is_explained(
    damage: str, prefect_server: PrefectServer, published: Path, tmp_path: Path
) -> None:
    dataset = tmp_path / "dataset"
    source = next((published / "source").glob("*/ptbxl_database.csv")).parent
    if damage == "empty":
        dataset.mkdir()
        expected = f"{dataset} is empty"
    else:
        subprocess.run(["cp", "-r", str(source), str(dataset)], check=True)
        (dataset / "MANIFEST.json").unlink()
        (dataset / SIMULATED_MARK).unlink()  # as if it were of people: no reader takes the one for the other
        table = dataset / "ptbxl_database.csv"
        if damage == "columns":
            header, rest = table.read_text().split("\n", 1)
            table.write_text(header.replace("scp_codes", "codes") + "\n" + rest)
            expected = "scp_codes"
        else:
            for record in dataset.rglob("*.dat"):
                record.write_bytes(b"")
            expected = "quarantine"
    warehouse = tmp_path / "warehouse"
    done = prefect_server.einthoven(
        "ingest", "--profile", "ptbxl-mini", "--data", str(dataset), "--warehouse", str(warehouse)
    )
    assert done.returncode == 1
    assert last_line(done.stderr).startswith("einthoven: ")
    assert expected in last_line(done.stderr)
    assert "Traceback" not in done.stderr
    assert not list((warehouse / "recordings").glob("*"))


def test_an_unwritable_warehouse_is_named(prefect_server: PrefectServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = prefect_server.einthoven(*small_release(tmp_path / "file" / "warehouse"))
    assert done.returncode == 1
    assert str(tmp_path / "file") in last_line(done.stderr)
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One warehouse in which a release is begun and killed again and again."""
    return tmp_path_factory.mktemp("interrupted") / "warehouse"


@pytest.mark.parametrize(
    ("kind", "until"),
    [
        ("recordings", "_staging/recordings-*/recordings/part-*"),
        ("knowledge", "_cache/knowledge/*.json"),
        ("autoencoder", "_staging/autoencoder-*/_ray/*-autoencoder/checkpoint_manager_snapshot.json"),
        ("model", "_staging/model-*/_ray"),
        ("cohort", "_staging/cohort-*/cohorts/part-*"),
        ("evaluation", "classifier/*/MANIFEST.json"),
        ("audit", "_staging/audit-*/"),
        ("releases", "_staging/release-*/MANIFEST.json"),
    ],
)
def test_a_killed_run_shows_nothing_half_written(
    kind: str, until: str, prefect_server: PrefectServer, interrupted: Path, tmp_path: Path
) -> None:
    _run_and_kill_when(prefect_server, interrupted, until, tmp_path / "killed.log")
    assert not list(interrupted.glob(f"{kind}/*")), f"{kind} must not show before it is whole"


def test_a_run_that_was_killed_in_every_stage_ends_with_the_same_release(
    prefect_server: PrefectServer, interrupted: Path, published: Path
) -> None:
    done = prefect_server.einthoven(*small_release(interrupted))
    assert done.returncode == 0, done.stderr[-4000:]
    (knowledge,), (autoencoder,) = (Store(str(interrupted)).committed(kind) for kind in ("knowledge", "autoencoder"))
    assert knowledge.facts["cached"] >= 1, "answers of the language model are kept"
    steps = {one["step"] for one in autoencoder.facts["history"] if one["stage"] == "autoencoder"}
    assert steps & {11, 21}, "training goes on after a checkpoint"
    rows = "select row_number, row_seed, condition, lead_i, lead_v6 from cohorts where dataset_id = ? order by 1"
    assert _rows(interrupted, rows) == _rows(published, rows)
    for name in ("evaluation.json", "audit.json"):
        again, once = (json.loads((one / "releases/demo/v1" / name).read_text()) for one in (interrupted, published))
        assert again == once
    assert prefect_server.einthoven("verify", "--warehouse", str(interrupted), "demo").returncode == 0


def _run_and_kill_when(server: PrefectServer, warehouse: Path, pattern: str, log: Path) -> None:
    """Start a release and kill it, with all its Ray processes, as soon as a file of the pattern exists."""
    command = [str(BIN / "einthoven"), *small_release(warehouse)]
    with log.open("w") as output:
        run = subprocess.Popen(
            command, env=server.environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        deadline = time.monotonic() + 300
        while not list(warehouse.glob(pattern)):
            assert run.poll() is None, f"ended before {pattern} appeared:\n{log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"{pattern} never appeared:\n{log.read_text()[-3000:]}"
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def _rows(warehouse: Path, sql: str) -> list[tuple]:
    """Rows of the 48-row cohort."""
    with duckdb.connect(str(warehouse / "catalog.duckdb"), read_only=True) as connection:
        found = connection.execute("select dataset_id from cohorts group by 1 having count(*) = 48").fetchall()
        assert len(found) == 1
        return connection.execute(sql, [found[0][0]]).fetchall()
