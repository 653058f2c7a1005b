"""The Ray cluster: the one that RAY_ADDRESS names, or a local one."""

from __future__ import annotations

import logging
import os
from typing import Any

from tasks.settings import ComputeSettings
from warehouse.errors import EinthovenError

MEBIBYTE = 1024**2
ENVIRONMENT = {
    # Train's state export needs the dashboard, which a local Ray does without: it costs start-up time and memory.
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    # Threads that wait for each other spin for microseconds, then sleep. A step of the denoiser takes two cores 0.29 s
    # so, 0.45 s if they sleep at once; if they spin for longer, training beside other work is several times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "2000",
    # The stages tell their progress themselves, in lines that say what is being done.
    "RAY_DATA_LOG_LEVEL": "ERROR",
    "RAY_DEDUP_LOGS": "0",
}
"""What Ray and its workers find in the environment; what the user has set wins."""


def connect(settings: ComputeSettings) -> None:
    """Connect to Ray once per process; later calls do nothing."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        return
    common: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": True}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**common)
    else:
        ray.init(
            num_cpus=settings.cpus or os.cpu_count(),
            object_store_memory=settings.object_store_mb * MEBIBYTE,
            include_dashboard=False,
            **common,
        )


def result_of(job: Any) -> Any:
    """Wait for a Ray task and return its result; its own error, if it ended with one that is meant for people."""
    import ray

    try:
        return ray.get(job)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EinthovenError):
            raise error.cause from None
        raise
