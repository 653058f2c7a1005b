"""The stages of training: what each learns, from which batches, and what it leaves behind.

Stage 1 is the autoencoder with the beat decoder, stage 2 the denoiser, stage 3 the detail head, stage 4 the student
that samples fast. All run in one loop (`tasks.training_loop`), which asks a stage for an objective (a module whose
forward pass returns losses), batches, and what to save at the end.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.autoencoder import Autoencoder, AutoencoderObjective
from models.beat_decoder import BeatDecoder
from models.beats import beat_samples, beats_on_grid
from models.cardiac_phase import phase_channel_count, phase_channels, times_within
from models.denoiser import Denoiser
from models.detail import DetailHead, DetailObjective
from models.diffusion import DiffusionObjective
from models.distillation import DistillationObjective
from models.physics import BeatEquation, BeatPhysics, WaveFit
from tasks.settings import (
    AutoencoderTraining,
    DetailTraining,
    DiffusionTraining,
    DistillationTraining,
    TrainingSettings,
)
from tasks.training_data import beat_windows, load_split, random_crops

AUTOENCODER_FILE: Final = "autoencoder.safetensors"
BEAT_DECODER_FILE: Final = "beat_decoder.safetensors"
DENOISER_FILE: Final = "denoiser.safetensors"
DETAIL_FILE: Final = "detail.safetensors"
STUDENT_FILE: Final = "student.safetensors"
WAVE_FIT_FILE: Final = "simulator_fit.safetensors"
LATENTS: Final = "_latents/latents.safetensors"
SPECTRUM_RECORDINGS: Final = 4096
"""At most this many recordings, evenly chosen, are what the detail head's spectrum is fitted to; all have to fit into
memory several times."""


class TrainingStage(ABC):
    """What the training loop needs to know of a stage.

    Attributes:
        schedule: steps, batch size and learning rate among the stage's settings.
        objective: module whose forward pass takes a batch and returns the loss and its parts.
        learner: the part of the objective that learns.
        ema_decay: decay of the averaged weights, None for no average.
        rows: recordings per split.
        leaves: the last file that `finish` writes.
    """

    schedule: AutoencoderTraining | DiffusionTraining | DetailTraining | DistillationTraining
    objective: nn.Module
    learner: nn.Module
    ema_decay: float | None
    rows: dict[str, int]
    leaves: ClassVar[str]

    @abstractmethod
    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Arguments of the objective for some rows of a split."""

    @abstractmethod
    def finish(self, device: torch.device) -> None:
        """Save what the stage learned; called once, on the first worker, with the final weights in `learner`."""


class AutoencoderStage(TrainingStage):
    """Stage 1: autoencoder and beat decoder on waveforms. Leaves their weights and the latents of all recordings."""

    leaves = LATENTS

    def __init__(self, staging: Path, recordings: Path, settings: TrainingSettings, facts: dict[str, Any]) -> None:
        self.schedule = self.settings = settings.autoencoder
        self.staging, self.ema_decay, self.shifts = staging, None, settings.diffusion.shifts
        self.rate_hz: int = facts["sampling_rate_hz"]
        self.lead_scale = torch.tensor(facts["lead_scale_mv"])[:, None]
        self.splits = {split: load_split(staging, recordings, split) for split in ("train", "validation")}
        self.rows = {split: len(data) for split, data in self.splits.items()}
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
        data = self.splits[split]
        signal = data.millivolts(rows).to(device) / self.lead_scale.to(device)
        r_peaks = data.r_peaks[rows].to(device)
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
        for split in self.splits:
            latents[split], latents[f"{split}_mae_mv"] = self._encode(split, device)
        latents["mean"] = latents["train"].mean(dim=(0, 2))
        latents["std"] = latents["train"].std(dim=(0, 2)).clamp_min(1e-4)
        starts = shift_starts(self.shifts, self.settings.architecture.downsampling)
        latents["shifted"] = torch.stack([self._encode_from(start, starts[-1], device) for start in starts])
        save_tensors(latents, self.staging / LATENTS)

    @torch.inference_mode()
    def _encode_from(self, start: int, last: int, device: torch.device, at_once: int = 128) -> Tensor:
        """Latents (N, C, T) of the training split from a sample on, all as long as those from the sample `last` on."""
        data, scale = self.splits["train"], self.lead_scale.to(device)
        encoded = []
        for some in torch.arange(len(data)).split(at_once):
            signal = data.millivolts(some).to(device)
            whole = signal.shape[-1] - last
            piece = whole if last == 0 else whole - whole % self.settings.architecture.downsampling
            encoded.append(self.autoencoder.encode(signal[..., start : start + piece] / scale)[0].float().cpu())
        return torch.cat(encoded)

    @torch.inference_mode()
    def _encode(self, split: str, device: torch.device, at_once: int = 128) -> tuple[Tensor, Tensor]:
        """Latents (N, C, T) of a split, and the mean absolute error of their reconstructions in mV per lead, (8,)."""
        rows = torch.arange(len(self.splits[split]))
        scale = self.lead_scale.to(device)
        encoded, errors = [], torch.zeros(len(scale), device=device)
        for some in rows.split(at_once):
            signal = self.splits[split].millivolts(some).to(device)
            mean, _ = self.autoencoder.encode(signal / scale)
            restored = self.autoencoder.decode(mean, signal.shape[-1]) * scale
            errors += (restored - signal).abs().mean(dim=2).sum(dim=0)
            encoded.append(mean.float().cpu())
        return torch.cat(encoded), (errors / len(rows)).cpu()


