"""The Ray cluster: the one that RAY_ADDRESS names, or a local one."""

from __future__ import annotations

import logging
import os

import ray

from tasks.settings import ComputeSettings

MEBIBYTE = 1024**2


def connect(settings: ComputeSettings) -> None:
    """Connect to Ray once per process; later calls do nothing."""
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "0")
    # Metrics and dashboard are for clusters; locally they cost start-up time and memory.
    common = {"log_to_driver": True, "logging_level": logging.WARNING, "configure_logging": True}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**common)
        return
    ray.init(
        num_cpus=settings.cpus or os.cpu_count(),
        object_store_memory=settings.object_store_mb * MEBIBYTE,
        include_dashboard=False,
        **common,
    )
