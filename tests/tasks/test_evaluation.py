"""Evaluation with real classifiers trained through Ray: what is better must measure better."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.architecture import ClassifierArchitecture
from tasks.classifier_training import EvaluationError, load_classifier, train_reference_classifier
from tasks.evaluation import evaluate_ecgs
from tasks.settings import ComputeSettings, EvaluationSettings
from tests.tasks.clinic import cohort_table, people, put_cohort, put_recordings, recordings_table
from warehouse import schema
from warehouse.reference import Reference
from warehouse.store import Store

pytestmark = pytest.mark.slow

SETTINGS = EvaluationSettings(
    classifier=ClassifierArchitecture(width=8, stages=3, features=16),
    classifier_steps=40,
    batch_size=32,
    bootstrap_samples=30,
)
Rows = dict[tuple[str, str], dict]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("evaluation")))


@pytest.fixture(scope="module")
def recordings(store: Store) -> Reference:
    return put_recordings(store, recordings_table(150))


def evaluate(store: Store, recordings: Reference, table: pa.Table, name: str) -> tuple[dict, Rows]:
    cohort = put_cohort(store, recordings, table, name)
    found = evaluate_ecgs.fn(SETTINGS, cohort, recordings, ComputeSettings(), str(store.root))
    rows = store.read(found, "evaluations")
    assert rows.schema.equals(schema.evaluations())
    return store.manifest(found).facts, {(row["metric"], row["subject"]): row for row in rows.to_pylist()}


@pytest.fixture(scope="module")
def good(store: Store, recordings: Reference, ray_cluster: None) -> tuple[dict, Rows]:
    """ECGs of the same kind of people, with the labels that they show."""
    return evaluate(store, recordings, cohort_table(*people(90, seed=77)), "good")


@pytest.fixture(scope="module")
def bad(store: Store, recordings: Reference, good: tuple[dict, Rows]) -> tuple[dict, Rows]:
    """Smoothed ECGs with the labels the wrong way round."""
    signal, statements = people(90, seed=77)
    smooth = np.apply_along_axis(lambda each: np.convolve(each, np.ones(9) / 9, "same"), 2, signal).astype(np.float32)
    swapped = [["NORM", "SR"] if "LVH" in codes else ["LVH", "SR"] for codes in statements]
    return evaluate(store, recordings, cohort_table(smooth, swapped), "bad")


def test_fidelity_tells_good_from_bad(good: tuple[dict, Rows], bad: tuple[dict, Rows]) -> None:
    for metric in ("FID", "KID", "discriminator AUC"):
        assert good[1][metric, "synthetic"]["value"] < bad[1][metric, "synthetic"]["value"], metric
    fid = good[1]["FID", "synthetic"]
    assert fid["reference"] == good[1]["FID", "real training recordings"]["value"]
    assert fid["low"] <= fid["value"] <= fid["high"]
    assert bad[1]["discriminator AUC", "synthetic"]["value"] > 0.9


def test_condition_rows_say_whether_what_was_asked_for_came(good: tuple[dict, Rows], bad: tuple[dict, Rows]) -> None:
    assert good[1]["heart-rate MAE", "synthetic"]["value"] == pytest.approx(2.0, abs=0.01)
    assert good[1]["asked superclass macro AUC", "synthetic"]["value"] > 0.8
    assert bad[1]["asked superclass macro AUC", "synthetic"]["value"] < 0.3


def test_physics_rows_compare_intervals_with_real_ones(good: tuple[dict, Rows], bad: tuple[dict, Rows]) -> None:
    assert good[1]["Einthoven residual", "synthetic"]["value"] == 0
    distance = "QRS distribution distance"
    assert good[1][distance, "synthetic"]["value"] < bad[1][distance, "synthetic"]["value"]
    assert good[1][distance, "synthetic HYP"]["n"] == 30


def test_synthetic_ecgs_with_true_labels_train_a_classifier_and_with_false_ones_do_not(
    good: tuple[dict, Rows], bad: tuple[dict, Rows]
) -> None:
    real = good[1]["macro AUC", "real"]
    assert real["value"] > 0.8
    assert good[1]["macro AUC", "synthetic"]["value"] > 0.8
    assert good[1]["macro AUC", "synthetic"]["reference"] == real["value"]
    assert bad[1]["macro AUC", "synthetic"]["value"] < 0.4
    assert bad[1]["macro AUC gain over real", "synthetic"]["high"] < 0
    assert {subject for metric, subject in good[1] if metric == "macro F1"} == {"real", "real + synthetic", "synthetic"}


def test_what_cannot_be_computed_is_null_and_named(good: tuple[dict, Rows]) -> None:
    facts, rows = good
    assert rows["AUC MI", "real"]["value"] is None  # nobody in this clinic has an infarction
    assert "downstream: AUC MI (real)" in facts["missing"]
    assert rows["heart-rate MAE", "synthetic, atrial fibrillation"]["n"] == 0
    assert facts["fid"] == rows["FID", "synthetic"]["value"]
    assert facts["macro_auc_real"] == rows["macro AUC", "real"]["value"]


def test_the_reference_classifier_is_trained_once_for_all_cohorts(
    store: Store, recordings: Reference, good: tuple[dict, Rows], bad: tuple[dict, Rows]
) -> None:
    assert good[0]["classifier"] == bad[0]["classifier"]
    found = train_reference_classifier.fn(SETTINGS, recordings, ComputeSettings(), str(store.root))
    assert found.id == good[0]["classifier"]
    assert load_classifier(store.path(found)).architecture == SETTINGS.classifier
    assert "probabilities" not in store.manifest(found).facts


def test_a_tiny_cohort_is_evaluated_as_far_as_it_goes(
    store: Store, recordings: Reference, good: tuple[dict, Rows]
) -> None:
    facts, rows = evaluate(store, recordings, cohort_table(*people(4, seed=3)), "tiny")
    assert rows["discriminator AUC", "synthetic"]["value"] is None
    assert rows["precision", "synthetic"]["value"] is None
    assert rows["heart-rate MAE", "synthetic"]["value"] is not None
    assert "fidelity: precision (synthetic)" in facts["missing"]


def test_a_cohort_without_superclasses_trains_nothing_and_says_so(
    store: Store, recordings: Reference, good: tuple[dict, Rows]
) -> None:
    table = without_superclasses(cohort_table(*people(6, seed=3)))
    facts, rows = evaluate(store, recordings, table, "none")
    assert {subject for metric, subject in rows if metric == "macro AUC"} == {"real"}
    assert "condition: asked superclass macro AUC (synthetic)" in facts["missing"]


def test_recordings_without_superclasses_are_refused_in_one_line(store: Store, ray_cluster: None) -> None:
    recordings = put_recordings(store, without_superclasses(recordings_table(40)))
    cohort = put_cohort(store, recordings, cohort_table(*people(6, seed=3)), "unlabelled")
    with pytest.raises(EvaluationError, match="diagnostic superclass") as refused:
        evaluate_ecgs.fn(SETTINGS, cohort, recordings, ComputeSettings(), str(store.root))
    assert "\n" not in str(refused.value)


def without_superclasses(table: pa.Table) -> pa.Table:
    index = table.column_names.index("superclasses")
    field = table.schema.field("superclasses")
    return table.set_column(index, field, pa.array([[] for _ in range(table.num_rows)], field.type))