class DenoiserStage(TrainingStage):
    """Stage 2: the denoiser on standardised latents, with the physics terms. Leaves its averaged weights."""

    leaves: ClassVar[str] = DENOISER_FILE

    def __init__(self, staging: Path, recordings: Path, settings: TrainingSettings, facts: dict[str, Any]) -> None:
        self.schedule = self.settings = settings.diffusion
        self.staging, self.ema_decay = staging, self.settings.ema_decay
        saved = load_file(staging / LATENTS)
        mean, std = saved["mean"], saved["std"]
        self.latents = {split: (saved[split] - mean[:, None]) / std[:, None] for split in ("train", "validation")}
        self.shifted = (saved["shifted"] - mean[:, None]) / std[:, None]
        self.starts_s = torch.tensor(
            shift_starts(len(self.shifted), settings.autoencoder.architecture.downsampling)
        ) / float(facts["sampling_rate_hz"])
        self.splits = {split: load_split(staging, recordings, split, waveforms=False) for split in self.latents}
        self.rows = {split: len(data) for split, data in self.splits.items()}
        shape = settings.autoencoder.architecture
        self.samples_per_step, self.rate_hz = shape.downsampling, int(facts["sampling_rate_hz"])
        channels = phase_channel_count(shape.downsampling) if self.settings.physics.phase_channels else 0
        self.denoiser = Denoiser(self.settings.architecture, shape.latent_channels, channels)
        self.learner = self.denoiser

        physics = None
        if weights := self.settings.physics.weights():
            beat_shape = settings.autoencoder.beat_decoder
            beat_decoder = BeatDecoder(beat_shape, shape.latent_channels, shape.downsampling, facts["sampling_rate_hz"])
            beat_decoder.load_state_dict(load_file(staging / BEAT_DECODER_FILE))
            equation = BeatEquation(beat_shape, WaveFit(**load_file(staging / WAVE_FIT_FILE)))
            physics = BeatPhysics(beat_decoder, equation, mean, std, torch.tensor(facts["lead_scale_mv"]), weights)
        self.objective = DiffusionObjective(
            self.denoiser,
            self.settings.timesteps,
            self.settings.condition_dropout,
            self.settings.unconditional,
            physics,
        )

    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Latents with their conditions, simulator classes, heart rates and cardiac-phase channels."""
        data = self.splits[split]
        latents, r_times = self._piece(rows) if split == "train" else (self.latents[split][rows], data.r_times[rows])
        phase = None
        if self.settings.physics.phase_channels:
            phase = phase_channels(r_times.to(device), latents.shape[-1], self.samples_per_step, self.rate_hz)
        condition = data.condition[rows]
        if self.settings.group_share > 0:
            as_group = torch.rand(len(rows)) < self.settings.group_share
            condition = condition.where(as_group, data.group_condition[rows])
        if not self.settings.experience:
            condition = condition.without_knowledge()
        return {
            "latents": latents.to(device),
            "condition": condition.to(device),
            "wave_class": data.wave_class[rows].to(device),
            "omega": data.omega[rows].to(device),
            "phase": phase,
        }

    def _piece(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """A random piece of each training recording, at a random shift: latents (n, C, T), R peaks (n, P) in seconds."""
        steps = self.shifted.shape[-1]
        length = max(1, round(self.settings.crop_share * steps))
        shift = torch.randint(0, len(self.shifted), (len(rows),))
        first = torch.randint(0, steps - length + 1, (len(rows),))
        places = (first[:, None] + torch.arange(length))[:, None]
        whole = self.shifted[shift, rows]
        step_s = self.samples_per_step / self.rate_hz
        start_s = self.starts_s[shift] + first * step_s
        r_times = times_within(self.splits["train"].r_times[rows], start_s, length * step_s)
        return whole.gather(2, places.expand(-1, whole.shape[1], -1)), r_times

    def finish(self, device: torch.device) -> None:
        """Save the denoiser."""
        save_weights(self.denoiser, self.staging / DENOISER_FILE)


class StudentStage(DenoiserStage):
    """Stage 4: a copy of the denoiser learns its guided velocity, on the same batches. Leaves its averaged weights."""

    leaves = STUDENT_FILE

    def __init__(self, staging: Path, recordings: Path, settings: TrainingSettings, facts: dict[str, Any]) -> None:
        super().__init__(staging, recordings, settings, facts)
        self.schedule = settings.distillation
        self.ema_decay = settings.distillation.ema_decay
        teacher, trained = self.denoiser, load_file(staging / DENOISER_FILE)
        self.learner = copy.deepcopy(teacher)
        for network in (teacher, self.learner):
            network.load_state_dict(trained)
        self.objective = DistillationObjective(
            self.learner,
            teacher,
            self.settings.timesteps,
            settings.distillation.guidance,
            self.settings.condition_dropout,
        )

    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Latents with their conditions and cardiac-phase channels."""
        whole = super().batch(split, rows, device)
        return {name: whole[name] for name in ("latents", "condition", "phase")}

    def finish(self, device: torch.device) -> None:
        """Save the student."""
        save_weights(self.learner, self.staging / STUDENT_FILE)


