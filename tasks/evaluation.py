"""Evaluation of a cohort: does it look real, does it show what was asked for, does it help a classifier."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
from prefect import task

from tasks.classifier_training import TrainedOn
from tasks.settings import ComputeSettings, EvaluationSettings
from tasks.stage import RUN_BY_PREFECT, Result, Stage, commit_once, run_logger
from warehouse import schema
from warehouse.reference import Reference
from warehouse.store import Staging, Store

STAGE = Stage("evaluate cohort", "evaluation", code_version=1)
SUMMARY = {
    ("FID", "synthetic"): "fid",
    ("discriminator AUC", "synthetic"): "discriminator_auc",
    ("heart-rate MAE", "synthetic"): "heart_rate_mae_bpm",
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


def _evaluate(
    staging: Staging, settings: EvaluationSettings, cohort: Reference, recordings: Reference, compute: ComputeSettings
) -> Result:
    from models.classifier import classify
    from tasks.classifier_training import classifier_job, finished, load_classifier, predict_real, reference_classifier
    from tasks.cluster import connect
    from tasks.ecg_sets import concatenate, read_cohort, read_recordings
    from tasks.evaluation_rows import Compared, condition_rows, downstream_rows, fidelity_rows, physics_rows

    connect(compute)
    logger, store, started = run_logger(), staging.store, time.monotonic()
    job = classifier_job(settings)
    synthetic = read_cohort(store, cohort)
    # Started first: they train while the reference classifier does, and while fidelity is measured.
    of_synthetic: tuple[TrainedOn, ...] = ("real + synthetic", "synthetic")
    jobs = {
        trained_on: job.remote(settings, str(store.root), recordings, cohort, trained_on)
        for trained_on in of_synthetic
        if len(synthetic.labelled)
    }
    if not jobs:
        logger.warning("evaluate cohort: no synthetic ECG has a diagnostic superclass, so none can train a classifier")
    reference = reference_classifier(settings, recordings, compute, store)
    classifier = load_classifier(store.path(reference))
    rate_hz = int(store.manifest(recordings).facts["sampling_rate_hz"])
    train, validation, test = (read_recordings(store, recordings, split) for split in ("train", "validation", "test"))
    sets = {"train": train, "held_out": concatenate([validation, test]), "synthetic": synthetic}
    read_out = {name: classify(classifier, ecgs.signal, rate_hz) for name, ecgs in sets.items()}
    compared = Compared(
        **sets,
        features={name: features for name, (_, features) in read_out.items()},
        probabilities={name: probabilities for name, (probabilities, _) in read_out.items()},
        rate_hz=rate_hz,
        settings=settings,
    )
    rows = [*fidelity_rows(compared), *condition_rows(compared), *physics_rows(compared)]
    logger.info("evaluate cohort: fidelity, condition and physics after %.0f s", time.monotonic() - started)
    predictions = {"real": predict_real(classifier, validation, test, rate_hz)}
    for trained_on, running in jobs.items():
        predictions[trained_on] = finished(running, trained_on)["probabilities"]
    rows += downstream_rows(validation, test, predictions, settings)
    missing = [f"{one['aspect']}: {one['metric']} ({one['subject']})" for one in rows if one["value"] is None]
    if missing:
        logger.warning(
            "evaluate cohort: %d metrics cannot be had from so few or such recordings: %s",
            len(missing),
            "; ".join(missing),
        )
    staging.write_table("evaluations", 0, pa.Table.from_pylist(rows, schema=schema.evaluations()))
    return Result(rows=len(rows), facts={**_summary(rows), "classifier": reference.id, "missing": missing})


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for one in rows:
        if name := SUMMARY.get((one["metric"], one["subject"])):
            facts[name] = one["value"]
            if one["metric"] in ("FID", "discriminator AUC"):
                facts[f"{name}_real"] = one["reference"]
    return facts
