"""Traits of recordings, and what the simulator makes of them, prepared once by the driver.

For the prior (`tasks.training.networks.prior`): where each recording's usual beat and its levels lie among the
principal components of all. For the denoiser: the levels, and the latents of ECGs that the simulator makes of these
beats, one for every shift at which the recording itself was encoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.latent_diffusion.autoencoder import Autoencoder
from models.latent_diffusion.simulator_conditioning import own_amplitudes
from models.latent_diffusion.trait_prior import TraitPrior
from models.simulator.beat_events import simulated_ecg
from tasks.settings.training import TrainingSettings
from tasks.stage import run_logger
from tasks.training.data.beats import BeatSplit, load_beats
from tasks.training.data.latents import shift_starts, shifted_length
from tasks.training.data.recordings import LEARNING_SPLITS, TrainingError, Waveforms
from tasks.training.data.traits import components_file, events_of, guides_file, new_prior, traits_file
from tasks.training.data.weight_files import AUTOENCODER_FILE, LATENTS_FILE, save_tensors
from warehouse.storage.facts import TrainingDataFacts

AT_ONCE: Final = 128
JITTER: Final = 0.15
"""Standard deviation by which the beat shown in training is off, per principal component and in units of its spread, so
that the denoiser does not take it for exact."""


@dataclass(frozen=True)
class TraitMaker:
    """Makes the latents of simulated ECGs, and tells levels.

    Attributes:
        prior: its beats and levels are fitted to the training split; the rest of it has not learned yet.
        autoencoder: encodes.
        lead_scale: (8, 1) mV.
        latent_mean, latent_std: (channels, 1).
        rate_hz, samples: of the recordings.
    """

    prior: TraitPrior
    autoencoder: Autoencoder
    lead_scale: Tensor
    latent_mean: Tensor
    latent_std: Tensor
    rate_hz: int
    samples: int

    @torch.inference_mode()
    def encoded(self, amplitude: Tensor, r_times: Tensor, start: int = 0, length: int | None = None) -> Tensor:
        """Latents (B, C, T) of ECGs with these beats (B, 8, events) at these seconds (B, P), from a sample on."""
        signal = simulated_ecg(amplitude, r_times, self.rate_hz, self.samples)
        length = self.samples if length is None else length
        return self.autoencoder.encode(signal[..., start : start + length] / self.lead_scale)[0].float()

    def levels_of(self, latents: Tensor, shown: Tensor | None) -> Tensor:
        """Levels (B, size) of latents (B, C, T) beside those of simulated ECGs, or beside the mean of recordings."""
        assert self.prior.levels is not None
        beside = self.latent_mean if shown is None else shown
        return self.prior.levels.of((latents - beside) / self.latent_std)


def prepare_traits(
    staging: Path, settings: TrainingSettings, waveforms: Path, autoencoder: Path, facts: TrainingDataFacts
) -> None:
    """Fit the traits of both splits, and leave them and the latents of simulated ECGs in the staging folder.

    Raises:
        TrainingError: no recording of a split has two beats.
    """
    network = Autoencoder(settings.autoencoder.architecture)
    network.load_state_dict(load_file(autoencoder / AUTOENCODER_FILE))
    saved, rate_hz = load_file(autoencoder / LATENTS_FILE), facts.sampling_rate_hz
    maker = TraitMaker(
        prior=new_prior(settings, rate_hz),
        autoencoder=network.eval(),
        lead_scale=torch.tensor(facts.lead_scale_mv)[:, None],
        latent_mean=saved["mean"][:, None],
        latent_std=saved["std"][:, None],
        rate_hz=rate_hz,
        samples=facts.samples,
    )
    events, levels = maker.prior.events, maker.prior.levels
    guides: dict[str, Tensor] = {}
    for split in LEARNING_SPLITS:
        beats, learns = load_beats(autoencoder, split), split == "train"
        known, shown, traits = torch.ones(len(beats), dtype=torch.bool), None, []
        if events is not None:
            amplitude, known = usual_beats(Waveforms(waveforms, beats.rows), beats, rate_hz)
            if not known.any():
                raise TrainingError(f"no {split} recording has two R peaks, so none shows a usual beat")
            if learns:
                events.fit(amplitude[known])
            traits.append(events.coordinates(amplitude))
            shown = _whole(maker, events.amplitude(traits[0]) * known[:, None, None], beats.r_times)
            guides[split] = _at_shifts(maker, settings, traits[0], known, beats.r_times) if learns else shown
        if levels is not None:
            found = maker.levels_of(saved[split], shown)
            if learns:
                levels.fit(found[known])
            traits.append(levels.coordinates(found))
        rows = torch.nonzero(known).flatten()
        stated = traits[-1] if levels is not None else torch.empty(len(beats), 0)
        split_traits = {"rows": rows, "traits": torch.cat(traits, dim=1)[rows], "levels": stated.contiguous()}
        save_tensors(split_traits, traits_file(staging, split))
        run_logger().info("%s: traits of %d recordings fitted", split, len(rows))
    fitted = {name: one for name, one in maker.prior.state_dict().items() if name.startswith(("events.", "levels."))}
    save_tensors(fitted, components_file(staging))
    if guides:
        save_tensors(guides, guides_file(staging))


def usual_beats(waveforms: Waveforms, beats: BeatSplit, rate_hz: int) -> tuple[Tensor, Tensor]:
    """Event amplitudes (N, 8, events), and (N,) which recordings have any."""
    amplitudes, known = [], []
    for rows in torch.arange(len(beats)).split(AT_ONCE):
        r_peaks = [row[np.isfinite(row)] * rate_hz for row in beats.r_times[rows].numpy()]
        found = own_amplitudes(waveforms.millivolts(rows).numpy(), r_peaks, rate_hz)
        amplitudes.append(found[0])
        known.append(found[1])
    return torch.cat(amplitudes), torch.cat(known)


def _at_shifts(
    maker: TraitMaker, settings: TrainingSettings, coordinates: Tensor, known: Tensor, r_times: Tensor
) -> Tensor:
    """Latents (shifts, N, C, T) of pieces as `AutoencoderRecipe` encodes them, each with beats that are off anew."""
    downsampling = settings.autoencoder.architecture.downsampling
    starts = shift_starts(downsampling)
    length = shifted_length(maker.samples, starts, downsampling)
    generator = torch.Generator().manual_seed(settings.seed)
    found = []
    for start in starts:
        off = torch.randn(coordinates.shape, generator=generator) * JITTER
        amplitude = events_of(maker.prior).amplitude(coordinates + off) * known[:, None, None]
        found.append(_whole(maker, amplitude, r_times, start, length))
    return torch.stack(found)


def _whole(maker: TraitMaker, amplitude: Tensor, r_times: Tensor, start: int = 0, length: int | None = None) -> Tensor:
    return torch.cat(
        [
            maker.encoded(amplitude[rows], r_times[rows], start, length)
            for rows in torch.arange(len(amplitude)).split(AT_ONCE)
        ]
    )
