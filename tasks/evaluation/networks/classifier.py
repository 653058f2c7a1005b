"""Training of the superclass classifiers as Ray tasks: the reference classifier, and those of the downstream test.

The reference classifier has seen real training recordings only. It is committed by itself, so that evaluating another
cohort of the same recordings does not train it again.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasks.ecg_sets import read_cohort, read_recordings, read_reported
from tasks.settings import ComputeSettings, EvaluationSettings
from tasks.stage import Result, Stage, commit_once, run_logger
from warehouse.errors import EinthovenError, WarehouseError
from warehouse.storage.facts import ClassifierFacts, RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store, write_text

if TYPE_CHECKING:
    from models.evaluation.classifier import EcgClassifier
    from tasks.ecg_sets import EcgSet

STAGE = Stage("train reference classifier", "classifier", code_version=1)
SAY_EVERY_S = 10.0
SHAPING = ("seed", "classifier", "use_gpu", "classifier_steps", "batch_size", "learning_rate")
"""The evaluation settings that shape a classifier."""

TrainedOn = Literal["real", "real + synthetic", "synthetic"]


class EvaluationError(EinthovenError):
    """A cohort cannot be evaluated with the recordings at hand."""


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
        job = classifier_job(settings)
        found = finished(job.remote(settings, str(store.root), recordings, None, "real", str(staging.path)), "real")
        del found["probabilities"]
        return Result(rows=1, facts=ClassifierFacts(**found))

    return commit_once(STAGE, settings, [recordings], store, build, shaping)


def classifier_job(settings: EvaluationSettings) -> Any:
    """The Ray task that trains one classifier: one processor, and one GPU if the settings ask for it."""
    import ray

    return ray.remote(num_cpus=1, num_gpus=1 if settings.use_gpu else 0)(fit_and_predict)


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


def fit_and_predict(
    settings: EvaluationSettings,
    uri: str,
    recordings: Reference,
    cohort: Reference | None,
    trained_on: TrainedOn,
    folder: str | None = None,
) -> dict[str, Any]:
    """Train one classifier and predict the real validation split and the one that is reported on.

    Args:
        settings: shape, steps and seed, the same for every kind of training data.
        uri: the warehouse.
        recordings, cohort: where the ECGs are; the cohort may be None when training on real data only.
        trained_on: which ECGs to train on.
        folder: where to save the classifier, or None.

    Returns:
        seconds, examples, loss (of the last steps), and probabilities: "validation" and "reported" to (n, 5), one row
        per recording.
    """
    import torch

    from models.evaluation.classifier import ClassifierTraining, train_classifier

    torch.set_num_threads(1)  # more threads would round differently, and the other classifiers train meanwhile
    store = Store(uri)
    sets = []
    if trained_on != "synthetic":
        sets.append(read_recordings(store, recordings, "train").labelled)
    if trained_on != "real":
        if cohort is None:
            raise EvaluationError(f"training on {trained_on} needs a cohort")
        sets.append(read_cohort(store, cohort).labelled)
    signal, labels = np.concatenate([one.signal for one in sets]), np.concatenate([one.labels for one in sets])
    if len(signal) == 0:
        raise EvaluationError(f"{recordings}: no ECG to train on ({trained_on}) has a diagnostic superclass")
    rate_hz = store.facts(recordings, RecordingsFacts).sampling_rate_hz
    started = time.monotonic()
    losses: list[float] = []

    training = ClassifierTraining(settings.classifier_steps, settings.batch_size, settings.learning_rate, settings.seed)
    device = "cuda" if settings.use_gpu else "cpu"
    model = train_classifier(signal, labels, settings.classifier, training, rate_hz, device, losses.append)
    if folder:
        save_classifier(Path(folder), model, rate_hz)
    validation = read_recordings(store, recordings, "validation")
    reported = read_reported(store, recordings, settings.split)
    return {
        "seconds": round(time.monotonic() - started, 1),
        "examples": len(signal),
        "loss": float(np.mean(losses[-20:])),
        "probabilities": predict_real(model, validation, reported, rate_hz),
    }


def predict_real(model: EcgClassifier, validation: EcgSet, reported: EcgSet, rate_hz: int) -> dict[str, np.ndarray]:
    """Probabilities (n, 5) of all recordings of the validation split and of the split that is reported on."""
    from models.evaluation.classifier import classify

    return {
        "validation": classify(model, validation.signal, rate_hz)[0],
        "reported": classify(model, reported.signal, rate_hz)[0],
    }


def save_classifier(folder: Path, model: EcgClassifier, rate_hz: int) -> None:
    """Write weights (safetensors) and shape; nothing needs to be unpickled."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    config = {"architecture": model.architecture.model_dump(mode="json"), "sampling_rate_hz": rate_hz}
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
    model = EcgClassifier(ClassifierArchitecture.model_validate(config["architecture"]))
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        raise WarehouseError(
            f"{folder / 'model.safetensors'} does not fit its config.json; remove the folder and run again"
        ) from error
    return model.eval()
