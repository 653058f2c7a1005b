"""Training of the autoencoder with the beat decoder. Neither sees a condition, so generators share both."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from models.ecg.beats import beat_samples, beats_on_grid
from models.latent_diffusion.autoencoder import Autoencoder, AutoencoderObjective
from models.latent_diffusion.beat_decoder import BeatDecoder
from tasks.training.data.beats import beat_places
from tasks.training.data.latents import shift_starts, shifted_length
from tasks.training.data.weight_files import (
    AUTOENCODER_FILE,
    BEAT_DECODER_FILE,
    LATENTS_FILE,
    save_tensors,
    save_weights,
)
from tasks.training.networks.recipe import Material, Recipe, beats_and_waveforms

GAIN_SPREAD: Final = 0.2
"""Standard deviation of the log gain that training recordings get."""


class AutoencoderRecipe(Recipe):
    """Stage 1: autoencoder and beat decoder on waveforms. Leaves their weights and the latents of all recordings."""

    leaves: ClassVar[str] = LATENTS_FILE

    def __init__(self, material: Material) -> None:
        self.schedule = self.settings = material.settings.autoencoder
        self.staging, self.ema_decay = material.staging, None
        self.rate_hz: int = material.facts.sampling_rate_hz
        self.lead_scale = torch.tensor(material.facts.lead_scale_mv)[:, None]
        self.beats, self.waveforms = beats_and_waveforms(material)
        self.rows = {split: len(data) for split, data in self.beats.items()}
        shape = self.settings.architecture
        self.autoencoder = Autoencoder(shape)
        self.beat_decoder = BeatDecoder(
            self.settings.beat_decoder, shape.latent_channels, shape.downsampling, self.rate_hz
        )
        self.objective = AutoencoderObjective(
            self.autoencoder,
            self.beat_decoder,
            self.settings.kl_weight,
            self.settings.beat_weight,
            self.settings.spectral_weight,
        )
        self.learner = self.objective

    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Signals in lead standard deviations, the beat around the first R peak, and where all beats are."""
        signal = self.waveforms[split].millivolts(rows).to(device) / self.lead_scale.to(device)
        r_peaks = self.beats[split].r_peaks[rows].to(device)
        before, _ = beat_samples(self.rate_hz)
        if split == "train":
            signal = signal * (GAIN_SPREAD * torch.randn(len(rows), 1, 1, device=device)).exp()
        return {
            "signal": signal,
            "beat": beats_on_grid(signal, r_peaks[:, 0], self.rate_hz),
            "first_r": r_peaks[:, 0],
            "windows": beat_places(r_peaks, before),
        }

    def finish(self, device: torch.device) -> None:
        """Save both networks and the latents (posterior means) of every recording, with their statistics."""
        save_weights(self.autoencoder, self.staging / AUTOENCODER_FILE)
        save_weights(self.beat_decoder, self.staging / BEAT_DECODER_FILE)
        latents = {}
        for split in self.waveforms:
            latents[split], latents[f"{split}_mae_mv"] = self._encode(split, device)
        latents["mean"] = latents["train"].mean(dim=(0, 2))
        latents["std"] = latents["train"].std(dim=(0, 2)).clamp_min(1e-4)
        starts = shift_starts(self.settings.architecture.downsampling)
        length = shifted_length(self.waveforms["train"].samples, starts, self.settings.architecture.downsampling)
        latents["shifted"] = torch.stack([self._encode_from(start, length, device) for start in starts])
        save_tensors(latents, self.staging / LATENTS_FILE)

    @torch.inference_mode()
    def _encode_from(self, start: int, length: int, device: torch.device, at_once: int = 128) -> Tensor:
        """Latents (N, C, T) of so many samples of the training split, from a sample on."""
        waveforms, scale = self.waveforms["train"], self.lead_scale.to(device)
        encoded = []
        for some in torch.arange(len(waveforms)).split(at_once):
            signal = waveforms.millivolts(some).to(device)
            encoded.append(self.autoencoder.encode(signal[..., start : start + length] / scale)[0].float().cpu())
        return torch.cat(encoded)

    @torch.inference_mode()
    def _encode(self, split: str, device: torch.device, at_once: int = 128) -> tuple[Tensor, Tensor]:
        """Latents (N, C, T) of a split, and the mean absolute error of their reconstructions in mV per lead, (8,)."""
        waveforms = self.waveforms[split]
        rows = torch.arange(len(waveforms))
        scale = self.lead_scale.to(device)
        encoded, errors = [], torch.zeros(len(scale), device=device)
        for some in rows.split(at_once):
            signal = waveforms.millivolts(some).to(device)
            mean, _ = self.autoencoder.encode(signal / scale)
            restored = self.autoencoder.decode(mean, signal.shape[-1]) * scale
            errors += (restored - signal).abs().mean(dim=2).sum(dim=0)
            encoded.append(mean.float().cpu())
        return torch.cat(encoded), (errors / len(rows)).cpu()
