"""A real Prefect server, and one small release that many tests look at."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

# The demo profile, every stage real and as small as it can be. Bounds are loose and need no power because so few
# recordings leave wide intervals; the gate has tests of its own.
SMALL = {
    "source.simulation.recordings": 140,
    "ingestion.recordings_per_part": 32,
    "knowledge.min_patients": 8,
    "knowledge.max_conditions": 2,
    "knowledge.max_attempts": 1,
    "training.autoencoder.steps": 30,
    "training.prior.steps": 30,
    "training.diffusion.steps": 30,
    "training.detail.steps": 30,
    "training.checkpoint_every_steps": 10,
    "cohort.min_patients": 5,
    "cohort.size": 48,
    "cohort.rows_per_part": 16,
    "cohort.sampler_steps": 4,
    "evaluation.classifier_steps": 20,
    "evaluation.discriminator_steps": 10,
    "evaluation.alignment.steps": 20,
    "evaluation.bootstrap_samples": 20,
    "privacy.bootstrap_samples": 20,
    "privacy.encoder.steps": 20,
    "privacy.max_beat_share": 1.0,
    "privacy.max_membership_auc": 1.0,
    "privacy.max_membership_tpr_at_10": 1.0,
    "privacy.min_power": 0.0,
}


def small_release(warehouse: Path, **changed: object) -> list[str]:
    """Arguments of the command line that publish a small release."""
    overrides = {**SMALL, **{name.replace("__", "."): value for name, value in changed.items()}}
    sets = [part for name, value in overrides.items() for part in ("--set", f"{name}={value}")]
    return ["release", "--profile", "demo", "--warehouse", str(warehouse), *sets]


@dataclass(frozen=True)
class PrefectServer:
    """A running server and the environment that points at it."""

    url: str
    environment: dict[str, str]

    def einthoven(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line as a person would."""
        return self._run("einthoven", arguments)

    def prefect(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Prefect's own command line."""
        return self._run("prefect", arguments)

    def _run(self, program: str, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / program), *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server of its own, on a free port, with an empty database."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # How often Prefect's worker asks for runs, and Ray Train looks at its workers: every 10 and 2 seconds else.
        "PREFECT_WORKER_QUERY_SECONDS": "0.5",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    }
    log = (home / "server.log").open("w")
    command = [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_healthy(url, home / "server.log")
        yield PrefectServer(url, environment)
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def _wait_until_healthy(url: str, log: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the Prefect server did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def published(prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with one small release, made by the command line."""
    warehouse = tmp_path_factory.mktemp("published") / "warehouse"
    done = prefect_server.einthoven(*small_release(warehouse))
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    return warehouse
