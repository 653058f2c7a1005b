"""A flow from recordings to a model folder, whoever runs the training loop: what is prepared before, what is left."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.architecture import FlowConfig
from tasks.knowledge.embeddings import EMBEDDING_MODEL
from tasks.settings import RetrievalSettings
from tasks.settings.training import TrainingSettings
from tasks.training.model_folder import ModelConfig, save_config
from tasks.training.preparation.denoiser_inputs import PreparedConditions, prepare_training
from tasks.training.preparation.recordings import prepare_recordings
from warehouse.storage.facts import TrainingDataFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.whole_files import write_text

PREPARED = "_facts.json"


class PreparedFlow(BaseModel):
    """What the preparation found out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: TrainingDataFacts
    conditions: PreparedConditions


def beats_of(folder: Path) -> Path:
    """Where the recordings' beats are kept while a flow is trained; nothing there is committed."""
    return folder / "_training"


def prepare(
    store: Store,
    folder: Path,
    settings: TrainingSettings,
    recordings: Reference,
    knowledge: Reference | None,
    retrieval: RetrievalSettings,
) -> PreparedFlow:
    """Prepare beats, conditions and filter once; an interrupted run finds them in the folder.

    Args:
        store: the warehouse.
        folder: of the model that is being made.
        settings: of training.
        recordings: what ingestion committed.
        knowledge: whose entries are retrieved; None for none.
        retrieval: how they are.

    Raises:
        TrainingError: there is nothing to train on.
    """
    path = folder / PREPARED
    if path.exists():
        return PreparedFlow.model_validate_json(path.read_text(encoding="utf-8"))
    beats = beats_of(folder)
    beats.mkdir(parents=True, exist_ok=True)
    data = prepare_recordings(store, beats, recordings)
    conditions = prepare_training(store, folder, settings, recordings, beats, data, knowledge, retrieval)
    prepared = PreparedFlow(data=data, conditions=conditions)
    write_text(path, prepared.model_dump_json())
    return prepared


def save_model(
    folder: Path,
    settings: TrainingSettings,
    recordings: Reference,
    knowledge: Reference | None,
    retrieval: RetrievalSettings,
    prepared: PreparedFlow,
) -> None:
    """Write the configuration beside the weights. Arguments as of `prepare`, and what it returned."""
    config = ModelConfig(
        generator=FlowConfig(
            denoiser=settings.flow.architecture,
            prior=settings.prior.architecture,
            sampling_rate_hz=prepared.data.sampling_rate_hz,
            samples=prepared.data.samples,
            experience=settings.flow.experience,
            precision=settings.precision,
            rhythms=prepared.conditions.rhythms,
        ),
        statements=dict(prepared.conditions.statements),
        embedding_model=EMBEDDING_MODEL,
        knowledge_id=knowledge.id if knowledge else "",
        retrieval=retrieval,
        recordings_id=recordings.id,
        simulated=prepared.data.simulated,
        wave_classes=prepared.conditions.wave_classes,
    )
    save_config(folder, config)
