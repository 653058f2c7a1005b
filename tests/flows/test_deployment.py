"""`prefect.yaml` against a real server, and its deployments run by a real process worker."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.profiles import load_settings
from tests.flows.conftest import BIN, ROOT, SMALL, PrefectServer
from warehouse.storage.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def deployed(prefect_server: PrefectServer) -> PrefectServer:
    """A server that knows every deployment."""
    created = prefect_server.prefect("work-pool", "create", "einthoven", "--type", "process")
    assert created.returncode == 0, created.stdout + created.stderr
    done = prefect_server.prefect("--no-prompt", "deploy", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("successfully created") == 21, done.stdout
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


def test_the_monthly_release_is_scheduled_and_paused(deployed: PrefectServer) -> None:
    with urllib.request.urlopen(f"{deployed.url}/deployments/name/release-cohort/ptbxl", timeout=30) as found:
        (scheduled,) = json.load(found)["schedules"]
    assert scheduled["schedule"]["cron"] == "0 3 1 * *"
    assert scheduled["schedule"]["timezone"] == "UTC"
    assert scheduled["active"] is False


def test_a_worker_runs_a_deployment_with_the_parameters_it_was_deployed_with(
    deployed: PrefectServer, worker_log: Path, tmp_path: Path
) -> None:
    warehouse = tmp_path / "warehouse"
    variables = f"env={json.dumps({'WAREHOUSE_URI': str(warehouse)})}"
    run(deployed, worker_log, "ingest-dataset/demo", "--job-variable", variables)
    (recordings,) = Store(str(warehouse)).committed("recordings")
    settings = load_settings("demo")
    refused = settings.source.simulation.damaged_files
    assert recordings.rows == settings.source.simulation.recordings - refused
    assert recordings.facts["quarantined"] and sum(recordings.facts["quarantined"].values()) == refused


def test_a_worker_finds_what_the_command_line_made(deployed: PrefectServer, worker_log: Path, published: Path) -> None:
    overrides = [*(f"{name}={value}" for name, value in SMALL.items()), f"warehouse.uri={published}"]
    settings = load_settings("demo", overrides).model_dump_json()
    before = {path: path.stat().st_mtime_ns for path in published.glob("*/*/MANIFEST.json")}
    run(deployed, worker_log, "release-cohort/demo", "--param", f"settings={settings}")
    assert before == {path: path.stat().st_mtime_ns for path in published.glob("*/*/MANIFEST.json")}
    assert [path.name for path in (published / "releases/demo").glob("v*")] == ["v1"]
