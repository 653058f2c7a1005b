"""A flow from recordings to a model folder, whoever runs the training loop: what is prepared before, what is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from models.flow.config import FlowConfig
from models.rhythm.statistics import SeriesStatistics
from tasks.knowledge.embeddings import EMBEDDING_MODEL
from tasks.settings import RetrievalSettings
from tasks.settings.training import TrainingSettings
from tasks.training.data.recordings import TrainingError, read_metadata
from tasks.training.model_folder import FORMAT_VERSION, ModelConfig, save_config
from tasks.training.preparation.conditions import PreparedConditions, prepare_conditions
from tasks.training.preparation.flow_inputs import prepare_flow
from tasks.training.preparation.recordings import prepare_recordings
from warehouse.storage.facts import TrainingDataFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveform_file import waveform_file
from warehouse.storage.whole_files import write_text

PREPARED: Final = "_facts.json"
INPUTS: Final = "inputs.json"
DATA: Final = "data.json"


class PreparedFlow(BaseModel):
    """What the preparation found out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: TrainingDataFacts
    conditions: PreparedConditions
    statistics: SeriesStatistics


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
    without: str = "",
) -> PreparedFlow:
    """Prepare conditions, rhythms, beats and filter once, piece by piece; an interrupted run goes on after the last.

    Args:
        store: the warehouse.
        folder: of the model that is being made.
        settings: of training.
        recordings: what ingestion committed.
        knowledge: whose entries are retrieved; None for none.
        retrieval: how they are.
        without: a statement whose recordings are left out, as in `read_metadata`.

    Raises:
        TrainingError: there is nothing to train on, or the folder was prepared for something else.
    """
    path, beats = folder / PREPARED, beats_of(folder)
    beats.mkdir(parents=True, exist_ok=True)
    _refuse_other_inputs(beats / INPUTS, settings, recordings, knowledge, retrieval, without)
    if path.exists():
        return PreparedFlow.model_validate_json(path.read_text(encoding="utf-8"))
    if not (beats / DATA).exists():
        write_text(beats / DATA, prepare_recordings(store, beats, recordings, without).model_dump_json())
    data = TrainingDataFacts.model_validate_json((beats / DATA).read_text(encoding="utf-8"))
    conditions = prepare_conditions(store, folder, settings, recordings, beats, data, knowledge, retrieval, without)
    metadata = read_metadata(store.path(recordings), without)
    statistics = prepare_flow(folder, metadata, waveform_file(store, recordings), beats, data)
    prepared = PreparedFlow(data=data, conditions=conditions, statistics=statistics)
    write_text(path, prepared.model_dump_json())
    return prepared


def _refuse_other_inputs(
    path: Path,
    settings: TrainingSettings,
    recordings: Reference,
    knowledge: Reference | None,
    retrieval: RetrievalSettings,
    without: str,
) -> None:
    """Write down what a folder is prepared for, or compare it."""
    inputs = {
        "format": FORMAT_VERSION,
        "training": settings.for_digest(),
        "retrieval": retrieval.model_dump(mode="json"),
        "recordings": recordings.id,
        "knowledge": knowledge.id if knowledge else "",
        "without": without,
    }
    written = json.dumps(inputs, sort_keys=True)
    if not path.exists():
        write_text(path, written)
    elif path.read_text(encoding="utf-8") != written:
        raise TrainingError(f"{path.parent.parent} is of other settings, inputs or code; give another folder")


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
            prior=settings.flow.beats.architecture,
            sampling_rate_hz=prepared.data.sampling_rate_hz,
            samples=prepared.data.samples,
            experience=settings.flow.experience,
            precision=settings.precision,
            statistics=prepared.statistics,
        ),
        statements=dict(prepared.conditions.statements),
        findings=prepared.conditions.findings,
        embedding_model=EMBEDDING_MODEL,
        knowledge_id=knowledge.id if knowledge else "",
        retrieval=retrieval,
        recordings_id=recordings.id,
        simulated=prepared.data.simulated,
        wave_classes=prepared.conditions.wave_classes,
    )
    save_config(folder, config)
