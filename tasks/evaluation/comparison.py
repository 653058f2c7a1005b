"""All that an evaluation measures: networks that judge, sets that are compared, rows that come of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from models.evaluation.classifier import EcgClassifier, classify
from tasks.cluster import connect
from tasks.conditions.criteria import CLAIMS, RULES, kept_claims
from tasks.ecg_sets import EcgSet, LearningSplit, read_cohort, read_recordings, read_reported
from tasks.evaluation.networks.alignment import (
    NothingToContrastError,
    load_alignment,
    recording_texts,
    reference_alignment,
)
from tasks.evaluation.networks.classifier import (
    TrainedOn,
    classifier_job,
    finished,
    left_out,
    load_classifier,
    reference_classifier,
)
from tasks.evaluation.networks.statement_classifier import load_statement_classifier, statement_classifier
from tasks.evaluation.rows.alignment import alignment_rows, projected
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.condition import condition_rows
from tasks.evaluation.rows.delivery import DISTANCE, delivery_rows
from tasks.evaluation.rows.discriminators import BEATS, CONVOLUTIONAL, LINEAR, discriminator_rows
from tasks.evaluation.rows.downstream import downstream_rows
from tasks.evaluation.rows.fidelity import FID, MEASURED, fidelity_rows
from tasks.evaluation.rows.heart_rate import heart_rate_rows
from tasks.evaluation.rows.independent_delineator import independent_delivery_rows
from tasks.evaluation.rows.intervals import interval_rows
from tasks.evaluation.rows.ode_residual import ode_residual_rows
from tasks.evaluation.rows.physics import physics_rows
from tasks.evaluation.rows.reconstruction import has_autoencoder, reconstructed, reconstruction_rows, simulator_rows
from tasks.evaluation.rows.statements import STATEMENT_AUC_RATIO, STATEMENT_MACRO_AUC, statement_rows
from tasks.settings import ComputeSettings, EvaluationSettings
from tasks.stage import Result, run_logger
from warehouse import schema
from warehouse.storage.facts import EvaluationFacts, ModelFacts, RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

SUMMARY = {
    (FID, "synthetic"): "fid",
    (FID, "two Gaussian samples"): "fid_floor",
    (f"{FID}, floor-corrected, generated / real", "synthetic"): "fid_floor_corrected_ratio",
    (f"{MEASURED}, floor-corrected, generated / real", "synthetic"): "measurement_distance_floor_corrected_ratio",
    ("nearer to training than the nearest 1 % held out", "synthetic"): "near_training_share",
    (LINEAR, "synthetic"): "discriminator_auc",
    (CONVOLUTIONAL, "synthetic"): "convolutional_discriminator_auc",
    (BEATS, "synthetic"): "median_beat_discriminator_auc",
    (FID, "reconstruction"): "fid_reconstruction",
    (LINEAR, "reconstruction"): "discriminator_auc_reconstruction",
    ("reconstruction MAE", "reconstruction"): "reconstruction_mae_mv",
    ("CLIP score", "synthetic"): "clip_score",
    ("rCLIP", "synthetic"): "rclip",
    ("text to ECG recall at 5", "real test recordings"): "text_to_ecg_recall_at_5",
    ("heart-rate MAE", "synthetic"): "heart_rate_mae_bpm",
    ("heart-rate MAE, independent detector", "synthetic, regular rhythms"): "heart_rate_mae_independent_regular_bpm",
    ("asked superclass macro AUC", "synthetic"): "asked_superclass_macro_auc",
    (STATEMENT_MACRO_AUC, "synthetic"): "statement_macro_auc",
    (STATEMENT_AUC_RATIO, "synthetic"): "statement_auc_ratio",
    (DISTANCE, f"synthetic, {RULES}"): "delivery_distance_rules",
    (DISTANCE, f"synthetic, {CLAIMS}"): "delivery_distance_claims",
    ("Einthoven residual", "synthetic"): "einthoven_residual_mv",
    ("ODE residual", "synthetic"): "ode_residual_mv_per_s",
    ("macro AUC", "real"): "macro_auc_real",
    ("macro AUC", "real + synthetic"): "macro_auc_real_and_synthetic",
    ("macro AUC", "synthetic"): "macro_auc_synthetic",
}
"""Metric and subject to its name in `EvaluationFacts`."""
WITH_REAL = (FID, LINEAR, CONVOLUTIONAL, BEATS, DISTANCE, STATEMENT_MACRO_AUC, "CLIP score")
"""Metrics whose value on real recordings stands there too."""


@dataclass(frozen=True)
class Real:
    """What ECGs are compared with: real recordings, and the classifier that learned from those of the training split.

    Attributes:
        held_out: the split that the settings name; nothing was fitted to it.
        validation: the split that choices are made on.
    """

    reference: Reference
    facts: RecordingsFacts
    train: EcgSet
    validation: EcgSet
    held_out: EcgSet
    classifier_reference: Reference
    classifier: EcgClassifier

    @property
    def rate_hz(self) -> int:
        """Sampling rate of the recordings."""
        return self.facts.sampling_rate_hz


def measure_cohort(
    staging: Staging, settings: EvaluationSettings, cohort: Reference, recordings: Reference, compute: ComputeSettings
) -> Result:

    connect(compute)
    logger, store, started = run_logger(), staging.store, time.monotonic()
    job, synthetic = classifier_job(settings), read_cohort(store, cohort)
    of_synthetic: tuple[TrainedOn, ...] = ("real + synthetic", "synthetic")
    # Started first: they train while the reference networks do, and while the rest is measured.
    trained_on: tuple[TrainedOn, ...] = ("real", *(of_synthetic if len(synthetic.labelled) else ()))
    jobs = {
        kind: job.remote(settings, str(store.root), recordings, cohort, kind)
        for kind in trained_on
        if settings.downstream
    }
    if settings.downstream and len(jobs) == 1:
        logger.warning("evaluate cohort: no synthetic ECG has a diagnostic superclass, so none can train a classifier")
    real = _read_real(store, settings, recordings, compute)
    aligned_by, of_alignment = _alignment(store, settings, synthetic, real, compute)
    rows = _compared(store, settings, synthetic, real, cohort, compute, of_alignment)
    logger.info("evaluate cohort: all but downstream use after %.0f s", time.monotonic() - started)
    if settings.downstream:
        predictions: dict[str, dict[str, np.ndarray]] = {
            kind: finished(running, kind)["probabilities"] for kind, running in jobs.items()
        }
        rows += downstream_rows(real.validation, real.held_out, predictions, settings)
    without = [one for one in rows if one["value"] is None]
    missing = [f"{one['aspect']}: {one['metric']} ({one['subject']})" for one in without if one["condition"] is None]
    if without:
        logger.warning(
            "evaluate cohort: %d metrics cannot be had from so few or such recordings, and %d of single conditions: %s",
            len(missing),
            len(without) - len(missing),
            "; ".join(missing),
        )
    staging.write_table("evaluations", 0, pa.Table.from_pylist(rows, schema=schema.evaluations()))
    facts = EvaluationFacts(
        **_summary(rows),
        classifier=real.classifier_reference.id,
        alignment=aligned_by.id if aligned_by else None,
        missing=missing,
        missing_in_conditions=len(without) - len(missing),
    )
    return Result(rows=len(rows), facts=facts)


def _read_real(store: Store, settings: EvaluationSettings, recordings: Reference, compute: ComputeSettings) -> Real:
    """Train the reference classifier, or find it, and read the recordings."""

    reference = reference_classifier(settings, recordings, compute, store)
    train, validation = (read_recordings(store, recordings, split) for split in get_args(LearningSplit))
    held_out = read_reported(store, recordings, settings.split)
    facts = store.facts(recordings, RecordingsFacts)
    classifier = load_classifier(store.path(reference))
    return Real(recordings, facts, train, validation, held_out, reference, classifier)


def _compared(
    store: Store,
    settings: EvaluationSettings,
    synthetic: EcgSet,
    real: Real,
    cohort: Reference,
    compute: ComputeSettings,
    of_alignment: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Rows of all that is measured on the ECGs themselves, and on model and knowledge base behind them where known."""
    model, knowledge = (behind(store, cohort, kind) for kind in ("model", "knowledge"))
    sets = {
        "train": real.train,
        "held_out": real.held_out,
        "synthetic": synthetic,
    }
    unseen = left_out(real.train.patients, settings.seed)
    if model is not None:
        # As many as there are held-out recordings: enough for every comparison.
        chosen = np.random.default_rng(settings.seed).permutation(np.flatnonzero(unseen))[: len(sets["held_out"])]
        if has_autoencoder(store.path(model)):
            sets["reconstructed"] = reconstructed(store.path(model), real.train.take(np.sort(chosen)), settings.use_gpu)
    read_out = {name: classify(real.classifier, ecgs.signal, real.rate_hz) for name, ecgs in sets.items()}
    compared = Compared(
        **sets,
        features={name: features for name, (_, features) in read_out.items()},
        probabilities={name: probabilities for name, (probabilities, _) in read_out.items()},
        rate_hz=real.rate_hz,
        settings=settings,
        unseen=unseen,
    )
    rows = [
        *fidelity_rows(compared),
        *discriminator_rows(compared),
        *of_alignment,
        *heart_rate_rows(compared),
        *condition_rows(compared),
        *_of_statements(store, compared, real, compute),
        *delivery_rows(compared, kept_claims(store, knowledge) if knowledge else []),
        *independent_delivery_rows(compared),
        *physics_rows(compared),
        *interval_rows(compared),
    ]
    if model is not None:
        rows += ode_residual_rows(compared, store.path(model))
        if has_autoencoder(store.path(model)):
            restored = reconstructed(store.path(model), real.held_out, settings.use_gpu)
            rows += reconstruction_rows(real.held_out, restored, settings)
        rows += simulator_rows(store.facts(model, ModelFacts).simulator_fit, settings.seed)
    return rows


