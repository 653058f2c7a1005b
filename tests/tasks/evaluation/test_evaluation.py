"""Evaluation with real classifiers trained through Ray: what is better must measure better."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.architecture import AlignmentArchitecture, ClassifierArchitecture
from models.leads import INDEPENDENT_LEADS
from tasks.evaluation.networks.alignment import load_alignment, reference_alignment
from tasks.evaluation.networks.classifier import EvaluationError, load_classifier, reference_classifier
from tasks.evaluation.task import evaluate_ecgs
from tasks.settings import AlignmentSettings, ComputeSettings, EvaluationSettings
from tests.tasks.clinic import cohort_table, people, put_cohort, put_model, put_recordings, recordings_table
from warehouse import schema
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

pytestmark = pytest.mark.slow

SETTINGS = EvaluationSettings(
    classifier=ClassifierArchitecture(width=8, stages=3, features=16),
    classifier_steps=40,
    batch_size=32,
    discriminator_steps=20,
    bootstrap_samples=30,
    alignment=AlignmentSettings(
        architecture=AlignmentArchitecture(width=8, stages=3, features=16, embedding=8),
        steps=60,
        batch_size=24,
        learning_rate=5e-3,
        check_every_steps=10,
    ),
)
Rows = dict[tuple[str, str], dict]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("evaluation")))


@pytest.fixture(scope="module")
def recordings(store: Store) -> Reference:
    return put_recordings(store, recordings_table(150))


def evaluate(
    store: Store, recordings: Reference, table: pa.Table, name: str, model: Reference | None = None
) -> tuple[dict, Rows]:
    cohort = put_cohort(store, recordings, table, name, model)
    found = evaluate_ecgs.fn(SETTINGS, cohort, recordings, ComputeSettings(), str(store.root))
    rows = store.read(found, "evaluations")
    assert rows.schema.equals(schema.evaluations())
    everyone = [row for row in rows.to_pylist() if row["condition"] is None]
    return store.manifest(found).facts, {(row["metric"], row["subject"]): row for row in everyone}


@pytest.fixture(scope="module")
def good(store: Store, recordings: Reference, ray_cluster: None) -> tuple[dict, Rows]:
    """ECGs of the same kind of people, with the labels that they show, as if an untrained model had generated them."""
    model, _ = put_model(store, recordings)
    return evaluate(store, recordings, cohort_table(*people(90, seed=77)), "good", model)


@pytest.fixture(scope="module")
def bad(store: Store, recordings: Reference, good: tuple[dict, Rows]) -> tuple[dict, Rows]:
    """Smoothed ECGs with the labels the wrong way round, of no known model."""
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
    assert bad[1]["convolutional discriminator AUC", "synthetic"]["low"] > 0.6
    beats = "median-beat discriminator AUC"
    assert good[1][beats, "synthetic"]["value"] < bad[1][beats, "synthetic"]["value"]
    measured = "Fréchet distance of measurements"
    assert good[1][measured, "synthetic"]["high"] < bad[1][measured, "synthetic"]["low"]


def test_floors_stand_beside_distances(good: tuple[dict, Rows]) -> None:
    facts, rows = good
    assert facts["fid_floor"] == rows["FID", "two Gaussian samples"]["value"] > 0
    assert facts["fid_real"] == rows["FID", "real training recordings"]["value"]
    # Twelve recordings leave nothing above the floor, which the row says in place of a ratio.
    ratio = rows["FID, floor-corrected, generated / real", "synthetic"]
    assert (ratio["value"] is None) == (facts["fid_real"] <= facts["fid_floor"])
    assert ratio["flag"] and facts["fid_floor_corrected_ratio"] == ratio["value"]
    assert 1 <= rows["effective dimension", "held-out recordings"]["value"] <= 16
    assert rows["data-copying statistic C_T", "synthetic"]["flag"] == "too few rows"


def test_the_floor_of_the_model_stands_beside_the_cohort(good: tuple[dict, Rows], bad: tuple[dict, Rows]) -> None:
    facts, rows = good
    # What an untrained autoencoder gives back resembles nothing, which its own rows must say, not the cohort's.
    for metric in ("FID", "KID", "discriminator AUC"):
        assert rows[metric, "reconstruction"]["value"] > rows[metric, "synthetic"]["value"], metric
        assert rows[metric, "reconstruction"]["reference"] == rows[metric, "synthetic"]["reference"]
    assert facts["fid_reconstruction"] == rows["FID", "reconstruction"]["value"]
    of_leads = [rows["reconstruction MAE", f"reconstruction, lead {lead}"]["value"] for lead in INDEPENDENT_LEADS]
    assert rows["reconstruction MAE", "reconstruction"]["value"] == pytest.approx(np.mean(of_leads))
    assert facts["reconstruction_mae_mv"] > 0.02
    assert rows["fit R²", "NORM, lead V6"]["value"] == 0.75
    assert not any("reconstruction" in subject or metric.startswith("fit R²") for metric, subject in bad[1])


def test_alignment_tells_true_texts_from_false_ones(good: tuple[dict, Rows], bad: tuple[dict, Rows]) -> None:
    score = good[1]["CLIP score", "synthetic"]
    assert score["reference"] == good[0]["clip_score_real"] == good[1]["CLIP score", "real test recordings"]["value"]
    dealt = good[1]["CLIP score", "real test recordings, texts dealt at random"]["value"]
    assert bad[1]["CLIP score", "synthetic"]["value"] < dealt < score["value"]
    assert 0.8 < good[0]["rclip"] < 1.25
    recall = good[1]["text to ECG recall at 5", "real test recordings"]
    assert recall["n"] == 2
    assert recall["value"] == 1


def test_the_alignment_encoder_is_trained_once_for_all_cohorts(
    store: Store, recordings: Reference, good: tuple[dict, Rows], bad: tuple[dict, Rows]
) -> None:
    assert good[0]["alignment"] == bad[0]["alignment"]
    other_bootstrap = SETTINGS.model_copy(update={"bootstrap_samples": 99, "classifier_steps": 7})
    found = reference_alignment(other_bootstrap, recordings, ComputeSettings(), store)
    assert found.id == good[0]["alignment"]
    assert load_alignment(store.path(found)).architecture == SETTINGS.alignment.architecture
    facts = store.manifest(found).facts
    assert facts["pairs"] == {"train": 120, "validation": 15}
    assert facts["texts"] == {"train": 2, "validation": 2}
    assert facts["kept_step"] in [entry["step"] for entry in facts["history"]]
    assert facts["validation"] == pytest.approx(min(one["validation"] for one in facts["history"]), abs=1e-6)


def test_the_independent_detector_measures_the_rate_by_itself(good: tuple[dict, Rows]) -> None:
    own = good[1]["heart-rate MAE", "synthetic, regular rhythms"]["value"]
    independent = good[1]["heart-rate MAE, independent detector", "synthetic, regular rhythms"]
    assert independent["value"] == pytest.approx(own, abs=0.5)
    assert independent["value"] != own
    assert independent["reference"] < 1
    assert good[1]["R peaks found by both detectors (F1)", "synthetic"]["value"] > 0.95
    assert good[1]["R-peak distance", "synthetic"]["value"] < 10


def test_condition_rows_say_whether_what_was_asked_for_came(good: tuple[dict, Rows], bad: tuple[dict, Rows]) -> None:
    assert good[1]["heart-rate MAE", "synthetic"]["value"] == pytest.approx(2.0, abs=0.01)
    assert good[1]["asked superclass macro AUC", "synthetic"]["value"] > 0.8
    assert bad[1]["asked superclass macro AUC", "synthetic"]["value"] < 0.3


def test_physics_rows_compare_intervals_with_real_ones(good: tuple[dict, Rows], bad: tuple[dict, Rows]) -> None:
    assert good[1]["Einthoven residual", "synthetic"]["value"] == 0
    distance = "QRS distribution distance"
    assert good[1][distance, "synthetic"]["value"] < bad[1][distance, "synthetic"]["value"]


def test_the_ode_residual_stands_beside_that_of_real_ecgs(good: tuple[dict, Rows], bad: tuple[dict, Rows]) -> None:
    facts, rows = good
    residual = rows["ODE residual", "synthetic"]
    assert residual["low"] < residual["value"] < residual["high"]
    # The same kind of people, held against the same equation.
    assert residual["value"] == pytest.approx(residual["reference"], rel=0.2)
    assert residual["n"] == 90 and residual["unit"] == "mV/s"
    assert facts["ode_residual_mv_per_s"] == residual["value"]
    assert rows["ODE residual", "synthetic, lead V6"]["value"] > 0
    assert not any(metric == "ODE residual" for metric, _ in bad[1])  # no model, no equation


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


def test_downstream_use_can_be_left_out(store: Store, recordings: Reference, good: tuple[dict, Rows]) -> None:
    cohort = put_cohort(store, recordings, cohort_table(*people(90, seed=77)), "good, no model", None)
    settings = SETTINGS.model_copy(update={"downstream": False})
    found = evaluate_ecgs.fn(settings, cohort, recordings, ComputeSettings(), str(store.root))
    found_rows = [row for row in store.read(found, "evaluations").to_pylist() if row["condition"] is None]
    rows = {(row["metric"], row["subject"]): row for row in found_rows}
    assert "downstream" not in {row["aspect"] for row in rows.values()}
    assert rows["FID", "synthetic"] == good[1]["FID", "synthetic"]
    assert store.manifest(found).facts["classifier"] == good[0]["classifier"]


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
    found = reference_classifier(SETTINGS, recordings, ComputeSettings(), store)
    assert found.id == good[0]["classifier"]
    assert load_classifier(store.path(found)).architecture == SETTINGS.classifier
    areas = store.manifest(found).facts["macro_auc"]
    assert set(areas) == {"fitted", "left_out", "validation"} and min(areas.values()) > 0.9


def test_delivery_and_statements_are_measured_as_far_as_the_test_split_goes(
    store: Store, good: tuple[dict, Rows], bad: tuple[dict, Rows]
) -> None:
    """Fifteen recordings hold ten normal ones, about which there are rules, and too few of anything else."""
    facts, rows = good
    distance = rows["delivery distance", "synthetic, textbook rules"]
    assert distance["n"] >= 4 and facts["delivery_distance_rules"] == distance["value"]
    assert facts["delivery_distance_rules_real"] == distance["reference"]
    assert "condition: statement macro AUC (synthetic)" in facts["missing"]
    assert facts["missing_in_conditions"] >= 2  # the AUCs of LVH and NORM
    # One statement classifier serves both cohorts.
    trained = [one for one in store.committed("classifier") if one.lineage.stage == "train statement classifier"]
    assert len(trained) == 1 and trained[0].facts["examples"] == 120


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


def test_recordings_of_one_text_give_no_clip_score_and_say_so(store: Store, ray_cluster: None) -> None:
    table = recordings_table(40)
    same = [[{"code": "NORM", "likelihood": 100.0}]] * table.num_rows
    index = table.column_names.index("statements")
    table = table.set_column(index, table.schema.field(index), pa.array(same, table.schema.field(index).type))
    facts, rows = evaluate(store, put_recordings(store, table.slice(1)), cohort_table(*people(6, seed=3)), "one text")
    assert rows["CLIP score", "synthetic"]["value"] is None
    assert facts["alignment"] is None
    assert "alignment: rCLIP (synthetic)" in facts["missing"]


def without_superclasses(table: pa.Table) -> pa.Table:
    index = table.column_names.index("superclasses")
    field = table.schema.field("superclasses")
    return table.set_column(index, field, pa.array([[] for _ in range(table.num_rows)], field.type))
