"""Rows of the `evaluations` table about downstream use: classifiers trained on each kind of data, tested on real."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from models.evaluation import metrics
from models.superclasses import SUPERCLASSES
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row
from tasks.settings import EvaluationSettings


def downstream_rows(
    validation: EcgSet, reported: EcgSet, predictions: dict[str, dict[str, np.ndarray]], settings: EvaluationSettings
) -> Iterator[EvaluationRow]:
    """How well classifiers trained on each kind of data read the real recordings that are reported on.

    Args:
        predictions: training data to "validation" and "reported" to (n, 5) probabilities, "real" among them.
    """
    seed, samples = settings.seed, settings.bootstrap_samples
    kept_validation, kept = validation.labels.any(axis=1), reported.labels.any(axis=1)
    labels, patients = reported.labels[kept], reported.patients[kept]
    n = int(kept.sum())
    found: dict[str, list[EvaluationRow]] = {}
    for trained_on, of_split in predictions.items():
        scores = of_split["reported"][kept]
        # Thresholds come from real validation recordings, for every training set alike.
        thresholds = metrics.best_thresholds(
            validation.labels[kept_validation], of_split["validation"][kept_validation]
        )
        called = scores >= thresholds
        rows = [
            evaluation_row(
                "downstream",
                "macro AUC",
                trained_on,
                metrics.macro_auc(labels, scores, patients, samples, seed),
                n,
                seed,
            )
        ]
        f1 = metrics.bootstrap(partial(metrics.macro_f1, labels, called), patients, samples, seed)
        rows.append(evaluation_row("downstream", "macro F1", trained_on, f1, n, seed))
        balanced = metrics.bootstrap(partial(metrics.macro_balanced_accuracy, labels, called), patients, samples, seed)
        rows.append(evaluation_row("downstream", "balanced accuracy", trained_on, balanced, n, seed))
        for index, name in enumerate(SUPERCLASSES):
            estimate = metrics.auc(labels[:, index], scores[:, index], patients, samples, seed)
            rows.append(evaluation_row("downstream", f"AUC {name}", trained_on, estimate, n, seed))
        found[trained_on] = rows
    for trained_on, rows in found.items():
        for one, real in zip(rows, found["real"], strict=True):
            yield {**one, "reference": None if trained_on == "real" else real["value"]}
    baseline = predictions["real"]["reported"][kept]
    for trained_on, of_split in predictions.items():
        if trained_on != "real":
            gain = metrics.macro_auc_gain(labels, of_split["reported"][kept], baseline, patients, samples, seed)
            yield evaluation_row("downstream", "macro AUC gain over real", trained_on, gain, n, seed, reference=0.0)
