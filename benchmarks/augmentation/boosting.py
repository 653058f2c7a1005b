"""The second kind of classifier: gradient boosting on measured features, one ensemble of trees per label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.augmentation.examples import Examples
from benchmarks.augmentation.network import Optimisation
from benchmarks.augmentation.recipes import Recipe, class_weights

SMALLEST_LEAF: Final = 10
LEAVES: Final = 15


class Boosting:
    """Trees per label; a label whose training rows are all alike gets their share of positives."""

    def __init__(self, labels: list[HistGradientBoostingClassifier | float]) -> None:
        self.labels = labels

    def read(self, measurements: np.ndarray) -> np.ndarray:
        """Probabilities (n, outputs) from (n, features)."""
        columns = [
            np.full(len(measurements), one) if isinstance(one, float) else one.predict_proba(measurements)[:, 1]
            for one in self.labels
        ]
        return np.column_stack(columns).astype(np.float32)


def train_boosting(parts: Sequence[Examples], recipe: Recipe, optimisation: Optimisation, seed: int) -> Boosting:
    """Train one ensemble per label. A part weighs its share, however many rows it has.

    The measurements are those that the warehouse holds: heart rate, intervals, axis, and ST level, T and R amplitude
    per lead.
    """
    features = np.concatenate([part.ecgs.measurements for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    weights = np.concatenate(
        [
            part.share
            * (np.full(len(part.labels), 1 / len(part.labels)) if part.probability is None else part.probability)
            for part in parts
        ]
    )
    weights = weights / weights.mean()
    of_positives = class_weights(labels) if recipe.class_weights else np.ones(labels.shape[1])
    found: list[HistGradientBoostingClassifier | float] = []
    for output in range(labels.shape[1]):
        rows = np.isfinite(labels[:, output])
        positive = labels[rows, output] == 1
        if not rows.any() or positive.all() or not positive.any():
            found.append(float(positive.mean()) if rows.any() else 0.5)
            continue
        trees = HistGradientBoostingClassifier(
            learning_rate=optimisation.learning_rate,
            max_iter=optimisation.steps,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=SMALLEST_LEAF,
            early_stopping=False,
            random_state=seed,
        )
        weight = weights[rows] * np.where(positive, of_positives[output], 1.0)
        found.append(trees.fit(features[rows], positive, sample_weight=weight))
    return Boosting(found)
