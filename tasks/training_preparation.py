"""What the driver does once before training: choose recordings, find beats, embed conditions, fit the simulator."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from models.beats import beats_on_grid
from models.cardiac_phase import padded_times
from models.conditioning import NUMBERS
from models.physics import angular_rate, fit_classes
from tasks.cohort_design import group_conditions
from tasks.conditions import ConditionEmbedder, conditions_of
from tasks.knowledge.embeddings import local_embeddings
from tasks.model_folder import save_fit
from tasks.rhythm_statistics import rhythm_statistics
from tasks.settings import KnowledgeSettings, TrainingSettings
from tasks.stage import run_logger
from tasks.training_data import (
    TrainingError,
    located_r_peaks,
    padded_r_peaks,
    read_metadata,
    read_waveforms,
    save_split,
    usable_rows,
    wave_classes,
)
from warehouse.reference import Reference
from warehouse.store import Staging


def prepare_training(
    staging: Staging,
    settings: TrainingSettings,
    recordings: Reference,
    knowledge: Reference,
    knowledge_settings: KnowledgeSettings,
) -> dict[str, Any]:
    """Prepare both splits and the simulator fit in the staging folder.

    Returns:
        Facts about the data, as JSON values: sampling rate, length, lead scales in mV, what rhythms showed, statements,
        wave classes, recordings per split, recordings excluded per reason.

    Raises:
        TrainingError: nothing usable is left in a split.
    """
    store, logger = staging.store, run_logger()
    folder, source = store.path(recordings), store.manifest(recordings).facts
    rate_hz = int(source["sampling_rate_hz"])
    shape = settings.autoencoder.beat_decoder
    metadata = read_metadata(folder)
    rows, excluded = usable_rows(metadata)
    embedder = ConditionEmbedder(
        local_embeddings(),
        store.read(knowledge, "knowledge") if knowledge.rows else None,
        source["statements"],
        settings.diffusion.architecture.statement_tokens,
        settings.diffusion.architecture.knowledge_tokens,
        knowledge_settings,
    )
    classes, class_of = wave_classes(metadata, source["statements"])

    lead_scale: Tensor | None = None
    counts, rhythms = {}, {}
    for split, chosen in rows.items():
        signal = read_waveforms(folder, chosen)
        located = located_r_peaks(signal, rate_hz)
        r_peaks = padded_r_peaks(located, signal.shape[-1], rate_hz, shape)
        with_beat = r_peaks[:, 0] >= 0
        if lost := int((~with_beat).sum()):
            excluded["no whole beat"] = excluded.get("no whole beat", 0) + lost
        if not with_beat.any():
            raise TrainingError(f"no {split} recording holds a whole beat; check autoencoder.beat_decoder's window")
        chosen, signal, r_peaks = chosen[with_beat.numpy()], signal[with_beat], r_peaks[with_beat]
        times_s = [peaks / rate_hz for peaks, kept in zip(located, with_beat.tolist(), strict=True) if kept]
        about = metadata.take(pa.array(chosen))
        condition, _ = embedder(conditions_of(about, source["statements"]))
        members = metadata.take(pa.array(rows["train"]))
        group_condition, _ = embedder(
            group_conditions(about, members, settings.diffusion.group_patients, source["statements"])
        )
        heart_rate = condition.numbers[:, NUMBERS.index("heart_rate_bpm")]
        known = condition.present[:, -1]
        if not known.any():
            raise TrainingError(f"no {split} recording has a heart rate; run ingestion again")
        omega = angular_rate(torch.where(known, heart_rate, heart_rate[known].median()))
        wave_class = torch.from_numpy(class_of[chosen])
        r_times = padded_times(times_s)
        save_split(staging.path, split, chosen, r_peaks, r_times, omega, wave_class, condition, group_condition)
        counts[split] = len(chosen)
        if split == "train":
            lead_scale = _lead_scale(signal)
            patients = metadata["patient_key"].take(pa.array(chosen)).to_pylist()
            rhythms = rhythm_statistics(times_s, condition.rhythm.tolist(), patients)
            beats = torch.cat(
                [
                    beats_on_grid(some.float() / 1000, peaks[:, 0], rate_hz, shape)
                    for some, peaks in zip(signal.split(256), r_peaks.split(256), strict=True)
                ]
            )
            fit = fit_classes(beats, wave_class, omega, len(classes), shape, settings.diffusion.physics.fit_steps)
            save_fit(staging.path, fit)
            logger.info("simulator fit: %d classes, median R² %.3f", len(classes), float(fit.r2.median()))
        logger.info("%s: %d recordings prepared", split, len(chosen))
    if excluded:
        logger.info("left out of training: %s", ", ".join(f"{count} {reason}" for reason, count in excluded.items()))
    assert lead_scale is not None
    return {
        "sampling_rate_hz": rate_hz,
        "samples": int(source["samples"]),
        "simulated": bool(source["simulated"]),
        "statements": source["statements"],
        "lead_scale_mv": lead_scale.tolist(),
        "rhythms": {name: found.model_dump(mode="json") for name, found in rhythms.items()},
        "wave_classes": classes,
        "recordings": counts,
        "excluded": excluded,
    }


def _lead_scale(signal: Tensor, at_once: int = 1024) -> Tensor:
    """Standard deviation of each lead about zero, in mV: (8,)."""
    squares = sum((some.double() / 1000).square().sum(dim=(0, 2)) for some in signal.split(at_once))
    return (squares / (len(signal) * signal.shape[-1])).sqrt().clamp_min(1e-3).float()
