"""What the driver computes once before a flow is trained: the spectral filter and the usual beats of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from models.flow.spectral_filter import SpectralFilter
from tasks.settings.training import TrainingSettings
from tasks.stage import run_logger
from tasks.training.data.beats import load_beats
from tasks.training.data.recordings import LEARNING_SPLITS, TrainingError, Waveforms
from tasks.training.data.traits import components_file, events_of, new_prior, traits_file
from tasks.training.data.weight_files import FILTER_FILE, save_tensors, save_weights
from tasks.training.preparation.traits import usual_beats
from warehouse.storage.facts import TrainingDataFacts

AT_ONCE: Final = 256


def prepare_flow(
    folder: Path, settings: TrainingSettings, waveforms: Path, prepared: Path, facts: TrainingDataFacts
) -> None:
    """Fit filter and beat components to the training split, and leave them and all beats in the model's folder.

    Args:
        folder: of the model that is being made.
        settings: of training.
        waveforms: file with those of all recordings.
        prepared: folder with the recordings' R peaks.
        facts: about the recordings.

    Raises:
        TrainingError: no recording of a split has two beats.
    """
    prior, spectral_filter = new_prior(settings, facts.sampling_rate_hz), SpectralFilter(facts.samples)
    events = events_of(prior)
    for split in LEARNING_SPLITS:
        beats = load_beats(prepared, split)
        signals = Waveforms(waveforms, beats.rows)
        amplitude, known = usual_beats(signals, beats, facts.sampling_rate_hz)
        if not known.any():
            raise TrainingError(f"no {split} recording has two R peaks, so none shows a usual beat")
        if split == "train":
            events.fit(amplitude[known])
            parts = torch.arange(len(signals)).split(AT_ONCE)
            power = torch.stack([spectral_filter.power(signals.millivolts(rows)) for rows in parts]).sum(dim=0)
            spectral_filter.fit(power / len(signals))
        rows = torch.nonzero(known).flatten()
        traits = {"rows": rows, "traits": events.coordinates(amplitude)[rows], "levels": torch.empty(len(beats), 0)}
        save_tensors(traits, traits_file(folder, split))
        run_logger().info("%s: usual beats of %d recordings fitted", split, len(rows))
    fitted = {name: one for name, one in prior.state_dict().items() if name.startswith("events.")}
    save_tensors(fitted, components_file(folder))
    save_weights(spectral_filter, folder / FILTER_FILE)
