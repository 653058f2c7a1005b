"""Engines shared by the whole test session: started once, since start-up costs more than most tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.stage_outputs import StageOutputs

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real ECG datasets: EINTHOVEN_DATA, else ../shared/data beside the repository; without them tests are skipped."""
    named = os.environ.get("EINTHOVEN_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if folder.is_dir():
        return folder
    advice = f"{folder} does not exist; set EINTHOVEN_DATA to a folder that holds ptbxl/, ludb/, cinc2021/ …"
    if named:
        pytest.fail(advice)
    pytest.skip(advice)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One local Ray for the session."""
    import ray

    from tasks.cluster import connect
    from tasks.settings import ComputeSettings

    connect(ComputeSettings())
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def stage_outputs(tmp_path_factory: pytest.TempPathFactory) -> StageOutputs:
    """Every stage run small, each when a test first asks for it: what it made is compared with its digest, and looked
    at by the tests of the stage."""
    from tests.stage_outputs import StageOutputs

    return StageOutputs(tmp_path_factory.mktemp("stages"))
