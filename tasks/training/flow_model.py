"""A flow from recordings to a model folder, whoever runs the training loop: what is prepared before, what is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from models.flow.config import FlowConfig
from models.flow.generator import FlowGenerator
from models.rhythm.statistics import SeriesStatistics
from tasks.knowledge.embeddings import EMBEDDING_MODEL
from tasks.settings import RetrievalSettings
from tasks.settings.training import TrainingSettings
from tasks.training.data.recordings import TrainingError, read_metadata
from tasks.training.model_folder import FORMAT_VERSION, ModelConfig, load_generator, save_config
from tasks.training.patient_privacy import refuse_without_opacus
from tasks.training.preparation.conditions import PreparedConditions, prepare_conditions
from tasks.training.preparation.flow_inputs import prepare_flow
from tasks.training.preparation.recordings import prepare_recordings
from tasks.training.steering_claims import steering_claims
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
        TrainingError: there is nothing to train on, the folder was prepared for something else, or differential privacy
            is asked for without opacus.
    """
    refuse_without_opacus(settings)
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
    # With a guarantee for training patients, the filter is that of others.
    filtered = "train" if settings.flow.privacy.epsilon is None else "validation"
    statistics = prepare_flow(folder, metadata, waveform_file(store, recordings), beats, data, filtered)
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
    store: Store,
    folder: Path,
    settings: TrainingSettings,
    recordings: Reference,
    knowledge: Reference | None,
    retrieval: RetrievalSettings,
    prepared: PreparedFlow,
) -> None:
    """Write the configuration beside the weights, last what guides are chosen by, which are drawn with these weights.

    Arguments as of `prepare`, and what it returned.
    """
    config = ModelConfig(
        generator=FlowConfig(
            denoiser=settings.flow.architecture,
            prior=settings.flow.beats.architecture,
            sampling_rate_hz=prepared.data.sampling_rate_hz,
            samples=prepared.data.samples,
            experience=settings.flow.experience,
            student=settings.flow.student.enabled,
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
    generator = load_generator(folder)
    assert isinstance(generator, FlowGenerator)
    facts = config.statements
    claims = steering_claims(store, folder, beats_of(folder), generator, facts, recordings, knowledge, settings.seed)
    save_config(folder, config.model_copy(update={"generator": generator.config.model_copy(update={"claims": claims})}))
