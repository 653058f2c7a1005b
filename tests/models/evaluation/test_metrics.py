"""Metrics against other implementations, closed forms and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from models.evaluation import metrics


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_auc_agrees_with_scikit_learn_with_ties_and_weights(rng: np.random.Generator) -> None:
    positive = rng.random(300) < 0.3
    scores = np.round(positive + rng.normal(0, 1.5, 300), 1)
    weights = rng.integers(0, 4, (5, 300)).astype(float)
    found = metrics.weighted_auc(positive, scores, weights)
    expected = [roc_auc_score(positive, scores, sample_weight=each) for each in weights]
    assert found == pytest.approx(expected)


def test_auc_is_unknown_without_both_classes() -> None:
    found = metrics.auc(np.ones(5, bool), np.arange(5.0), np.arange(5), 50, 1)
    assert np.isnan(found).all()


def test_macro_auc_leaves_out_a_class_that_nobody_has(rng: np.random.Generator) -> None:
    labels = np.column_stack([rng.random(200) < 0.4, np.zeros(200, bool)])
    scores = rng.random((200, 2))
    found = metrics.macro_auc(labels, scores, np.arange(200), 50, 1)
    assert found.value == pytest.approx(roc_auc_score(labels[:, 0], scores[:, 0]))
    assert found.low < found.value < found.high


def test_intervals_cover_the_truth_as_often_as_they_say(rng: np.random.Generator) -> None:
    covered = 0
    for trial in range(100):
        positive = np.repeat([True, False], 60)
        scores = rng.normal(positive * 1.0, 1)  # true AUC: Φ(1/√2)
        found = metrics.auc(positive, scores, np.arange(120), 100, trial)
        covered += found.low <= 0.7602 <= found.high
    assert 86 <= covered <= 100


def test_intervals_do_not_depend_on_what_patients_are_called(rng: np.random.Generator) -> None:
    values, patients = rng.normal(size=120), rng.integers(0, 40, 120)
    names = rng.permutation(40)
    found = metrics.mean_estimate(values, patients, 100, 1)
    assert metrics.mean_estimate(values, np.array([f"key {names[one]}" for one in patients]), 100, 1) == found


def test_resampling_patients_gives_wider_intervals_than_resampling_their_copies(rng: np.random.Generator) -> None:
    values, patients = np.repeat(rng.normal(size=40), 10), np.repeat(np.arange(40), 10)
    by_patient = metrics.mean_estimate(values, patients, 200, 1)
    by_row = metrics.mean_estimate(values, np.arange(400), 200, 1)
    assert by_patient.high - by_patient.low > 2 * (by_row.high - by_row.low)


def test_the_same_seed_gives_the_same_interval(rng: np.random.Generator) -> None:
    values = rng.normal(size=30)
    first, again, other = (metrics.mean_estimate(values, np.arange(30), 50, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_f1_and_balanced_accuracy_agree_with_scikit_learn(rng: np.random.Generator) -> None:
    labels, predicted = rng.random((2, 150, 3)) < 0.4
    ones = np.ones(150)
    assert metrics.macro_f1(labels, predicted, ones) == pytest.approx(f1_score(labels, predicted, average="macro"))
    balanced = np.mean([balanced_accuracy_score(labels[:, one], predicted[:, one]) for one in range(3)])
    assert metrics.macro_balanced_accuracy(labels, predicted, ones) == pytest.approx(balanced)


def test_the_best_threshold_has_the_highest_f1_of_all(rng: np.random.Generator) -> None:
    labels = rng.random((80, 1)) < 0.3
    scores = np.clip(labels * 0.3 + rng.random((80, 1)) * 0.7, 0, 1)
    best = metrics.best_thresholds(labels, scores)
    of = lambda threshold: f1_score(labels[:, 0], scores[:, 0] >= threshold)  # noqa: E731
    assert of(best[0]) == pytest.approx(max(of(each) for each in np.unique(scores)))
    assert metrics.best_thresholds(np.zeros((4, 1), bool), scores[:4]) == [0.5]


def test_wilson_interval_is_the_textbook_one() -> None:
    # Agresti and Coull 1998: 0 of 10 gives an upper end of 0.278.
    assert metrics.wilson(0, 10) == pytest.approx((0.0, 0.0, 0.2775), abs=1e-3)
    assert metrics.wilson(5, 10) == pytest.approx((0.5, 0.2366, 0.7634), abs=1e-3)
    assert np.isnan(metrics.wilson(0, 0)).all()


def test_a_paired_gain_is_surer_than_two_intervals(rng: np.random.Generator) -> None:
    labels = rng.random((300, 2)) < 0.4
    weak = labels + rng.normal(0, 1.5, (300, 2))
    better = weak + 0.3 * labels
    gain = metrics.macro_auc_gain(labels, better, weak, np.arange(300), 100, 1)
    alone = metrics.macro_auc(labels, weak, np.arange(300), 100, 1)
    assert gain.low > 0
    assert gain.high - gain.low < alone.high - alone.low


def test_a_weighted_median_resamples_patients_not_recordings() -> None:
    values = np.array([1.0, 2.0, 3.0, 10.0, 10.0, 10.0, 10.0])
    of_one = metrics.weighted_median_estimate(values, np.array([0, 1, 2, 3, 3, 3, 3]), 400, 1)
    assert of_one.value == 10.0
    assert of_one.low <= 2.0, "without the fourth patient the median is among the first three"
    assert metrics.weighted_median_estimate(np.array([1.0, 2.0, 5.0]), np.arange(3), 50, 1).value == 2.0
    assert np.isnan(metrics.weighted_median_estimate(np.empty(0), np.empty(0), 50, 1).value)


def test_paired_difference_is_as_published() -> None:
    """Bentur et al. 2009 as in Fagerland, Lydersen and Laake (Stat Med 33:2850-2875, 2014): 1, 1, 7 and 12 of 21."""
    first = np.repeat([True, True, False, False], [1, 1, 7, 12])
    second = np.repeat([True, False, True, False], [1, 1, 7, 12])
    found = metrics.paired_difference(first, second)
    assert [round(one, 3) for one in found] == [-0.286, -0.507, -0.026]
    mirrored = metrics.paired_difference(second, first)
    assert mirrored.low == pytest.approx(-found.high) and mirrored.high == pytest.approx(-found.low)


def test_paired_difference_of_no_successes_has_an_interval() -> None:
    nobody = np.zeros(100, bool)
    found = metrics.paired_difference(nobody, nobody)
    assert found.value == 0.0 and found.high == pytest.approx(-found.low) and 0.02 < found.high < 0.06
    assert metrics.paired_difference(~nobody, nobody).low > 0.9
