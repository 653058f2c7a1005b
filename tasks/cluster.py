"""The Ray cluster: the one that RAY_ADDRESS names, or a local one."""

from __future__ import annotations

import logging
import os
from typing import Any

from tasks.settings import ComputeSettings

MEBIBYTE = 1024**2
QUIET_LOGGERS = ("ray.data", "ray.train", "ray._private")
"""Their progress is told by the stages themselves, in a line that says what is being done."""


def connect(settings: ComputeSettings) -> None:
    """Connect to Ray once per process; later calls do nothing."""
    # Train's state export needs the dashboard, which a local Ray does without: it costs start-up time and memory.
    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "0")
    # Threads that wait for each other sleep instead of spinning; on a shared machine training is ten times faster so.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
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
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
