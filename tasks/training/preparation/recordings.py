"""Which recordings networks learn from, and where they beat, prepared once by the driver."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from models.ecg.cardiac_phase import padded_times
from models.leads import INDEPENDENT_LEADS
from tasks.stage import run_logger
from tasks.training.data.beats import BeatSplit, padded_r_peaks, save_beats
from tasks.training.data.recordings import TrainingError, Waveforms, read_metadata, usable_rows
from warehouse.storage.facts import RecordingsFacts, TrainingDataFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveform_file import waveform_file
from warehouse.storage.waveforms import from_r_peak_column


def prepare_recordings(store: Store, folder: Path, recordings: Reference, without: str = "") -> TrainingDataFacts:
    """Choose the recordings of both splits and leave where they beat in a folder.

    Args:
        store: the warehouse.
        folder: receives where they beat.
        recordings: what ingestion committed.
        without: a statement whose recordings are left out, as in `read_metadata`.

    Returns:
        Facts about the data.

    Raises:
        TrainingError: nothing usable is left in a split.
    """
    logger, source = run_logger(), store.facts(recordings, RecordingsFacts)
    rate_hz = source.sampling_rate_hz
    metadata = read_metadata(store.path(recordings), without)
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
