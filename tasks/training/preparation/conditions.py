"""What the driver does once before any generator is trained: embed conditions and fit the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa
import torch
from pydantic import BaseModel, Field

from models.conditioning import NUMBERS
from models.ecg.beats import beats_on_grid
from models.simulator.beat_equation import angular_rate, fit_classes
from tasks.conditions.cohort_design import group_conditions
from tasks.conditions.condition import Condition, ConditionEmbedder, conditions_of
from tasks.conditions.patient_groups import shared_findings
from tasks.knowledge.kept_embeddings import KeptEmbeddings
from tasks.settings import RetrievalSettings
from tasks.settings.training import TrainingSettings
from tasks.stage import run_logger
from tasks.training.data.beats import BeatSplit, load_beats
from tasks.training.data.conditions import ConditionSplit, conditions_file, load_conditions, save_conditions
from tasks.training.data.recordings import LEARNING_SPLITS, TrainingError, Waveforms, read_metadata
from tasks.training.data.simulator_classes import wave_classes
from tasks.training.data.weight_files import WAVE_FIT_FILE
from tasks.training.model_folder import save_fit
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
    wave_classes: list[str] = Field(description="Simulator classes, that of every recording first.")
    findings: list[str] = Field(description="Findings of reports that enough training patients share, in order.")


def prepare_conditions(
    store: Store,
    folder: Path,
    settings: TrainingSettings,
    recordings: Reference,
    prepared: Path,
    facts: TrainingDataFacts,
    knowledge: Reference | None,
    retrieval: RetrievalSettings,
    without: str = "",
) -> PreparedConditions:
    """Prepare the conditions of both splits and the simulator fit; what is in the folder is kept.

    Args:
        store: the warehouse.
        folder: of the model that is being made, where all of it is left.
        settings: of training.
        recordings: what ingestion committed.
        prepared: folder with the recordings' beats; that of the autoencoder, where there is one.
        facts: about the recordings.
        knowledge: whose entries are retrieved; None for none.
        retrieval: how they are.
        without: a statement whose recordings are left out, as in `read_metadata`.

    Raises:
        TrainingError: no recording of a split has a heart rate.
    """
    shape, statements = settings.of_generator.architecture, store.facts(recordings, RecordingsFacts).statements
    metadata, waveforms = read_metadata(store.path(recordings), without), waveform_file(store, recordings)
    beats = {split: load_beats(prepared, split) for split in LEARNING_SPLITS}
    classes, class_of = wave_classes(metadata, statements)
    members = metadata.take(pa.array(beats["train"].rows.numpy()))
    # A finding that too few patients share would stand for one of them.
    findings = shared_findings(conditions_of(members), members["patient_key"].to_numpy(), GROUP_PATIENTS)
    if not all(conditions_file(folder, split).exists() for split in LEARNING_SPLITS):
        embedder = ConditionEmbedder(
            KeptEmbeddings(store.root),
            store.read(knowledge, "knowledge") if knowledge and knowledge.rows else None,
            statements,
            shape.statement_tokens,
            shape.knowledge_tokens,
            retrieval,
        )
        asked: dict[str, tuple[list[Condition], list[Condition]]] = {}
        for split, found in beats.items():
            chosen = metadata.take(pa.array(found.rows.numpy()))
            of_groups = group_conditions(chosen, members, GROUP_PATIENTS, statements, findings)
            asked[split] = conditions_of(chosen, statements, findings), of_groups
        embedder.embed(embedder.texts([one for pair in asked.values() for some in pair for one in some]))
        for split, (own, of_groups) in asked.items():
            class_of_split = torch.from_numpy(class_of[beats[split].rows.numpy()])
            save_conditions(folder, split, _conditions(embedder, own, of_groups, class_of_split, split))
            run_logger().info("%s: conditions of %d recordings prepared", split, len(own))
    if not (folder / WAVE_FIT_FILE).exists():
        of_beats, conditions = Waveforms(waveforms, beats["train"].rows), load_conditions(folder, "train")
        _fit_simulator(folder, of_beats, beats["train"], conditions, len(classes), facts.sampling_rate_hz)
    counts = {split: len(found) for split, found in beats.items()}
    return PreparedConditions(recordings=counts, statements=statements, wave_classes=classes, findings=list(findings))


def _conditions(
    embedder: ConditionEmbedder, own: list[Condition], of_groups: list[Condition], wave_class: torch.Tensor, split: str
) -> ConditionSplit:
    condition, group_condition = embedder(own)[0], embedder(of_groups)[0]
    heart_rate = condition.numbers[:, NUMBERS.index("heart_rate_bpm")]
    known = condition.present[:, -1]
    if not known.any():
        raise TrainingError(f"no {split} recording has a heart rate; run ingestion again")
    omega = angular_rate(torch.where(known, heart_rate, heart_rate[known].median()))
    return ConditionSplit(omega, wave_class, condition, group_condition)


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
