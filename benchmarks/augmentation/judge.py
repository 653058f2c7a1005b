"""Choosing among trainings, on fold 9 only: nothing here knows a folder of a test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from benchmarks.augmentation.data import Ecgs
from benchmarks.augmentation.intervals import Metric, mean_over_seeds, resampled, thresholds_of, truth
from benchmarks.augmentation.labelling import Labelling
from benchmarks.augmentation.runs import Results, Run
from models.evaluation.metrics import Estimate


@dataclass(frozen=True)
class Judge:
    """Reads predictions of fold 9.

    Attributes:
        labelling: whose first group of outputs is judged: superclasses, or the one output of a two-sided task.
        validation: recordings of fold 9.
        results: where the predictions are.
    """

    labelling: Labelling
    validation: Ecgs
    results: Results
    _known: dict[tuple[str, ...], Estimate] = field(default_factory=dict, compare=False, repr=False)

    @property
    def metric(self) -> Metric:
        """What is judged by."""
        return "macro AUC" if self.labelling.kind == "all" else "average precision"

    @cached_property
    def _labels(self) -> np.ndarray:
        return self.labelling.of(self.validation)

    def estimate(self, runs: Sequence[Run], samples: int = 0) -> Estimate:
        """The metric of some trainings on fold 9, averaged, with its interval if samples are drawn."""
        key = (str(samples), *(run.key for run in runs))
        if key not in self._known:
            self._known[key] = self._estimate(runs, samples)
        return self._known[key]

    def _estimate(self, runs: Sequence[Run], samples: int) -> Estimate:
        columns = next(iter(self.labelling.groups.values()))
        known = truth(self._labels[:, columns], self.validation.patients, samples, seed=0)
        found = []
        for run in runs:
            scores = self.results.predictions(run)["validation"][:, columns]
            found.append(resampled(self.metric, known, scores, np.full(scores.shape[1], 0.5)))
        return mean_over_seeds(found, seed=0)

    def best(self, candidates: Sequence[Run]) -> Run:
        """The training with the highest metric; the first of equals."""
        return max(candidates, key=lambda run: float(np.nan_to_num(self.estimate([run]).value, nan=-1.0)))

    def thresholds(self, run: Run) -> np.ndarray:
        """(outputs,) thresholds with the highest F1 on fold 9, each over the rows in which its group is known."""
        scores = self.results.predictions(run)["validation"]
        groups = self.labelling.groups.values()
        return np.concatenate([thresholds_of(self._labels[:, each], scores[:, each]) for each in groups])
