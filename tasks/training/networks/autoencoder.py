"""Training on waveforms: the autoencoder with the beat decoder, and the detail head for what they smooth away.

Neither sees a condition, so that generators that differ in what they are told share both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from models.ecg.beats import beat_samples, beats_on_grid
from models.latent_diffusion.autoencoder import Autoencoder, AutoencoderObjective
from models.latent_diffusion.beat_decoder import BeatDecoder
from models.latent_diffusion.detail_head import DetailHead, DetailObjective
from tasks.training.networks.network_training import (
    AUTOENCODER_FILE,
    BEAT_DECODER_FILE,
    DETAIL_FILE,
    LATENTS_FILE,
    Material,
    TrainingStage,
    save_weights,
)
from tasks.training.training_data import (
    SPLITS,
    BeatSplit,
    beat_windows,
    load_beats,
    millivolts,
    random_crops,
    read_waveforms,
    save_tensors,
)

SPECTRUM_RECORDINGS: Final = 4096
"""At most this many recordings, evenly chosen, are what the detail head's spectrum is fitted to; all have to fit into
memory several times."""


class AutoencoderStage(TrainingStage):
    """Stage 1: autoencoder and beat decoder on waveforms. Leaves their weights and the latents of all recordings."""

    leaves: ClassVar[str] = LATENTS_FILE

    def __init__(self, material: Material) -> None:
        self.schedule = self.settings = material.settings.autoencoder
        self.staging, self.ema_decay = material.staging, None
        self.rate_hz: int = material.facts.sampling_rate_hz
        self.lead_scale = torch.tensor(material.facts.lead_scale_mv)[:, None]
        self.beats, self.signals = _recordings(material)
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
            self.settings.slope_weight,
        )
        self.learner = self.objective

    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Signals in lead standard deviations, the beat around the first R peak, and where all beats are."""
        signal = millivolts(self.signals[split], rows).to(device) / self.lead_scale.to(device)
        r_peaks = self.beats[split].r_peaks[rows].to(device)
        before, after = beat_samples(self.settings.beat_decoder, self.rate_hz)
        if split == "train":
            length = max(round(self.settings.crop_share * signal.shape[-1]), before + after)
            signal, r_peaks = random_crops(signal, r_peaks, length, before, after)
            signal = signal * (self.settings.gain_spread * torch.randn(len(rows), 1, 1, device=device)).exp()
        return {
            "signal": signal,
            "beat": beats_on_grid(signal, r_peaks[:, 0], self.rate_hz, self.settings.beat_decoder),
            "first_r": r_peaks[:, 0],
            "windows": beat_windows(r_peaks, before),
        }

    def finish(self, device: torch.device) -> None:
        """Save both networks and the latents (posterior means) of every recording, with their statistics."""
        save_weights(self.autoencoder, self.staging / AUTOENCODER_FILE)
        save_weights(self.beat_decoder, self.staging / BEAT_DECODER_FILE)
        latents = {}
        for split in self.signals:
            latents[split], latents[f"{split}_mae_mv"] = self._encode(split, device)
        latents["mean"] = latents["train"].mean(dim=(0, 2))
        latents["std"] = latents["train"].std(dim=(0, 2)).clamp_min(1e-4)
        starts = shift_starts(self.settings.shifts, self.settings.architecture.downsampling)
        length = shifted_length(self.signals["train"].shape[-1], starts, self.settings.architecture.downsampling)
        latents["shifted"] = torch.stack([self._encode_from(start, length, device) for start in starts])
        save_tensors(latents, self.staging / LATENTS_FILE)

    @torch.inference_mode()
    def _encode_from(self, start: int, length: int, device: torch.device, at_once: int = 128) -> Tensor:
        """Latents (N, C, T) of so many samples of the training split, from a sample on."""
        signals, scale = self.signals["train"], self.lead_scale.to(device)
        encoded = []
        for some in torch.arange(len(signals)).split(at_once):
            signal = millivolts(signals, some).to(device)
            encoded.append(self.autoencoder.encode(signal[..., start : start + length] / scale)[0].float().cpu())
        return torch.cat(encoded)

    @torch.inference_mode()
    def _encode(self, split: str, device: torch.device, at_once: int = 128) -> tuple[Tensor, Tensor]:
        """Latents (N, C, T) of a split, and the mean absolute error of their reconstructions in mV per lead, (8,)."""
        rows = torch.arange(len(self.signals[split]))
        scale = self.lead_scale.to(device)
        encoded, errors = [], torch.zeros(len(scale), device=device)
        for some in rows.split(at_once):
            signal = millivolts(self.signals[split], some).to(device)
            mean, _ = self.autoencoder.encode(signal / scale)
            restored = self.autoencoder.decode(mean, signal.shape[-1]) * scale
            errors += (restored - signal).abs().mean(dim=2).sum(dim=0)
            encoded.append(mean.float().cpu())
        return torch.cat(encoded), (errors / len(rows)).cpu()


