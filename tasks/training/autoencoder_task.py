"""Training on waveforms alone: autoencoder, beat decoder and detail head, committed once for all generators on them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from prefect import task
from prefect.cache_policies import NO_CACHE
from torch import Tensor

from models.ecg.cardiac_phase import padded_times
from models.leads import INDEPENDENT_LEADS
from tasks.settings import ComputeSettings
from tasks.settings.training import TrainingSettings
from tasks.stage import Result, Stage, commit_once, run_logger
from tasks.training.data.beats import BeatSplit, padded_r_peaks, save_beats
from tasks.training.data.recordings import TrainingError, Waveforms, read_metadata, usable_rows
from warehouse.storage.facts import AutoencoderFacts, RecordingsFacts, TrainingDataFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store, write_text
from warehouse.storage.waveform_file import waveform_file
from warehouse.storage.waveforms import from_r_peak_column

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


def prepare_recordings(store: Store, folder: Path, recordings: Reference) -> TrainingDataFacts:
    """Choose the recordings of both splits and leave where they beat in a folder.

    Returns:
        Facts about the data.

    Raises:
        TrainingError: nothing usable is left in a split.
    """
    logger, source = run_logger(), store.facts(recordings, RecordingsFacts)
    rate_hz = source.sampling_rate_hz
    metadata = read_metadata(store.path(recordings))
    rows, excluded = usable_rows(metadata)
    r_peaks_s = from_r_peak_column(metadata)
    lead_scale: list[float] = []
    counts = {}
    for split, chosen in rows.items():
        times_s = [r_peaks_s[row] for row in chosen]
        r_peaks = padded_r_peaks(times_s, source.samples, rate_hz)
        with_beat = r_peaks[:, 0] >= 0
        if lost := int((~with_beat).sum()):
            excluded["no whole beat"] = excluded.get("no whole beat", 0) + lost
        if not with_beat.any():
            raise TrainingError(f"no {split} recording holds a whole beat; check ingestion.duration_s")
        kept_s = [peaks for peaks, kept in zip(times_s, with_beat.tolist(), strict=True) if kept]
        beats = BeatSplit(torch.from_numpy(chosen)[with_beat], r_peaks[with_beat], padded_times(kept_s))
        save_beats(folder, split, beats)
        counts[split] = len(beats)
        if split == "train":
            lead_scale = _lead_scale(Waveforms(waveform_file(store, recordings), beats.rows)).tolist()
        logger.info("%s: %d recordings prepared", split, len(beats))
    if excluded:
        logger.info("left out of training: %s", ", ".join(f"{count} {reason}" for reason, count in excluded.items()))
    return TrainingDataFacts(
        sampling_rate_hz=rate_hz,
        samples=source.samples,
        simulated=source.simulated,
        lead_scale_mv=lead_scale,
        recordings=counts,
        excluded=excluded,
    )


def _lead_scale(waveforms: Waveforms, at_once: int = 1024) -> Tensor:
    """Standard deviation of each lead about zero, in mV: (8,)."""
    squares = torch.zeros(len(INDEPENDENT_LEADS), dtype=torch.float64)
    for rows in torch.arange(len(waveforms)).split(at_once):
        squares += (waveforms.microvolts(rows).double() / 1000).square().sum(dim=(0, 2))
    return (squares / (len(waveforms) * waveforms.samples)).sqrt().clamp_min(1e-3).float()


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
