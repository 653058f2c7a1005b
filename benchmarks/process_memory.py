"""Memory of a process and of all that it starts, watched while they run."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final

import psutil  # type: ignore[import-untyped]

EVERY_S: Final = 0.5


class ProcessMemory:
    """The largest sum, over a process and its descendants, of the proportional set size.

    Each page counts once, in shares of those that hold it: shared libraries and Ray's object store are not counted
    again for every worker.
    """

    def __init__(self, pid: int) -> None:
        self.largest_mb = 0.0
        self._pid = pid
        self._done = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ProcessMemory:
        self._watching.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._watching.join()

    def _watch(self) -> None:
        while not self._done.wait(EVERY_S):
            self.largest_mb = max(self.largest_mb, _megabytes(self._pid))


def _megabytes(pid: int) -> float:
    """What a process and its descendants hold now, MiB; those that have just ended count nothing."""
    total = 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for process in family:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total / 2**20
