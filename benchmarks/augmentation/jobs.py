"""Many runs through Ray, one task a training; those whose result is there are not made again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.augmentation.data import LearningPlaces
from benchmarks.augmentation.runs import Results, Run, score, tune
from tasks.settings import ComputeSettings

GPU_SHARE: Final = 0.125
"""Of a GPU per training; a network of this size leaves most of one idle."""


class TimeUpError(Exception):
    """No run is begun after the time that the call was given."""


@dataclass
class Jobs:
    """How runs are made.

    Attributes:
        results: where they are kept.
        compute: how Ray is used.
        gpu: whether trainings share a GPU.
        minutes: after which no run is begun; None for no limit.
        made, found: runs made by this call, and those that were there.
        seconds: that all of them took.
    """

    results: Results
    compute: ComputeSettings
    gpu: bool = False
    minutes: float | None = None
    started: float = field(default_factory=time.monotonic)
    made: int = 0
    found: int = 0
    seconds: float = 0.0

    def tune(self, runs: Mapping[Run, LearningPlaces]) -> None:
        """Train every run and read fold 9; no folder of a test set is at hand here."""
        self._make(runs, tune, ())

    def score(self, runs: Mapping[Run, LearningPlaces], test_sets: Mapping[str, str]) -> None:
        """Train every run and read the test sets."""
        self._make(runs, score, (dict(test_sets),))

    def _make(self, runs: Mapping[Run, LearningPlaces], work: Callable[..., None], extra: Sequence[object]) -> None:
        missing = [run for run in runs if not self.results.has(run)]
        self.found += len(runs) - len(missing)
        self.seconds += sum(self.results.outcome(run).seconds for run in runs if run not in missing)
        if not missing:
            return
        import ray

        from tasks.cluster import connect, result_of

        connect(self.compute)
        remote = ray.remote(num_cpus=1, num_gpus=GPU_SHARE if self.gpu else 0)(_alone)
        slots = max(1, int(ray.cluster_resources().get("CPU", 1)))
        running: dict[object, Run] = {}
        while missing or running:
            while missing and len(running) < slots and not self._time_up:
                run = missing.pop(0)
                device = "cuda" if self.gpu else "cpu"
                running[remote.remote(work, run, runs[run], *extra, self.results, device)] = run
            if not running:
                raise TimeUpError
            for job in ray.wait(list(running))[0]:
                run = running.pop(job)
                result_of(job)
                self.made += 1
                seconds = self.results.outcome(run).seconds
                self.seconds += seconds
                print(f"{_name(run)}: {seconds:.0f} s, {len(missing) + len(running)} left", file=sys.stderr)

    @property
    def _time_up(self) -> bool:
        return self.minutes is not None and time.monotonic() - self.started > 60 * self.minutes


def _alone(work: Callable[..., None], *arguments: object) -> None:
    """Work on one thread: more would round differently, and others train meanwhile."""
    import torch

    torch.set_num_threads(1)
    work(*arguments)


def _name(run: Run) -> str:
    share = "" if run.made_of.made_only else f" at {run.share:.1%}"
    return f"{run.purpose} {run.labelling.name}, {run.classifier}, {run.recipe}{share}, seed {run.seed}"
