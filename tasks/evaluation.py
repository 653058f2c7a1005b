"""Evaluation of a cohort: does it look real, does it show what was asked for, does it help a classifier."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from prefect import task

from tasks.classifier_training import TrainedOn
from tasks.settings import ComputeSettings, EvaluationSettings
from tasks.stage import RUN_BY_PREFECT, Result, Stage, commit_once, run_logger
from warehouse import schema
from warehouse.reference import Reference
from warehouse.store import Staging, Store

if TYPE_CHECKING:
    from tasks.ecg_sets import EcgSet

STAGE = Stage("evaluate cohort", "evaluation", code_version=2)
SUMMARY = {
    ("FID", "synthetic"): "fid",
    ("discriminator AUC", "synthetic"): "discriminator_auc",
    ("FID", "reconstruction"): "fid_reconstruction",
    ("discriminator AUC", "reconstruction"): "discriminator_auc_reconstruction",
    ("reconstruction MAE", "reconstruction"): "reconstruction_mae_mv",
    ("CLIP score", "synthetic"): "clip_score",
    ("rCLIP", "synthetic"): "rclip",
    ("text to ECG recall at 5", "real test recordings"): "text_to_ecg_recall_at_5",
    ("heart-rate MAE", "synthetic"): "heart_rate_mae_bpm",
    ("heart-rate MAE, independent detector", "synthetic, regular rhythms"): "heart_rate_mae_independent_regular_bpm",
    ("asked superclass macro AUC", "synthetic"): "asked_superclass_macro_auc",
    ("Einthoven residual", "synthetic"): "einthoven_residual_mv",
    ("macro AUC", "real"): "macro_auc_real",
    ("macro AUC", "real + synthetic"): "macro_auc_real_and_synthetic",
    ("macro AUC", "synthetic"): "macro_auc_synthetic",
}
"""Metric and subject to its name in the facts of the manifest."""


@task(name="evaluate ECGs", **RUN_BY_PREFECT)
def evaluate_ecgs(
    settings: EvaluationSettings, cohort: Reference, recordings: Reference, compute: ComputeSettings, uri: str
) -> Reference:
    """Evaluate a cohort against real recordings, or find its evaluation.

    Args:
        settings: classifiers, bootstraps, neighbours.
        cohort: what to evaluate.
        recordings: the recordings that the cohort's model learned from, with their held-out splits.
        compute: how Ray is used.
        uri: the warehouse.

    Returns:
        The reference of an `evaluations` dataset. A metric that this data cannot give is a row with a null value; the
        facts and the log name it.

    Raises:
        EvaluationError: no training recording has a diagnostic superclass.
    """
    store = Store(uri)

    def build(staging: Staging) -> Result:
        return _evaluate(staging, settings, cohort, recordings, compute)

    return commit_once(STAGE, settings, [cohort, recordings], store, build)


@dataclass(frozen=True)
class Comparison:
    """ECGs beside real recordings, in all that needs no downstream classifier.

    Attributes:
        rows: of the `evaluations` table.
        classifier, alignment: the reference networks; None where no alignment encoder can be had.
    """

    rows: list[dict[str, Any]]
    classifier: Reference
    alignment: Reference | None


def _evaluate(
    staging: Staging, settings: EvaluationSettings, cohort: Reference, recordings: Reference, compute: ComputeSettings
) -> Result:
    from tasks.classifier_training import classifier_job
    from tasks.cluster import connect
    from tasks.ecg_sets import read_cohort

    connect(compute)
    logger, store, started = run_logger(), staging.store, time.monotonic()
    job, synthetic = classifier_job(settings), read_cohort(store, cohort)
    of_synthetic: tuple[TrainedOn, ...] = ("real + synthetic", "synthetic")
    # Started first: they train while the reference networks do, and while the rest is measured.
    jobs: dict[TrainedOn, Any] = {
        kind: job.remote(settings, str(store.root), recordings, cohort, kind)
        for kind in of_synthetic
        if settings.downstream and len(synthetic.labelled)
    }
    if settings.downstream and not jobs:
        logger.warning("evaluate cohort: no synthetic ECG has a diagnostic superclass, so none can train a classifier")
    found = compare_ecgs(store, settings, synthetic, model_behind(store, cohort), recordings, compute)
    logger.info("evaluate cohort: all but downstream use after %.0f s", time.monotonic() - started)
    rows = found.rows
    if settings.downstream:
        rows += _downstream(store, settings, recordings, found.classifier, jobs)
    missing = [f"{one['aspect']}: {one['metric']} ({one['subject']})" for one in rows if one["value"] is None]
    if missing:
        logger.warning(
            "evaluate cohort: %d metrics cannot be had from so few or such recordings: %s",
            len(missing),
            "; ".join(missing),
        )
    staging.write_table("evaluations", 0, pa.Table.from_pylist(rows, schema=schema.evaluations()))
    made_with = {"classifier": found.classifier.id, "alignment": found.alignment.id if found.alignment else None}
    return Result(rows=len(rows), facts={**_summary(rows), **made_with, "missing": missing})


def compare_ecgs(
    store: Store,
    settings: EvaluationSettings,
    synthetic: EcgSet,
    model: Reference | None,
    recordings: Reference,
    compute: ComputeSettings,
) -> Comparison:
    """Measure ECGs, wherever they come from, against real recordings; Ray must be connected.

    Args:
        store: the warehouse; the reference networks are found there or trained.
        settings: of the evaluation.
        synthetic: what is measured.
        model: the model that generated them, for its autoencoder's floor and its simulator fit; None for neither.
        recordings: with their held-out splits.
        compute: how Ray is used.
    """
    from models.classifier import classify
    from tasks.classifier_training import load_classifier, reference_classifier
    from tasks.ecg_sets import concatenate, read_recordings
    from tasks.evaluation_rows import Compared, condition_rows, fidelity_rows, physics_rows
    from tasks.heart_rate_rows import heart_rate_rows
    from tasks.reconstruction_rows import reconstructed, reconstruction_rows, simulator_rows

    reference = reference_classifier(settings, recordings, compute, store)
    aligned_by, of_alignment = _alignment(settings, synthetic, recordings, compute, store)
    classifier = load_classifier(store.path(reference))
    rate_hz = int(store.manifest(recordings).facts["sampling_rate_hz"])
    train, validation, test = (read_recordings(store, recordings, split) for split in ("train", "validation", "test"))
    sets = {"train": train, "held_out": concatenate([validation, test]), "synthetic": synthetic}
    if model is not None:
        # As many as there are held-out recordings: enough for every comparison.
        chosen = np.random.default_rng(settings.seed).permutation(len(train))[: len(sets["held_out"])]
        sets["reconstructed"] = reconstructed(store.path(model), train.take(np.sort(chosen)), settings.use_gpu)
    read_out = {name: classify(classifier, ecgs.signal, rate_hz) for name, ecgs in sets.items()}
    compared = Compared(
        **sets,
        features={name: features for name, (_, features) in read_out.items()},
        probabilities={name: probabilities for name, (probabilities, _) in read_out.items()},
        rate_hz=rate_hz,
        settings=settings,
    )
    rows = [
        *fidelity_rows(compared),
        *of_alignment,
        *heart_rate_rows(compared),
        *condition_rows(compared),
        *physics_rows(compared),
    ]
    if model is not None:
        rows += reconstruction_rows(test, reconstructed(store.path(model), test, settings.use_gpu), settings)
        rows += simulator_rows(store.manifest(model).facts.get("simulator_fit") or {}, settings.seed)
    return Comparison(rows, reference, aligned_by)


def _downstream(
    store: Store,
    settings: EvaluationSettings,
    recordings: Reference,
    reference: Reference,
    jobs: Mapping[TrainedOn, Any],
) -> list[dict[str, Any]]:
    """Rows of classifiers trained on real, on both and on synthetic ECGs; waits for the running ones."""
    from tasks.classifier_training import finished, load_classifier, predict_real
    from tasks.ecg_sets import read_recordings
    from tasks.evaluation_rows import downstream_rows

    rate_hz = int(store.manifest(recordings).facts["sampling_rate_hz"])
    validation, test = (read_recordings(store, recordings, split) for split in ("validation", "test"))
    predictions = {"real": predict_real(load_classifier(store.path(reference)), validation, test, rate_hz)}
    for trained_on, running in jobs.items():
        predictions[trained_on] = finished(running, trained_on)["probabilities"]
    return list(downstream_rows(validation, test, predictions, settings))


def _alignment(
    settings: EvaluationSettings, synthetic: EcgSet, recordings: Reference, compute: ComputeSettings, store: Store
) -> tuple[Reference | None, list[dict[str, Any]]]:
    """The alignment encoder and the rows that it gives; without an encoder the rows are null."""
    from tasks.alignment_rows import alignment_rows, projected
    from tasks.alignment_training import (
        NothingToContrastError,
        load_alignment,
        recording_texts,
        reference_alignment,
    )
    from tasks.ecg_sets import read_recordings

    try:
        reference = reference_alignment(settings, recordings, compute, store)
    except NothingToContrastError as error:
        run_logger().warning("evaluate cohort: no CLIP score: %s", error)
        return None, list(alignment_rows(None, None, settings))
    facts = store.manifest(recordings).facts
    encoder, rate_hz = load_alignment(store.path(reference)), int(facts["sampling_rate_hz"])
    test = read_recordings(store, recordings, "test")
    of_synthetic = projected(encoder, synthetic, synthetic.table["text"].to_pylist(), rate_hz)
    of_test = projected(encoder, test, recording_texts(test, facts["statements"]), rate_hz)
    return reference, list(alignment_rows(of_synthetic, of_test, settings))


def model_behind(store: Store, cohort: Reference) -> Reference | None:
    """The model that generated a cohort, as its lineage names it; None if it is no longer there."""
    named = [one for one in store.manifest(cohort).lineage.inputs if one.kind == "model"]
    return store.find("model", named[0].id) if named else None


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for one in rows:
        if name := SUMMARY.get((one["metric"], one["subject"])):
            facts[name] = one["value"]
            if one["subject"] == "synthetic" and one["metric"] in ("FID", "discriminator AUC", "CLIP score"):
                facts[f"{name}_real"] = one["reference"]
    return facts
