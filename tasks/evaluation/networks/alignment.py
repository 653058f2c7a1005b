"""Training of the ECG–text alignment encoder behind the CLIP score, as a Ray task.

It sees real training recordings with the text of their own condition, and validation recordings to stop by; it is
committed by itself, so that evaluating another cohort of the same recordings does not train it again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasks.conditions.condition import StatementFacts, conditions_of
from tasks.ecg_sets import EcgSet, read_recordings
from tasks.evaluation.networks.classifier import EvaluationError
from tasks.settings import ComputeSettings, EvaluationSettings
from tasks.stage import Result, Stage, commit_once, run_logger
from tasks.training.progress import Progress, append_progress, following, loss_history
from warehouse.errors import WarehouseError
from warehouse.schema import EMBEDDING_SIZE
from warehouse.storage.facts import AlignmentFacts, RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store
from warehouse.storage.whole_files import write_text

if TYPE_CHECKING:
    from models.evaluation.alignment import AlignedEcgs, AlignmentEncoder

STAGE = Stage("train alignment encoder", "alignment", code_version=3)
SHAPING: Final = ("seed", "use_gpu", "alignment")
"""The evaluation settings that shape the encoder."""
WEIGHTS_FILE: Final = "model.safetensors"
CONFIG_FILE: Final = "config.json"


class NothingToContrastError(EvaluationError):
    """The recordings of a split do not hold two different texts."""


def reference_alignment(
    settings: EvaluationSettings, recordings: Reference, compute: ComputeSettings, store: Store
) -> Reference:
    """Train the alignment encoder on the real training split, or find it.

    Args:
        settings: shape and training of the encoder.
        recordings: a `recordings` dataset.
        compute: how Ray is used.

    Returns:
        The reference of a dataset that holds `model.safetensors` and `config.json`. Facts of its manifest: `pairs` and
        `texts` per split, `kept_step`, `validation` (loss of the weights kept), `temperature`, `seconds`, `history`.

    Raises:
        NothingToContrastError: the training or validation recordings hold fewer than two different texts.
    """
    shaping = {name: value for name, value in settings.for_digest().items() if name in SHAPING}

    def build(staging: Staging) -> Result:
        import ray

        from tasks.cluster import connect, result_of

        statement_facts = store.facts(recordings, RecordingsFacts).statements
        texts = {
            split: recording_texts(read_recordings(store, recordings, split), statement_facts)
            for split in ("train", "validation")
        }
        for split, found in texts.items():
            if len({text for text in found if text}) < 2:
                raise NothingToContrastError(
                    f"{recordings}: {split} recordings hold fewer than two different texts, so an alignment encoder "
                    "has nothing to tell apart"
                )
        embedded = {split: embed_texts_once(found) for split, found in texts.items()}
        connect(compute)
        job = ray.remote(num_cpus=1, num_gpus=1 if settings.use_gpu else 0)(fit_alignment)
        with following(staging.path, run_logger()):
            found = result_of(job.remote(settings, str(store.root), recordings, texts, embedded, str(staging.path)))
        return Result(rows=1, facts=AlignmentFacts(**found, history=loss_history(staging.path)))

    return commit_once(STAGE, settings, [recordings], store, build, shaping)


def recording_texts(ecgs: EcgSet, statement_facts: StatementFacts) -> list[str]:
    """The text of each recording's own condition; empty without statements."""
    return [condition.text for condition in conditions_of(ecgs.table, statement_facts)]


def embed_texts_once(texts: Sequence[str]) -> np.ndarray:
    """MiniLM embeddings of texts, (n, 384) float32; every distinct text is embedded once."""
    from tasks.knowledge.embeddings import local_embeddings

    distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    if not distinct:
        return np.zeros((0, EMBEDDING_SIZE), np.float32)
    vectors = np.array(local_embeddings().embed_documents(list(distinct)), dtype=np.float32)
    return vectors[[distinct[text] for text in texts]]


