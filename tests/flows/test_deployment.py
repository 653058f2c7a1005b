"""`prefect.yaml` against a real server, and its deployments run by a real process worker."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from flows.profiles import load_settings
from flows.release import of_month
from tasks.settings import Settings
from tests.flows.conftest import BIN, ROOT, SMALL, PrefectServer
from warehouse.storage.store import Store

DEPLOYMENTS = 4 * 8
"""Eight flows for each profile."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def deployed(prefect_server: PrefectServer) -> PrefectServer:
    """A server that knows every deployment."""
    created = prefect_server.prefect("work-pool", "create", "einthoven", "--type", "process")
    assert created.returncode == 0, created.stdout + created.stderr
    done = prefect_server.prefect("--no-prompt", "deploy", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("successfully created") == DEPLOYMENTS, done.stdout
    return prefect_server


@pytest.fixture(scope="module")
def worker_log(deployed: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a process worker that runs deployments has written."""
    path = tmp_path_factory.mktemp("worker") / "worker.log"
    command = [str(BIN / "prefect"), "worker", "start", "--pool", "einthoven", "--limit", "1"]
    with path.open("w") as log:
        worker = subprocess.Popen(command, env=deployed.environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        yield path
        worker.terminate()
        try:
            worker.wait(60)
        except subprocess.TimeoutExpired:
            worker.kill()  # how it stops is Prefect's business


def run(server: PrefectServer, worker_log: Path, deployment: str, *arguments: str) -> None:
    """Run a deployment to completion."""
    done = server.prefect("deployment", "run", deployment, *arguments, "--watch")
    assert done.returncode == 0 and "Completed" in done.stdout, done.stdout[-2000:] + worker_log.read_text()[-4000:]


@pytest.mark.parametrize(
    ("deployment", "cron", "parameters"),
    [
        ("release-cohort/ptbxl", "0 3 1 * *", {"month": "scheduled"}),
        ("verify-releases/ptbxl", "0 5 * * *", {}),
    ],
)
def test_schedules_are_there_and_paused(
    deployed: PrefectServer, deployment: str, cron: str, parameters: dict[str, str]
) -> None:
    with urllib.request.urlopen(f"{deployed.url}/deployments/name/{deployment}", timeout=30) as found:
        (scheduled,) = json.load(found)["schedules"]
    assert (scheduled["schedule"]["cron"], scheduled["schedule"]["timezone"]) == (cron, "UTC")
    assert scheduled["parameters"] == parameters
    assert scheduled["active"] is False


def test_deployments_have_the_settings_of_their_profile(deployed: PrefectServer) -> None:
    request = urllib.request.Request(
        f"{deployed.url}/deployments/filter", b"{}", {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = json.load(answer)
    assert len(found) == DEPLOYMENTS
    for one in found:
        assert Settings.model_validate(one["parameters"]["settings"]) == load_settings(one["name"])


def test_a_worker_publishes_month_after_month_and_checks_night_after_night(
    deployed: PrefectServer, worker_log: Path, published: Path, tmp_path: Path
) -> None:
    warehouse = tmp_path / "warehouse"
    shutil.copytree(published, warehouse, symlinks=True)
    # A smaller cohort than the first one, and no classifiers of ECGs: what a month makes anew is soon made.
    smaller = {**SMALL, "cohort.size": 24, "evaluation.downstream": False, "warehouse.uri": warehouse}
    settings = load_settings("demo", [f"{name}={value}" for name, value in smaller.items()])
    given = f"settings={settings.model_dump_json()}"
    before = {path.parent for path in warehouse.glob("*/*/MANIFEST.json")}
    months = {f"{datetime.now(UTC):%Y-%m}"}
    for month in ("scheduled", "2031-02"):
        run(deployed, worker_log, "release-cohort/demo", "--param", given, "--param", f"month={month}")
    # Of what the command line made, everything but the cohort and what is said of it is used again.
    made = {path.parent for path in warehouse.glob("*/*/MANIFEST.json")} - before
    assert Counter(path.parent.name for path in made) == {"cohort": 2, "evaluation": 2, "audit": 2}
    releases = warehouse / "releases" / "demo"
    assert sorted(path.name for path in releases.glob("v*")) == ["v1", "v2", "v3"]
    assert (releases / "current").readlink() == Path("v3")
    months |= {f"{datetime.now(UTC):%Y-%m}"}  # in case that a month ended meanwhile
    seeds = [manifest.lineage.settings["seed"] for manifest in Store(str(warehouse)).committed("cohort")]
    assert seeds[0] == settings.cohort.seed and seeds[2] == of_month(settings, "2031-02").cohort.seed
    assert seeds[1] in {of_month(settings, month).cohort.seed for month in months}
    tables = [pq.read_table(releases / f"v{number}" / "cohorts", columns=["row_seed"]) for number in (1, 2, 3)]
    assert pc.count_distinct(pa.concat_tables(tables)["row_seed"]).as_py() == SMALL["cohort.size"] + 2 * 24

    # With the parameters it was deployed with, in the warehouse that the worker's environment names.
    variables = ("--job-variable", f"env={json.dumps({'WAREHOUSE_URI': str(warehouse)})}")
    run(deployed, worker_log, "verify-releases/demo", *variables)
    report = releases / "v3" / "report.html"
    report.chmod(0o644)
    report.write_text("changed at night")
    night = deployed.prefect("deployment", "run", "verify-releases/demo", *variables, "--watch")
    assert night.returncode != 0 and "Failed" in night.stdout, night.stdout
    assert "1 of 1 current releases do not verify: demo v3: checksums: changed: report.html" in worker_log.read_text()
