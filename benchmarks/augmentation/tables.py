"""From arms to rows: every metric of every arm on every test set, and its difference to the best classical one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.augmentation.comparison import Arm, Comparison
from benchmarks.augmentation.data import Ecgs
from benchmarks.augmentation.intervals import (
    BINARY_METRICS,
    METRICS,
    Metric,
    Truth,
    difference,
    mean_over_seeds,
    resampled,
    truth,
)
from benchmarks.augmentation.recipes import Family
from benchmarks.augmentation.runs import Run
from models.evaluation.metrics import Estimate
from models.superclasses import SUPERCLASSES

SMALLEST_SITE_COUNT = 5
"""Positives and negatives that a label needs in another hospital's recordings."""
Row = dict[str, Any]


@dataclass(frozen=True)
class ReportedSet:
    """Recordings that a comparison is reported on.

    Attributes:
        name: `test` for fold 10, or a site.
        ecgs: its recordings.
        superclasses, statements: labels that the site codes; None for all.
    """

    name: str
    ecgs: Ecgs
    superclasses: tuple[str, ...] | None = None
    statements: tuple[str, ...] | None = None


@dataclass
class Tables:
    """Rows of one comparison.

    Attributes:
        comparison: what was compared.
        samples, seed: of the bootstrap.
    """

    comparison: Comparison
    samples: int
    seed: int = 1
    _values: dict[tuple[str, str, str, Metric], np.ndarray] = field(default_factory=dict)

    def rows(self, arms: Sequence[Arm], test_sets: Sequence[ReportedSet]) -> list[Row]:
        """All rows; what cannot be computed has no value and says so in `flag`."""
        found = []
        for one in test_sets:
            for group, columns in self._groups(one).items():
                known = truth(
                    self.comparison.labelling.of(one.ecgs)[:, columns], one.ecgs.patients, self.samples, self.seed
                )
                for arm in arms:
                    found += self._arm_rows(arm, arms, one, group, columns, known)
        return found

    def best(self, arms: Sequence[Arm], share: float, family: Family) -> Arm | None:
        """The recipe of a family that is best at a share, on fold 9, over all seeds."""
        candidates = [arm for arm in arms if arm.share == share and arm.recipe.family == family]
        judge = self.comparison.judge
        return max(candidates, key=lambda arm: judge.estimate(arm.runs).value) if candidates else None

    def _groups(self, one: ReportedSet) -> dict[str, np.ndarray]:
        """Group to the columns that the set can judge."""
        labelling = self.comparison.labelling
        outputs = np.arange(next(reversed(labelling.groups.values())).stop)
        if one.superclasses is None or one.statements is None:
            return {name: outputs[columns] for name, columns in labelling.groups.items()}
        names = (*SUPERCLASSES, *labelling.statements)
        labels = labelling.of(one.ecgs)
        enough = ((labels == 1).sum(axis=0) >= SMALLEST_SITE_COUNT) & ((labels == 0).sum(axis=0) >= SMALLEST_SITE_COUNT)
        coded = np.array([name in (*one.superclasses, *one.statements) for name in names])
        found = {name: outputs[columns][(enough & coded)[columns]] for name, columns in labelling.groups.items()}
        return {name: columns for name, columns in found.items() if len(columns)}

    def _arm_rows(
        self, arm: Arm, arms: Sequence[Arm], one: ReportedSet, group: str, columns: np.ndarray, known: Truth
    ) -> list[Row]:
        comparison = self.comparison
        reference = self.best(arms, arm.share, "classical")
        simulator = self.best(arms, arm.share, "simulator")
        outcome = comparison.jobs.results.outcome(arm.runs[0])
        rows = []
        for metric in METRICS if comparison.labelling.kind == "all" else BINARY_METRICS:
            values = self._of(arm.runs, one, group, columns, metric, known)
            row: Row = {
                "regime": comparison.supply.regime,
                "task": comparison.labelling.name,
                "labels": group,
                "outputs": len(columns),
                "set": one.name,
                "classifier": comparison.classifier,
                "share": arm.share,
                "recipe": arm.recipe.name,
                "family": arm.recipe.family,
                "metric": metric,
                **_interval("", mean_over_seeds(values, self.seed)),
                "best_classical": reference.recipe.name if reference else None,
                "n": len(known.rows),
                "patients": len(np.unique(one.ecgs.patients[known.rows])),
                "seeds": [run.seed for run in arm.runs],
                "real_ecgs": outcome.real_rows,
                "made_ecgs": outcome.made_rows,
                "learning_rate": arm.optimisation.learning_rate,
                "steps": arm.optimisation.steps,
                "fold_9": _number(comparison.judge.estimate(arm.runs).value),
            }
            for name, other in (("gain", reference), ("gain_over_simulator", simulator)):
                if other is not None and arm.recipe.family == "synthetic":
                    base = self._of(other.runs, one, group, columns, metric, known)
                    row |= _interval(name, difference(values, base, self.seed))
            row["flag"] = None if row["value"] is not None else "too few recordings with and without the label"
            rows.append(row)
        return rows

    def _of(
        self, runs: Sequence[Run], one: ReportedSet, group: str, columns: np.ndarray, metric: Metric, known: Truth
    ) -> list[np.ndarray]:
        found = []
        for run in runs:
            key = (run.key, one.name, group, metric)
            if key not in self._values:
                scores = self.comparison.jobs.results.predictions(run)[one.name][:, columns]
                thresholds = self.comparison.judge.thresholds(run)[columns]
                self._values[key] = resampled(metric, known, scores, thresholds)
            found.append(self._values[key])
        return found


def _interval(name: str, estimate: Estimate) -> Mapping[str, float | None]:
    prefix = f"{name}_" if name else ""
    return {
        f"{prefix}value": _number(estimate.value),
        f"{prefix}low": _number(estimate.low),
        f"{prefix}high": _number(estimate.high),
    }


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