class DetailStage(TrainingStage):
    """Stage 3: the detail head on recordings and what the autoencoder makes of them. Leaves its averaged weights.

    It learns from reconstructions of training recordings, which the autoencoder has seen, and serves signals that it
    has not. That is right as long as the autoencoder reconstructs both alike; the facts of a model tell both errors.
    """

    leaves = DETAIL_FILE

    def __init__(self, staging: Path, recordings: Path, settings: TrainingSettings, facts: dict[str, Any]) -> None:
        self.schedule = self.settings = settings.detail
        self.staging, self.ema_decay = staging, self.settings.ema_decay
        self.lead_scale = torch.tensor(facts["lead_scale_mv"])[:, None]
        self.splits = {split: load_split(staging, recordings, split) for split in ("train", "validation")}
        self.rows = {split: len(data) for split, data in self.splits.items()}
        self.decoded = self._decode(settings, int(facts["samples"]))
        self.head = DetailHead(self.settings.architecture, facts["sampling_rate_hz"])
        rows = torch.arange(self.rows["train"])[:: -(-self.rows["train"] // SPECTRUM_RECORDINGS)]
        self.head.spectrum.fit(self._signal("train", rows), self.decoded["train"][rows])
        self.objective = DetailObjective(self.head, self.settings.crop_share)
        self.learner = self.head

    def _signal(self, split: str, rows: Tensor) -> Tensor:
        return self.splits[split].millivolts(rows) / self.lead_scale

    @torch.inference_mode()
    def _decode(self, settings: TrainingSettings, samples: int, at_once: int = 128) -> dict[str, Tensor]:
        """What the autoencoder makes of every recording, (N, 8, samples) per split, as precisely as in generation."""
        autoencoder = Autoencoder(settings.autoencoder.architecture)
        autoencoder.load_state_dict(load_file(self.staging / AUTOENCODER_FILE))
        latents = load_file(self.staging / LATENTS)
        return {
            split: torch.cat([autoencoder.decode(some, samples) for some in latents[split].split(at_once)])
            for split in self.splits
        }

    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Recordings and their reconstructions in lead standard deviations."""
        return {"signal": self._signal(split, rows).to(device), "decoded": self.decoded[split][rows].to(device)}

    def finish(self, device: torch.device) -> None:
        """Save the detail head."""
        save_weights(self.head, self.staging / DETAIL_FILE)


STAGES: Final[dict[str, type[AutoencoderStage] | type[DenoiserStage] | type[DetailStage] | type[StudentStage]]] = {
    "autoencoder": AutoencoderStage,
    "denoiser": DenoiserStage,
    "detail": DetailStage,
    "student": StudentStage,
}
"""Stages by name, in the order in which they run."""


def shift_starts(shifts: int, downsampling: int) -> list[int]:
    """Samples at which shifted encodings begin, spread over one latent step, the first at 0."""
    return [shift * downsampling // shifts for shift in range(min(shifts, downsampling))]


def save_weights(network: nn.Module, path: Path) -> None:
    """Save a network's weights; the file appears whole or not at all."""
    save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}, path)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Save tensors as safetensors; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    save_file(tensors, partial)
    partial.replace(path)


def reconstruction_error(staging: Path) -> dict[str, list[float]]:
    """Mean absolute error of the autoencoder's reconstructions per split and lead, in mV."""
    with safe_open(staging / LATENTS, framework="pt") as saved:
        return {split: saved.get_tensor(f"{split}_mae_mv").tolist() for split in ("train", "validation")}


def latent_statistics(staging: Path) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over the training split."""
    with safe_open(staging / LATENTS, framework="pt") as saved:
        return saved.get_tensor("mean").tolist(), saved.get_tensor("std").tolist()