class DetailStage(TrainingStage):
    """Stage 2: the detail head on recordings and what the autoencoder makes of them. Leaves its averaged weights.

    It learns from reconstructions of training recordings, which the autoencoder has seen, and serves signals that it
    has not. That is right as long as the autoencoder reconstructs both alike; the facts of a model tell both errors.
    """

    leaves: ClassVar[str] = DETAIL_FILE

    def __init__(self, material: Material) -> None:
        self.schedule = self.settings = material.settings.detail
        self.staging, self.ema_decay = material.staging, self.settings.ema_decay
        self.lead_scale = torch.tensor(material.facts.lead_scale_mv)[:, None]
        _, self.signals = _recordings(material)
        self.rows = {split: len(signal) for split, signal in self.signals.items()}
        self.decoded = self._decode(material)
        self.head = DetailHead(self.settings.architecture, material.facts.sampling_rate_hz)
        rows = torch.arange(self.rows["train"])[:: -(-self.rows["train"] // SPECTRUM_RECORDINGS)]
        self.head.spectrum.fit(self._signal("train", rows), self.decoded["train"][rows])
        self.objective = DetailObjective(self.head, self.settings.crop_share)
        self.learner = self.head

    def _signal(self, split: str, rows: Tensor) -> Tensor:
        return millivolts(self.signals[split], rows) / self.lead_scale

    @torch.inference_mode()
    def _decode(self, material: Material, at_once: int = 128) -> dict[str, Tensor]:
        """What the autoencoder makes of every recording, (N, 8, samples) per split, as precisely as in generation."""
        autoencoder = Autoencoder(material.settings.autoencoder.architecture)
        autoencoder.load_state_dict(load_file(material.autoencoder / AUTOENCODER_FILE))
        latents, samples = load_file(material.autoencoder / LATENTS_FILE), material.facts.samples
        return {
            split: torch.cat([autoencoder.decode(some, samples) for some in latents[split].split(at_once)])
            for split in self.signals
        }

    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Recordings and their reconstructions in lead standard deviations."""
        return {"signal": self._signal(split, rows).to(device), "decoded": self.decoded[split][rows].to(device)}

    def finish(self, device: torch.device) -> None:
        """Save the detail head."""
        save_weights(self.head, self.staging / DETAIL_FILE)


def _recordings(material: Material) -> tuple[dict[str, BeatSplit], dict[str, Tensor]]:
    """Beats, and waveforms (N, 8, samples) int16 in µV, of both splits."""
    beats = {split: load_beats(material.autoencoder, split) for split in SPLITS}
    return beats, {split: read_waveforms(material.recordings, found.rows.numpy()) for split, found in beats.items()}


def shift_starts(shifts: int, downsampling: int) -> list[int]:
    """Samples at which shifted encodings begin, spread over one latent step, the first at 0."""
    return [shift * downsampling // shifts for shift in range(min(shifts, downsampling))]


def shifted_length(samples: int, starts: list[int], downsampling: int) -> int:
    """Samples of every shifted piece of a recording: whole latent steps that all shifts leave room for."""
    length = samples - starts[-1]
    return length if starts[-1] == 0 else length - length % downsampling


def reconstruction_error(folder: Path) -> dict[str, list[float]]:
    """Mean absolute error of the autoencoder's reconstructions per split and lead, in mV."""
    with safe_open(folder / LATENTS_FILE, framework="pt") as saved:
        return {split: saved.get_tensor(f"{split}_mae_mv").tolist() for split in SPLITS}


def latent_statistics(folder: Path) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over the training split."""
    with safe_open(folder / LATENTS_FILE, framework="pt") as saved:
        return saved.get_tensor("mean").tolist(), saved.get_tensor("std").tolist()
