"""Training on waveforms alone: autoencoder, beat decoder and detail head, committed once for all generators on them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.leads import INDEPENDENT_LEADS
from tasks.settings import ComputeSettings
from tasks.settings.training import TrainingSettings
from tasks.stage import Result, Stage, commit_once
from tasks.training.preparation.recordings import prepare_recordings
from warehouse.storage.facts import AutoencoderFacts, TrainingDataFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store
from warehouse.storage.waveform_file import waveform_file
from warehouse.storage.whole_files import write_text

STAGE: Final = Stage("train autoencoder", makes="autoencoder", code_version=7)
FACTS: Final = "_facts.json"


@task(name="train autoencoder", cache_policy=NO_CACHE)
def train_autoencoder(
    settings: TrainingSettings, recordings: Reference, compute: ComputeSettings, uri: str
) -> Reference:
    """Train autoencoder, beat decoder and detail head on the training split of the recordings.

    Args:
        settings: of training; those of prior and diffusion do not matter.
        recordings: what ingestion committed.
        compute: how Ray is used.
        uri: the warehouse.

    Returns:
        A reference of kind "autoencoder": weights, beats and latents of the usable recordings, as safetensors. Facts of
        its manifest: `sampling_rate_hz`, `samples`, `simulated`, `lead_scale_mv`, `recordings` per split, `excluded`
        per quality flag, `reconstruction_mae_mv` (split to lead to mV), `history` as of a model.

    Raises:
        TrainingError: there is nothing to train on, or training failed more often than `max_failures`.
    """
    store = Store(uri)

    def build(staging: Staging) -> Result:
        from tasks.cluster import connect
        from tasks.training.ray_train import train_network_on_ray

        connect(compute)
        facts, waveforms = _prepare(staging, recordings), waveform_file(store, recordings)
        for stage in settings.autoencoder_stages:
            train_network_on_ray(stage, staging, settings, waveforms, staging.path, facts)
        return _describe(staging.path, facts)

    return commit_once(STAGE, settings, [recordings], store, build, settings.for_autoencoder_digest())


def _prepare(staging: Staging, recordings: Reference) -> TrainingDataFacts:
    """Choose recordings and their beats once; an interrupted run finds them in staging."""
    path = staging.path / FACTS
    if not path.exists():
        write_text(path, prepare_recordings(staging.store, staging.path, recordings).model_dump_json())
    return TrainingDataFacts.model_validate_json(path.read_text(encoding="utf-8"))


def _describe(folder: Path, facts: TrainingDataFacts) -> Result:
    from tasks.training.data.latents import reconstruction_error
    from tasks.training.progress import loss_history

    described = AutoencoderFacts(
        **facts.model_dump(),
        reconstruction_mae_mv={
            split: {lead: round(value, 5) for lead, value in zip(INDEPENDENT_LEADS, values, strict=True)}
            for split, values in reconstruction_error(folder).items()
        },
        history=loss_history(folder),
    )
    return Result(rows=len(list(folder.glob("*.safetensors"))), facts=described)
