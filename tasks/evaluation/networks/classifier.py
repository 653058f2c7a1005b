"""Training of the superclass classifiers as Ray tasks: the reference classifier, and those of the downstream test.

The reference classifier has seen real training recordings only, of three quarters of the patients, and is stopped early
by validation. It is committed by itself, so that evaluating another cohort of the same recordings does not train it
again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from models.evaluation.metrics import patient_numbers
from models.superclasses import SUPERCLASSES
from tasks.ecg_sets import LearningSplit, read_cohort, read_recordings, read_reported
from tasks.settings import ComputeSettings, EvaluationSettings
from tasks.stage import Result, Stage, commit_once, run_logger
from warehouse.errors import EinthovenError, WarehouseError
from warehouse.storage.facts import ClassifierFacts, RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store
from warehouse.storage.whole_files import write_text

if TYPE_CHECKING:
    from models.evaluation.classifier import EcgClassifier
    from tasks.ecg_sets import EcgSet

STAGE = Stage("train reference classifier", "classifier", code_version=2)
SAY_EVERY_S = 10.0
SHAPING = ("seed", "classifier", "use_gpu", "classifier_steps", "batch_size", "learning_rate")
"""The evaluation settings that shape a classifier."""

LEFT_OUT: Final = 0.25
"""Share of the training patients that the reference classifier does not see."""
SCORED: Final = 2000
"""Recordings of each set that its area under the curve is of."""

TrainedOn = Literal["real", "real + synthetic", "synthetic"]


class EvaluationError(EinthovenError):
    """A cohort cannot be evaluated with the recordings at hand."""


def left_out(patients: np.ndarray, seed: int) -> np.ndarray:
    """(n,) bool: training recordings that the reference classifier does not learn from, a quarter of the patients.

    They are the real training recordings that generated ECGs are compared with in its features: of recordings that it
    learned from it knows more than of others. Which they are does not depend on what patients are called.
    """
    numbers = patient_numbers(patients)
    count = int(numbers.max(initial=-1)) + 1
    chosen = np.random.default_rng(seed).permutation(count) < round(LEFT_OUT * count)
    return chosen[numbers] if count else np.zeros(0, dtype=bool)


def reference_classifier(
    settings: EvaluationSettings, recordings: Reference, compute: ComputeSettings, store: Store
) -> Reference:
    """Train the reference classifier on the real training split, or find it.

    Args:
        settings: shape and training of the classifier.
        recordings: a `recordings` dataset.
        compute: how Ray is used.

    Returns:
        The reference of a dataset that holds `model.safetensors` and `config.json`.

    Raises:
        EvaluationError: the training split has no recording with a diagnostic superclass.
    """
    shaping = {name: value for name, value in settings.for_digest().items() if name in SHAPING}

    def build(staging: Staging) -> Result:
        from tasks.cluster import connect

        connect(compute)
        job = ray_job(fit_reference, settings)
        found = finished(job.remote(settings, str(store.root), recordings, str(staging.path)), "real")
        return Result(rows=1, facts=ClassifierFacts(**found))

    return commit_once(STAGE, settings, [recordings], store, build, shaping)


def classifier_job(settings: EvaluationSettings) -> Any:
    """The Ray task that trains one classifier of the downstream test."""
    return ray_job(fit_and_predict, settings)


def ray_job(work: Callable[..., dict[str, Any]], settings: EvaluationSettings) -> Any:
    """A Ray task of one processor, and one GPU if the settings ask for it."""
    import ray

    return ray.remote(num_cpus=1, num_gpus=1 if settings.use_gpu else 0)(work)


def finished(job: Any, trained_on: TrainedOn) -> dict[str, Any]:
    """Wait for a classifier job and return its result; its own error, if it ended with one that is meant for people."""
    import ray

    from tasks.cluster import result_of

    started = time.monotonic()
    while not ray.wait([job], timeout=SAY_EVERY_S)[0]:
        run_logger().info("classifier on %s: waiting for %.0f s", trained_on, time.monotonic() - started)
    found = result_of(job)
    run_logger().info(
        "classifier on %s: %d ECGs, %.0f s, loss %.3f", trained_on, found["examples"], found["seconds"], found["loss"]
    )
    return found


def fit_reference(settings: EvaluationSettings, uri: str, recordings: Reference, folder: str) -> dict[str, Any]:
    """Train the reference classifier on three quarters of the training patients, stopped early by validation.

    Args:
        settings: shape, steps and seed.
        uri: the warehouse.
        recordings: where the ECGs are.
        folder: where to save the classifier.

    Returns:
        The fields of `ClassifierFacts`.

    Raises:
        EvaluationError: no recording to learn from has a diagnostic superclass.
    """
    import torch

    from models.evaluation.classifier import classify
    from models.evaluation.metrics import weighted_macro_auc

    torch.set_num_threads(1)  # more threads would round differently
    store = Store(uri)
    train, validation = (read_recordings(store, recordings, split) for split in get_args(LearningSplit))
    unseen = left_out(train.patients, settings.seed)
    sets = {
        "fitted": train.take(~unseen).labelled,
        "left_out": train.take(unseen).labelled,
        "validation": validation.labelled,
    }
    started = time.monotonic()
    rate_hz = store.facts(recordings, RecordingsFacts).sampling_rate_hz
    looked_at = (sets["validation"].signal, sets["validation"].labels) if len(sets["validation"]) else None
    model, loss = _fitted(settings, recordings, [sets["fitted"]], "real", rate_hz, looked_at)
    save_classifier(Path(folder), model, rate_hz)
    rng, areas = np.random.default_rng(settings.seed), {}
    for name, ecgs in sets.items():
        some = ecgs.take(rng.permutation(len(ecgs))[:SCORED])
        said, _ = classify(model, some.signal, rate_hz)
        area = float(weighted_macro_auc(some.labels, said, np.ones((1, len(some))))[0])
        areas[name] = area if np.isfinite(area) else None
    return {
        "examples": len(sets["fitted"]),
        "loss": loss,
        "macro_auc": areas,
        "seconds": round(time.monotonic() - started, 1),
    }


def fit_and_predict(
    settings: EvaluationSettings, uri: str, recordings: Reference, cohort: Reference | None, trained_on: TrainedOn
) -> dict[str, Any]:
    """Train one classifier and predict the real validation split and the one that is reported on.

    Args:
        settings: shape, steps and seed, the same for every kind of training data.
        uri: the warehouse.
        recordings, cohort: where the ECGs are; the cohort may be None when training on real data only.
        trained_on: which ECGs to train on.

    Returns:
        seconds, examples, loss (of the last steps), and probabilities: "validation" and "reported" to (n, 5), one row
        per recording.
    """
    import torch

    from models.evaluation.classifier import classify

    torch.set_num_threads(1)  # more threads would round differently, and the other classifiers train meanwhile
    store = Store(uri)
    sets = []
    if trained_on != "synthetic":
        sets.append(read_recordings(store, recordings, "train").labelled)
    if trained_on != "real":
        if cohort is None:
            raise EvaluationError(f"training on {trained_on} needs a cohort")
        sets.append(read_cohort(store, cohort).labelled)
    rate_hz = store.facts(recordings, RecordingsFacts).sampling_rate_hz
    started = time.monotonic()
    model, loss = _fitted(settings, recordings, sets, trained_on, rate_hz)
    predicted = {
        "validation": read_recordings(store, recordings, "validation"),
        "reported": read_reported(store, recordings, settings.split),
    }
    return {
        "examples": sum(len(one) for one in sets),
        "loss": loss,
        "probabilities": {name: classify(model, ecgs.signal, rate_hz)[0] for name, ecgs in predicted.items()},
        "seconds": round(time.monotonic() - started, 1),
    }


def _fitted(
    settings: EvaluationSettings,
    recordings: Reference,
    sets: list[EcgSet],
    trained_on: TrainedOn,
    rate_hz: int,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[EcgClassifier, float]:
    """A classifier of all these ECGs, and its mean loss over the last steps."""
    from models.evaluation.classifier import ClassifierTraining, train_classifier

    signal, labels = np.concatenate([one.signal for one in sets]), np.concatenate([one.labels for one in sets])
    if len(signal) == 0:
        raise EvaluationError(f"{recordings}: no ECG to train on ({trained_on}) has a diagnostic superclass")
    losses: list[float] = []
    training = ClassifierTraining(settings.classifier_steps, settings.batch_size, settings.learning_rate, settings.seed)
    device = "cuda" if settings.use_gpu else "cpu"
    model = train_classifier(signal, labels, settings.classifier, training, rate_hz, device, losses.append, validation)
    return model, float(np.mean(losses[-20:]))


def save_classifier(folder: Path, model: EcgClassifier, rate_hz: int, classes: Sequence[str] = SUPERCLASSES) -> None:
    """Write weights (safetensors), shape and names of classes; nothing needs to be unpickled."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    shape = model.architecture.model_dump(mode="json")
    config = {"architecture": shape, "sampling_rate_hz": rate_hz, "classes": list(classes)}
    write_text(folder / "config.json", json.dumps(config, indent=2))


def load_classifier(folder: Path) -> EcgClassifier:
    """Read a classifier that `save_classifier` wrote.

    Raises:
        WarehouseError: the files do not fit each other.
    """
    from safetensors.torch import load_file

    from models.architecture import ClassifierArchitecture
    from models.evaluation.classifier import EcgClassifier

    config = json.loads((folder / "config.json").read_text())
    model = EcgClassifier(ClassifierArchitecture.model_validate(config["architecture"]), len(config["classes"]))
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        raise WarehouseError(
            f"{folder / 'model.safetensors'} does not fit its config.json; remove the folder and run again"
        ) from error
    return model.eval()
