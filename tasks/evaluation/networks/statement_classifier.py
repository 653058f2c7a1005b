"""Training of the statement classifier: which of all SCP-ECG statements a real ECG holds.

It learns from real training recordings, stopped early by validation, and judges whether generated ECGs show what they
were asked for, statement by statement.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.ecg_sets import EcgSet, read_recordings
from tasks.evaluation.networks.classifier import SHAPING, finished, load_classifier, ray_job, save_classifier
from tasks.settings import ComputeSettings, EvaluationSettings
from tasks.stage import Result, Stage, commit_once
from warehouse.storage.facts import ClassifierFacts, RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

if TYPE_CHECKING:
    from models.evaluation.classifier import EcgClassifier

STAGE = Stage("train statement classifier", "classifier", code_version=1)


def statement_labels(ecgs: EcgSet, codes: list[str]) -> np.ndarray:
    """(n, codes) bool: which statements each ECG holds; a statement counts whatever its likelihood."""
    return np.array([[code in held for code in codes] for held in ecgs.statements], dtype=bool).reshape(-1, len(codes))


def statement_classifier(
    settings: EvaluationSettings, recordings: Reference, compute: ComputeSettings, store: Store
) -> Reference:
    """Train the statement classifier on the real training split, or find it.

    Args:
        settings: shape and training, those of the reference classifier.
        recordings: a `recordings` dataset whose training split has at least one recording.

    Returns:
        The reference of a dataset that holds `model.safetensors` and `config.json`.
    """
    shaping = {name: value for name, value in settings.for_digest().items() if name in SHAPING}

    def build(staging: Staging) -> Result:
        from tasks.cluster import connect

        connect(compute)
        job = ray_job(fit_statements, settings)
        found = finished(job.remote(settings, str(store.root), recordings, str(staging.path)), "real")
        return Result(rows=1, facts=ClassifierFacts(**found))

    return commit_once(STAGE, settings, [recordings], store, build, shaping)


def fit_statements(settings: EvaluationSettings, uri: str, recordings: Reference, folder: str) -> dict[str, Any]:
    """Train, save into `folder` and return the fields of `ClassifierFacts`."""
    import torch

    from models.evaluation.classifier import ClassifierTraining, classify, train_classifier
    from models.evaluation.metrics import weighted_macro_auc

    torch.set_num_threads(1)  # more threads would round differently
    store, started = Store(uri), time.monotonic()
    train, validation = read_recordings(store, recordings, "train"), read_recordings(store, recordings, "validation")
    codes = sorted(frozenset().union(*train.statements))
    labels = {"fitted": statement_labels(train, codes), "validation": statement_labels(validation, codes)}
    rate_hz = store.facts(recordings, RecordingsFacts).sampling_rate_hz
    training = ClassifierTraining(settings.classifier_steps, settings.batch_size, settings.learning_rate, settings.seed)
    losses: list[float] = []
    looked_at = (validation.signal, labels["validation"]) if len(validation) else None
    device = "cuda" if settings.use_gpu else "cpu"
    model = train_classifier(
        train.signal, labels["fitted"], settings.classifier, training, rate_hz, device, losses.append, looked_at
    )
    save_classifier(Path(folder), model, rate_hz, codes)
    area = weighted_macro_auc(
        labels["validation"], classify(model, validation.signal, rate_hz)[0], np.ones((1, len(validation)))
    )
    return {
        "examples": len(train),
        "macro_auc": {"validation": float(area[0]) if np.isfinite(area[0]) else None},
        "loss": float(np.mean(losses[-20:])),
        "seconds": round(time.monotonic() - started, 1),
    }


def load_statement_classifier(folder: Path) -> tuple[EcgClassifier, list[str]]:
    """The classifier and the statement that each of its outputs is about."""
    return load_classifier(folder), json.loads((folder / "config.json").read_text())["classes"]
