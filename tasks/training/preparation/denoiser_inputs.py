"""What the driver does once before a denoiser is trained: embed conditions, fit the simulator, describe rhythms."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import torch
from pydantic import BaseModel, Field

from models.architecture import RhythmStatistics
from models.conditioning import NUMBERS
from models.ecg.beats import beats_on_grid
from models.latent_diffusion.ode_terms import angular_rate, fit_classes
from tasks.conditions.cohort_design import group_conditions
from tasks.conditions.condition import ConditionEmbedder, conditions_of
from tasks.knowledge.embeddings import local_embeddings
from tasks.settings import RetrievalSettings
from tasks.settings.training import TrainingSettings
from tasks.stage import run_logger
from tasks.training.data.beats import BeatSplit, load_beats
from tasks.training.data.conditions import ConditionSplit, save_conditions
from tasks.training.data.recordings import LEARNING_SPLITS, TrainingError, Waveforms, read_metadata
from tasks.training.data.simulator_classes import wave_classes
from tasks.training.model_folder import save_fit
from tasks.training.preparation.flow_inputs import prepare_flow
from tasks.training.preparation.rhythm_statistics import rhythm_statistics
from tasks.training.preparation.traits import prepare_traits
from warehouse.storage.facts import RecordingsFacts, StatementFact, TrainingDataFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveform_file import waveform_file

GROUP_PATIENTS: Final = 5
"""Training patients that make a group whose condition a recording may be shown with, as in a cohort."""


class PreparedConditions(BaseModel):
    """What the preparation found out about conditions."""

    recordings: dict[str, int] = Field(description="Recordings with a condition, per split.")
    statements: dict[str, StatementFact] = Field(description="Statement code to what the source says of it.")
    rhythms: dict[str, RhythmStatistics] = Field(description="Rhythm to what training patients show of it.")
    wave_classes: list[str] = Field(description="Simulator classes, that of every recording first.")


def prepare_training(
    store: Store,
    folder: Path,
    settings: TrainingSettings,
    recordings: Reference,
    prepared: Path,
    facts: TrainingDataFacts,
    knowledge: Reference | None,
    retrieval: RetrievalSettings,
) -> PreparedConditions:
    """Prepare the conditions of both splits, the simulator fit and what the prior learns from.

    Args:
        store: the warehouse.
        folder: of the model that is being made, where all of it is left.
        settings: of training.
        recordings: what ingestion committed.
        prepared: folder with the recordings' beats; that of the autoencoder, where there is one.
        facts: about the recordings.
        knowledge: whose entries are retrieved; None for none.
        retrieval: how they are.

    Raises:
        TrainingError: no recording of a split has a heart rate.
    """
    logger, shape = run_logger(), settings.of_generator.architecture
    statements = store.facts(recordings, RecordingsFacts).statements
    metadata, waveforms = read_metadata(store.path(recordings)), waveform_file(store, recordings)
    beats = {split: load_beats(prepared, split) for split in LEARNING_SPLITS}
    embedder = ConditionEmbedder(
        local_embeddings(),
        store.read(knowledge, "knowledge") if knowledge and knowledge.rows else None,
        statements,
        shape.statement_tokens,
        shape.knowledge_tokens,
        retrieval,
    )
    classes, class_of = wave_classes(metadata, statements)
    members = metadata.take(pa.array(beats["train"].rows.numpy()))
    counts = {}
    for split, found in beats.items():
        chosen = metadata.take(pa.array(found.rows.numpy()))
        condition, _ = embedder(conditions_of(chosen, statements))
        group_condition, _ = embedder(group_conditions(chosen, members, GROUP_PATIENTS, statements))
        heart_rate = condition.numbers[:, NUMBERS.index("heart_rate_bpm")]
        known = condition.present[:, -1]
        if not known.any():
            raise TrainingError(f"no {split} recording has a heart rate; run ingestion again")
        conditions = ConditionSplit(
            omega=angular_rate(torch.where(known, heart_rate, heart_rate[known].median())),
            wave_class=torch.from_numpy(class_of[found.rows.numpy()]),
            condition=condition,
            group_condition=group_condition,
        )
        save_conditions(folder, split, conditions)
        counts[split] = len(found)
        if split == "train":
            times_s = [row[np.isfinite(row)] for row in found.r_times.numpy()]
            rhythms = rhythm_statistics(times_s, condition.rhythm.tolist(), chosen["patient_key"].to_pylist())
            of_beats = Waveforms(waveforms, found.rows)
            _fit_simulator(folder, of_beats, found, conditions, len(classes), facts.sampling_rate_hz)
        logger.info("%s: conditions of %d recordings prepared", split, len(found))
    if settings.generator == "flow":
        prepare_flow(folder, settings, waveforms, prepared, facts)
    elif settings.diffusion.draws_traits:
        prepare_traits(folder, settings, waveforms, prepared, facts)
    return PreparedConditions(recordings=counts, statements=statements, rhythms=rhythms, wave_classes=classes)


def _fit_simulator(
    folder: Path,
    waveforms: Waveforms,
    beats: BeatSplit,
    conditions: ConditionSplit,
    classes: int,
    rate_hz: int,
) -> None:
    """Fit the simulator's parameters per class and lead to the beats around first R peaks, and save them."""
    on_grid = [
        beats_on_grid(waveforms.millivolts(rows), beats.r_peaks[rows, 0], rate_hz)
        for rows in torch.arange(len(beats)).split(256)
    ]
    fit = fit_classes(torch.cat(on_grid), conditions.wave_class, conditions.omega, classes)
    save_fit(folder, fit)
    run_logger().info("simulator fit: %d classes, median R² %.3f", classes, float(fit.r2.median()))
