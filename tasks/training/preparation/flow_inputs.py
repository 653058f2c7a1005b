"""What the driver computes once before a flow is trained: rhythm and beats of recordings, and the spectral filter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from models.beats.beats import Beats
from models.beats.recorded import beats_of_recordings
from models.flow.spectral_filter import SpectralFilter
from models.rhythm.fitting import fit_statistics
from models.rhythm.recorded import rhythm_of_recordings
from models.rhythm.statistics import SeriesStatistics
from models.simulator.beat_events import EVENTS
from tasks.stage import run_logger
from tasks.training.data.beats import load_beats
from tasks.training.data.conditions import load_conditions
from tasks.training.data.recorded import Recorded, load_recorded, piece_file, save_piece
from tasks.training.data.recordings import LEARNING_SPLITS, TrainingError, Waveforms
from tasks.training.data.weight_files import FILTER_FILE, save_weights
from warehouse.storage.facts import TrainingDataFacts

PIECE: Final = 1024
"""Recordings after which what was found is saved, so that an interrupted preparation goes on."""
AT_ONCE: Final = 256
PACEMAKER, FLUTTER = "PACE", "AFLT"


def prepare_flow(
    folder: Path, metadata: pa.Table, waveforms: Path, prepared: Path, facts: TrainingDataFacts, filtered: str = "train"
) -> SeriesStatistics:
    """Find rhythm and beats of all recordings, fit the filter to a split, and leave them in the folder.

    Args:
        folder: of the model that is being made; conditions are there already.
        metadata: of all recordings.
        waveforms: file with those of all recordings.
        prepared: folder with the recordings' R peaks.
        facts: about the recordings.
        filtered: the split that the filter is fitted to.

    Returns:
        What rhythms are drawn from.

    Raises:
        TrainingError: no recording of a split has two beats.
    """
    patients = metadata["patient_key"].to_numpy(zero_copy_only=False)
    numbers = np.unique(patients, return_inverse=True)[1]
    paced, flutter = stated_rhythms(metadata)
    rate_hz = facts.sampling_rate_hz
    for split in LEARNING_SPLITS:
        beats = load_beats(prepared, split)
        signals, rows = Waveforms(waveforms, beats.rows), beats.rows.numpy()
        for chosen in torch.arange(len(beats)).split(PIECE):
            first = int(chosen[0])
            if piece_file(folder, split, first).exists():
                continue
            of_piece = rows[chosen.numpy()]
            piece = recorded_in(
                signals.millivolts(chosen).numpy(),
                [row[np.isfinite(row)].astype(np.float64) * rate_hz for row in beats.r_times[chosen].numpy()],
                rate_hz,
                paced[of_piece],
                flutter[of_piece],
                torch.from_numpy(numbers[of_piece]),
            )
            save_piece(folder, split, first, piece)
            run_logger().info("%s: rhythm and beats of %d recordings found", split, first + len(chosen))
        if not load_recorded(folder, split).known.any():
            raise TrainingError(f"no {split} recording has two R peaks, so none shows a usual beat")
        if split == filtered and not (folder / FILTER_FILE).exists():
            spectral_filter = SpectralFilter(facts.samples)
            parts = torch.arange(len(signals)).split(AT_ONCE)
            power = torch.stack([spectral_filter.power(signals.millivolts(some)) for some in parts]).sum(dim=0)
            spectral_filter.fit(power / len(signals))
            save_weights(spectral_filter, folder / FILTER_FILE)
    stated = load_conditions(folder, "train").condition.stated_rhythm.numpy()
    return fit_statistics(
        load_recorded(folder, "train").rhythm,
        facts.samples / facts.sampling_rate_hz,
        stated[:, 0],
        stated[:, 1],
        patients[load_beats(prepared, "train").rows.numpy()].tolist(),
    )


def stated_rhythms(metadata: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Who has a pacemaker, and who atrial flutter, by the statements of recordings: (n,) bool each."""
    codes = [{one["code"] for one in held or ()} for held in metadata["statements"].to_pylist()]
    paced, flutter = (np.array([code in held for held in codes], dtype=bool) for code in (PACEMAKER, FLUTTER))
    return paced, flutter


def recorded_in(
    signal: np.ndarray,
    r_peaks: Sequence[np.ndarray],
    rate_hz: float,
    paced: np.ndarray,
    flutter: np.ndarray,
    patients: Tensor,
) -> Recorded:
    """What recordings show.

    Args:
        signal: (n, 8, samples) mV.
        r_peaks: positions in samples per recording, as they were located when it was ingested.
        rate_hz: sampling rate.
        paced, flutter: (n,) bool, who has a pacemaker or atrial flutter by the recording's statements.
        patients: (n,) number of each recording's patient.
    """
    rhythm = rhythm_of_recordings(signal, r_peaks, rate_hz, paced, flutter)
    inside = (rhythm.r_times_s >= 0) & (rhythm.r_times_s < signal.shape[2] / rate_hz)
    kinds = [row[shown] for row, shown in zip(rhythm.kinds.numpy(), inside.numpy(), strict=True)]
    rows, found = beats_of_recordings(signal, r_peaks, kinds, rate_hz)
    usual = torch.zeros(len(signal), signal.shape[1], len(EVENTS))
    ectopic, has_ectopic, known = torch.zeros_like(usual), *torch.zeros(2, len(signal), dtype=torch.bool)
    usual[rows], ectopic[rows], has_ectopic[rows], known[rows] = found.usual, found.ectopic, found.has_ectopic, True
    return Recorded(rhythm, Beats(usual, ectopic, has_ectopic), known, patients)