def fit_alignment(
    settings: EvaluationSettings,
    uri: str,
    recordings: Reference,
    texts: dict[str, list[str]],
    embedded: dict[str, np.ndarray],
    folder: str,
) -> dict[str, Any]:
    """Train one encoder and save it.

    Args:
        settings: shape, steps and seed.
        uri: the warehouse.
        recordings: where the ECGs are.
        texts, embedded: split to the text of each recording and its embedding, in row order.
        folder: where to save the encoder and report progress.

    Returns:
        Facts as `reference_alignment` lists them, but for the history.
    """
    import torch

    from models.evaluation.alignment import AlignmentCheck, AlignmentTraining, train_alignment

    torch.set_num_threads(1)  # more threads would round differently, and the classifiers train meanwhile
    store, wanted = Store(uri), settings.alignment
    rate_hz = store.facts(recordings, RecordingsFacts).sampling_rate_hz
    pairs = {
        split: aligned(read_recordings(store, recordings, split).signal, texts[split], embedded[split])
        for split in ("train", "validation")
    }
    started = time.monotonic()

    def progress(check: AlignmentCheck) -> None:
        entry = Progress(
            stage="alignment",
            step=check.step,
            steps=wanted.steps,
            losses={"loss": check.loss, "validation": check.validation},
            learning_rate=check.learning_rate,
            steps_per_s=check.step / (time.monotonic() - started),
            worker_pid=os.getpid(),
        )
        append_progress(Path(folder), entry)

    schedule = AlignmentTraining(
        wanted.steps, wanted.batch_size, wanted.learning_rate, wanted.check_every_steps, wanted.patience, settings.seed
    )
    device = "cuda" if settings.use_gpu else "cpu"
    model, checks = train_alignment(
        pairs["train"], pairs["validation"], wanted.architecture, schedule, rate_hz, device, progress
    )
    save_alignment(Path(folder), model, rate_hz)
    best = min(checks, key=lambda check: check.validation)
    return {
        "pairs": {split: len(found) for split, found in pairs.items()},
        "texts": {split: len(np.unique(found.same)) for split, found in pairs.items()},
        "kept_step": best.step,
        "validation": best.validation,
        "temperature": 1 / float(model.scale.detach()),
        "seconds": round(time.monotonic() - started, 1),
    }


def aligned(signal: np.ndarray, texts: Sequence[str], embedded: np.ndarray) -> AlignedEcgs:
    """Pairs of ECGs and texts; ECGs without a text are left out."""
    from models.evaluation.alignment import AlignedEcgs

    has_text = np.array([bool(text) for text in texts], dtype=bool)
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    same = np.array([numbers[text] for text in texts], dtype=np.int64)
    return AlignedEcgs(signal[has_text], embedded[has_text], same[has_text])


def save_alignment(folder: Path, model: AlignmentEncoder, rate_hz: int) -> None:
    """Write weights (safetensors) and shape; nothing needs to be unpickled."""
    from safetensors.torch import save_file

    from tasks.knowledge.embeddings import EMBEDDING_MODEL

    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS_FILE)
    config = {
        "architecture": model.architecture.model_dump(mode="json"),
        "sampling_rate_hz": rate_hz,
        "embedding_model": EMBEDDING_MODEL,
    }
    write_text(folder / CONFIG_FILE, json.dumps(config, indent=2))


def load_alignment(folder: Path) -> AlignmentEncoder:
    """Read an encoder that `save_alignment` wrote.

    Raises:
        WarehouseError: the files do not fit each other.
    """
    from safetensors.torch import load_file

    from models.architecture import AlignmentArchitecture
    from models.evaluation.alignment import AlignmentEncoder

    config = json.loads((folder / CONFIG_FILE).read_text())
    model = AlignmentEncoder(AlignmentArchitecture.model_validate(config["architecture"]))
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except RuntimeError as error:
        raise WarehouseError(
            f"{folder / WEIGHTS_FILE} does not fit its {CONFIG_FILE}; remove the folder and run again"
        ) from error
    return model.eval()
