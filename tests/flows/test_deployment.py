"""`prefect.yaml` against a real server, and the demo deployment run by a real process worker."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from flows.profiles import load_settings
from tests.flows.conftest import BIN, ROOT, SMALL, PrefectServer

pytestmark = pytest.mark.slow


def test_a_worker_runs_the_demo_deployment_to_completion(prefect_server: PrefectServer, tmp_path: Path) -> None:
    created = prefect_server.prefect("work-pool", "create", "einthoven", "--type", "process")
    assert created.returncode == 0, created.stdout + created.stderr
    deployed = prefect_server.prefect("--no-prompt", "deploy", "--all")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert deployed.stdout.count("successfully created") == 21, deployed.stdout

    warehouse = tmp_path / "warehouse"
    overrides = [*(f"{name}={value}" for name, value in SMALL.items()), f"warehouse.uri={warehouse}"]
    settings = load_settings("demo", overrides).model_dump(mode="json")
    log = (tmp_path / "worker.log").open("w")
    command = [str(BIN / "prefect"), "worker", "start", "--pool", "einthoven", "--limit", "1"]
    worker = subprocess.Popen(command, env=prefect_server.environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    try:
        run = prefect_server.prefect(
            "deployment", "run", "release-cohort/demo", "--param", f"settings={json.dumps(settings)}", "--watch"
        )
    finally:
        worker.terminate()
        try:
            worker.wait(60)
        except subprocess.TimeoutExpired:
            worker.kill()  # how it stops is Prefect's business
        log.close()
    worker_log = (tmp_path / "worker.log").read_text()
    assert run.returncode == 0, run.stdout[-2000:] + worker_log[-4000:]
    assert "Completed" in run.stdout
    assert (warehouse / "releases/demo/current/MANIFEST.json").exists(), worker_log[-4000:]
