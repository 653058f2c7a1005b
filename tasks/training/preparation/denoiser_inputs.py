"""What the driver does once before a denoiser is trained: embed conditions, describe rhythms, fit traits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from models.architecture import RhythmStatistics
from tasks.settings import RetrievalSettings
from tasks.settings.training import TrainingSettings
from tasks.training.data.beats import load_beats
from tasks.training.data.conditions import load_conditions
from tasks.training.data.recordings import read_metadata
from tasks.training.preparation.conditions import PreparedConditions, prepare_conditions
from tasks.training.preparation.rhythm_statistics import rhythm_statistics
from tasks.training.preparation.traits import prepare_traits
from warehouse.storage.facts import TrainingDataFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveform_file import waveform_file


class PreparedTraining(PreparedConditions):
    """What the preparation found out."""

    rhythms: dict[str, RhythmStatistics] = Field(description="Rhythm to what training patients show of it.")


def prepare_training(
    store: Store,
    folder: Path,
    settings: TrainingSettings,
    recordings: Reference,
    prepared: Path,
    facts: TrainingDataFacts,
    knowledge: Reference | None,
    retrieval: RetrievalSettings,
) -> PreparedTraining:
    """Prepare conditions, the simulator fit and what the prior learns from; arguments as of `prepare_conditions`.

    Raises:
        TrainingError: no recording of a split has a heart rate, or two beats.
    """
    found = prepare_conditions(store, folder, settings, recordings, prepared, facts, knowledge, retrieval)
    beats = load_beats(prepared, "train")
    patients = read_metadata(store.path(recordings))["patient_key"].to_numpy(zero_copy_only=False)[beats.rows.numpy()]
    times_s = [row[np.isfinite(row)] for row in beats.r_times.numpy()]
    stated = load_conditions(folder, "train").condition.rhythm.tolist()
    if settings.diffusion.draws_traits:
        prepare_traits(folder, settings, waveform_file(store, recordings), prepared, facts)
    return PreparedTraining(**found.model_dump(), rhythms=rhythm_statistics(times_s, stated, patients.tolist()))
