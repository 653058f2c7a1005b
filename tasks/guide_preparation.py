"""The beats of recordings as the simulator draws them, prepared once by the driver.

For the prior of beats (`tasks.morphology_stage`): where each recording's usual beat lies among the principal components
of all. For the denoiser: the latents of ECGs that the simulator makes of these beats, one for every shift at which the
recording itself was encoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.autoencoder import Autoencoder
from models.beat_events import simulated_ecg
from models.cardiac_phase import padded_times
from models.guide import own_amplitudes
from models.morphology import EventComponents
from tasks.autoencoder_stages import shift_starts, shifted_length
from tasks.stage import run_logger
from tasks.training_data import SPLITS, BeatSplit, TrainingError, load_beats, millivolts, read_waveforms, save_tensors
from tasks.training_settings import TrainingSettings
from tasks.training_stage import AUTOENCODER_FILE

AT_ONCE: Final = 128


@dataclass(frozen=True)
class BeatShapes:
    """The usual beats of a split's recordings.

    Attributes:
        rows: (n,) index into the split; recordings without two beats have none.
        coordinates: (n, components) of `models.morphology.EventComponents`.
    """

    rows: Tensor
    coordinates: Tensor

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class GuideMaker:
    """Makes the latents of simulated ECGs.

    Attributes:
        events: fitted to the training split.
        autoencoder: encodes.
        lead_scale: (8, 1) mV.
        rate_hz, samples: of the recordings.
    """

    events: EventComponents
    autoencoder: Autoencoder
    lead_scale: Tensor
    rate_hz: int
    samples: int

    @torch.inference_mode()
    def encoded(self, amplitude: Tensor, r_times: Tensor, start: int = 0, length: int | None = None) -> Tensor:
        """Latents (B, C, T) of ECGs with these beats (B, 8, events) at these seconds (B, P), from a sample on."""
        signal = simulated_ecg(amplitude, r_times, self.rate_hz, self.samples)
        length = self.samples if length is None else length
        return self.autoencoder.encode(signal[..., start : start + length] / self.lead_scale)[0].float()

    def of_recordings(self, signal_mv: np.ndarray, r_peaks: list[np.ndarray]) -> Tensor:
        """Latents (B, C, T) of simulated ECGs like these (B, 8, samples), as `models.generator` shows them."""
        amplitude, known = own_amplitudes(signal_mv, r_peaks, self.rate_hz)
        amplitude = self.events.nearest(amplitude) * known[:, None, None]
        return self.encoded(amplitude, padded_times([one / self.rate_hz for one in r_peaks]))


def prepare_guides(
    staging: Path, settings: TrainingSettings, recordings: Path, autoencoder: Path, facts: dict[str, Any]
) -> GuideMaker:
    """Fit the usual beats of both splits, and leave them and the latents of simulated ECGs in the staging folder.

    Raises:
        TrainingError: no recording of a split has two beats.
    """
    events = EventComponents(settings.morphology.architecture.components)
    network = Autoencoder(settings.autoencoder.architecture)
    network.load_state_dict(load_file(autoencoder / AUTOENCODER_FILE))
    scale = torch.tensor(facts["lead_scale_mv"])[:, None]
    maker = GuideMaker(events, network.eval(), scale, int(facts["sampling_rate_hz"]), int(facts["samples"]))
    guides: dict[str, Tensor] = {}
    for split in SPLITS:
        beats = load_beats(autoencoder, split)
        amplitude, known = _usual_beats(read_waveforms(recordings, beats.rows.numpy()), beats, maker.rate_hz)
        if not known.any():
            raise TrainingError(f"no {split} recording has two R peaks, so none shows a usual beat for the simulator")
        if split == "train":
            events.fit(amplitude[known])
            save_tensors(dict(events.state_dict()), components_file(staging))
        coordinates = events.coordinates(amplitude)
        rows = torch.nonzero(known).flatten()
        save_tensors({"rows": rows, "coordinates": coordinates[rows]}, shapes_file(staging, split))
        if split == "train":
            guides[split] = _at_shifts(maker, settings, coordinates, known, beats.r_times)
        else:
            guides[split] = _whole(maker, events.amplitude(coordinates) * known[:, None, None], beats.r_times)
        run_logger().info("%s: usual beats of %d recordings fitted", split, len(rows))
    save_tensors(guides, guides_file(staging))
    return maker


def load_guides(staging: Path) -> dict[str, Tensor]:
    """Latents of simulated ECGs: (shifts, N, C, T) of the training split, (N, C, T) of the validation split."""
    return load_file(guides_file(staging))


def load_beat_shapes(staging: Path, split: str) -> BeatShapes:
    """Usual beats of a split."""
    return BeatShapes(**load_file(shapes_file(staging, split)))


def components_file(staging: Path) -> Path:
    """Where the state of the fitted `EventComponents` is kept while a generator is trained."""
    return staging / "_training" / "event_components.safetensors"


def shapes_file(staging: Path, split: str) -> Path:
    """Where `BeatShapes` are kept while a generator is trained."""
    return staging / "_training" / f"beat_shapes_{split}.safetensors"


def guides_file(staging: Path) -> Path:
    """Where latents of simulated ECGs are kept while a generator is trained."""
    return staging / "_training" / "guides.safetensors"


def _usual_beats(signal: Tensor, beats: BeatSplit, rate_hz: int) -> tuple[Tensor, Tensor]:
    """Event amplitudes (N, 8, events), and (N,) which recordings have any."""
    amplitudes, known = [], []
    for rows in torch.arange(len(beats)).split(AT_ONCE):
        r_peaks = [row[np.isfinite(row)] * rate_hz for row in beats.r_times[rows].numpy()]
        found = own_amplitudes(millivolts(signal, rows).numpy(), r_peaks, rate_hz)
        amplitudes.append(found[0])
        known.append(found[1])
    return torch.cat(amplitudes), torch.cat(known)


def _at_shifts(
    maker: GuideMaker, settings: TrainingSettings, coordinates: Tensor, known: Tensor, r_times: Tensor
) -> Tensor:
    """Latents (shifts, N, C, T) of pieces as `AutoencoderStage` encodes them, each with beats that are off anew."""
    downsampling = settings.autoencoder.architecture.downsampling
    starts = shift_starts(settings.autoencoder.shifts, downsampling)
    length = shifted_length(maker.samples, starts, downsampling)
    generator = torch.Generator().manual_seed(settings.seed)
    found = []
    for start in starts:
        off = torch.randn(coordinates.shape, generator=generator) * settings.diffusion.physics.simulated_ecg_jitter
        amplitude = maker.events.amplitude(coordinates + off) * known[:, None, None]
        found.append(_whole(maker, amplitude, r_times, start, length))
    return torch.stack(found)


def _whole(maker: GuideMaker, amplitude: Tensor, r_times: Tensor, start: int = 0, length: int | None = None) -> Tensor:
    return torch.cat(
        [
            maker.encoded(amplitude[rows], r_times[rows], start, length)
            for rows in torch.arange(len(amplitude)).split(AT_ONCE)
        ]
    )
