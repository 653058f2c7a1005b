"""The encoder of the identifying space, trained once per recordings and committed, so that all cohorts are audited by
the same one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from models.architecture import BeatEncoderArchitecture
from models.ecg.r_peaks import in_samples
from models.privacy.beat_encoder import BeatEncoder, BeatEncoderTraining, encode_beats, train_beat_encoder
from models.privacy.linkage import verified
from models.privacy.mean_beats import beat_halves
from tasks.ecg_sets import LearningSplit, read_recordings
from tasks.settings import PrivacySettings
from tasks.stage import Result, Stage, commit_once, run_logger
from warehouse.errors import WarehouseError
from warehouse.storage.facts import BeatEncoderFacts, RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store
from warehouse.storage.whole_files import write_text

STAGE = Stage("train beat encoder", "beat_encoder", code_version=1)


def beat_encoder(settings: PrivacySettings, recordings: Reference, store: Store) -> Reference:
    """Train the encoder on the training split, or find it.

    Args:
        settings: shape and training of the encoder; the seed.
        recordings: a `recordings` dataset.

    Returns:
        The reference of a dataset that holds `model.safetensors` and `config.json`; its facts say how well it
        recognises people of the validation split.
    """
    shaping = {"seed": settings.seed, **settings.encoder.for_digest()}
    return commit_once(
        STAGE, settings, [recordings], store, lambda staging: _train(staging, settings, recordings), shaping
    )


def _train(staging: Staging, settings: PrivacySettings, recordings: Reference) -> Result:
    store, started = staging.store, time.monotonic()
    rate_hz = store.facts(recordings, RecordingsFacts).sampling_rate_hz
    halves, patients = {}, {}
    splits: tuple[LearningSplit, ...] = ("train", "validation")
    for split in splits:
        ecgs = read_recordings(store, recordings, split)
        halves[split] = beat_halves(ecgs.signal, in_samples(ecgs.r_peaks_s, rate_hz), rate_hz)
        patients[split] = ecgs.patients
    how = settings.encoder
    training = BeatEncoderTraining(how.steps, how.batch_patients, how.learning_rate, settings.seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more threads would round differently
    try:
        model = train_beat_encoder(halves["train"], patients["train"], how.architecture, training)
    finally:
        torch.set_num_threads(threads)
    save_encoder(staging.path, model)
    found = verified(encode_beats(model, halves["validation"].mean(axis=1)), patients["validation"])
    per_patient = np.unique(patients["train"], return_counts=True)[1]
    facts = BeatEncoderFacts(
        recordings=len(patients["train"]),
        patients=len(per_patient),
        several=int((per_patient > 1).sum()),
        rank_one=found.rank_one.value if found else None,
        equal_error=found.equal_error if found else None,
        seconds=round(time.monotonic() - started, 1),
    )
    run_logger().info(
        "beat encoder: %d patients, %d with several recordings; validation: rank one %s, equal error rate %s; %.0f s",
        facts.patients,
        facts.several,
        facts.rank_one,
        facts.equal_error,
        facts.seconds,
    )
    return Result(rows=1, facts=facts)


def save_encoder(folder: Path, model: BeatEncoder) -> None:
    """Write weights (safetensors) and shape; nothing needs to be unpickled."""
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    write_text(folder / "config.json", model.architecture.model_dump_json(indent=2))


def load_encoder(folder: Path) -> BeatEncoder:
    """Read an encoder that `save_encoder` wrote.

    Raises:
        WarehouseError: the files do not fit each other.
    """
    model = BeatEncoder(BeatEncoderArchitecture.model_validate(json.loads((folder / "config.json").read_text())))
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        raise WarehouseError(
            f"{folder / 'model.safetensors'} does not fit its config.json; remove the folder and run again"
        ) from error
    return model.eval()