def _of_statements(store: Store, compared: Compared, real: Real, compute: ComputeSettings) -> list[dict[str, Any]]:
    """Rows about single statements, by the statement classifier, which is trained or found."""

    reference = statement_classifier(compared.settings, real.reference, compute, store)
    model, codes = load_statement_classifier(store.path(reference))
    scores = [classify(model, ecgs.signal, real.rate_hz)[0] for ecgs in (compared.synthetic, compared.held_out)]
    return list(statement_rows(compared, codes, *scores))


def _alignment(
    store: Store, settings: EvaluationSettings, synthetic: EcgSet, real: Real, compute: ComputeSettings
) -> tuple[Reference | None, list[dict[str, Any]]]:
    """The alignment encoder and the rows that it gives; without an encoder the rows are null."""

    try:
        reference = reference_alignment(settings, real.reference, compute, store)
    except NothingToContrastError as error:
        run_logger().warning("evaluate cohort: no CLIP score: %s", error)
        return None, list(alignment_rows(None, None, settings))
    encoder = load_alignment(store.path(reference))
    of_synthetic = projected(encoder, synthetic, synthetic.table["text"].to_pylist(), real.rate_hz)
    of_real = projected(encoder, real.held_out, recording_texts(real.held_out, real.facts.statements), real.rate_hz)
    return reference, list(alignment_rows(of_synthetic, of_real, settings))


def behind(store: Store, cohort: Reference, kind: Literal["model", "knowledge"]) -> Reference | None:
    """The model or knowledge base that a cohort was generated with, by its lineage; None if it is no longer there."""
    named = [one for one in store.manifest(cohort).lineage.inputs if one.kind == kind]
    return store.find(kind, named[0].id) if named else None


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for one in rows:
        if one["condition"] is None and (name := SUMMARY.get((one["metric"], one["subject"]))):
            facts[name] = one["value"]
            if one["subject"].startswith("synthetic") and one["metric"] in WITH_REAL:
                facts[f"{name}_real"] = one["reference"]
    return facts
