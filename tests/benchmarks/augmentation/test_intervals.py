"""Metrics and paired bootstrap, against independent implementations and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from benchmarks.augmentation.intervals import difference, mean_over_seeds, resampled, thresholds_of, truth

RANDOM = np.random.default_rng(1)
LABELS = (RANDOM.random((400, 3)) < 0.3).astype(float)
SCORES = np.clip(0.5 * LABELS + RANDOM.random((400, 3)) * 0.7, 0, 1)
HALF = np.full(3, 0.5)
ALONE = np.arange(400)


def test_values_are_those_of_scikit_learn() -> None:
    known = truth(LABELS, ALONE, 2, seed=1)
    called = SCORES >= HALF
    found = {metric: resampled(metric, known, SCORES, HALF)[0] for metric in ("macro AUC", "macro F1")}
    assert found["macro AUC"] == pytest.approx(roc_auc_score(LABELS, SCORES, average="macro"))
    assert found["macro F1"] == pytest.approx(f1_score(LABELS, called, average="macro"))
    balanced = np.mean([balanced_accuracy_score(LABELS[:, one], called[:, one]) for one in range(3)])
    assert resampled("balanced accuracy", known, SCORES, HALF)[0] == pytest.approx(balanced)
    first = truth(LABELS[:, :1], ALONE, 2, seed=1)
    precision = resampled("average precision", first, SCORES[:, :1], HALF[:1])
    assert precision[0] == pytest.approx(average_precision_score(LABELS[:, 0], SCORES[:, 0]))


def test_rows_that_say_nothing_are_left_out() -> None:
    labels = LABELS.copy()
    labels[:100] = np.nan
    known = truth(labels, ALONE, 5, seed=1)
    assert list(known.rows) == list(range(100, 400)) and known.weights.shape == (6, 300)
    value = resampled("macro AUC", known, SCORES, HALF)[0]
    assert value == pytest.approx(roc_auc_score(LABELS[100:], SCORES[100:], average="macro"))


def test_an_undefined_metric_has_no_value() -> None:
    nobody = truth(np.zeros((20, 1)), np.arange(20), 4, seed=1)
    for metric in ("macro AUC", "macro F1", "balanced accuracy", "average precision"):
        assert np.isnan(resampled(metric, nobody, RANDOM.random((20, 1)), HALF[:1])).all()


def test_an_interval_is_as_wide_as_the_closed_form_says() -> None:
    """Balanced accuracy of independent patients: half the root of the summed binomial variances."""
    labels = np.repeat([1.0, 0.0], [400, 1600])[:, None]
    right = np.concatenate([np.arange(400) % 10 < 8, np.arange(1600) % 10 < 9])
    scores = np.where(right, labels[:, 0], 1 - labels[:, 0])[:, None]
    known = truth(labels, np.arange(2000), 4000, seed=1)
    found = mean_over_seeds([resampled("balanced accuracy", known, scores, HALF[:1])], seed=1)
    error = 0.5 * np.sqrt(0.8 * 0.2 / 400 + 0.9 * 0.1 / 1600)
    assert found.value == pytest.approx(0.85)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.06)


def test_patients_are_the_units() -> None:
    """Ten equal recordings of each patient say no more than one."""
    one = truth(LABELS, ALONE, 400, seed=1)
    ten = truth(np.repeat(LABELS, 10, axis=0), np.repeat(ALONE, 10), 400, seed=1)
    narrow = mean_over_seeds([resampled("macro AUC", one, SCORES, HALF)], seed=1)
    same = mean_over_seeds([resampled("macro AUC", ten, np.repeat(SCORES, 10, axis=0), HALF)], seed=1)
    assert same == pytest.approx(narrow)


def test_differences_are_paired() -> None:
    known = truth(LABELS, ALONE, 300, seed=1)
    one = [resampled("macro AUC", known, SCORES, HALF) for _ in range(2)]
    alike = [resampled("macro AUC", known, SCORES + 0.05 * RANDOM.random(SCORES.shape), HALF) for _ in range(2)]
    assert difference(one, one, seed=1) == (0.0, 0.0, 0.0)
    paired, alone = difference(alike, one, seed=1), mean_over_seeds(one, seed=1)
    assert paired.high - paired.low < 0.3 * (alone.high - alone.low)
    with pytest.raises(ValueError, match="2 trainings cannot be paired with 1"):
        difference(one, one[:1], seed=1)


def test_trainings_that_differ_widen_the_interval() -> None:
    known = truth(LABELS, ALONE, 300, seed=1)
    good = resampled("macro AUC", known, SCORES, HALF)
    poor = resampled("macro AUC", known, RANDOM.random(SCORES.shape), HALF)
    one, both = mean_over_seeds([good, good], seed=1), mean_over_seeds([good, poor], seed=1)
    assert both.value == pytest.approx((good[0] + poor[0]) / 2)
    assert both.high - both.low > 3 * (one.high - one.low)


def test_thresholds_come_from_what_they_are_given() -> None:
    labels = np.array([[1.0], [1.0], [0.0], [np.nan]])
    assert thresholds_of(labels, np.array([[0.9], [0.4], [0.3], [0.95]])) == [0.4]
