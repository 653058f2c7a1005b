"""Training of the denoiser on latents."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.ecg.cardiac_phase import phase_channels, times_within
from models.latent_diffusion.beat_decoder import BeatDecoder
from models.latent_diffusion.denoiser import Denoiser
from models.latent_diffusion.diffusion import DiffusionObjective
from models.latent_diffusion.ode_terms import BeatPhysics
from models.latent_diffusion.simulator_conditioning import guide_channel_count
from models.simulator.beat_equation import BeatEquation, WaveFit
from tasks.training.data.beats import load_beats
from tasks.training.data.conditions import load_conditions
from tasks.training.data.latents import shift_starts
from tasks.training.data.recordings import LEARNING_SPLITS
from tasks.training.data.traits import load_guides, load_traits
from tasks.training.data.weight_files import BEAT_DECODER_FILE, DENOISER_FILE, LATENTS_FILE, WAVE_FIT_FILE, save_weights
from tasks.training.networks.recipe import Material, Recipe


class DenoiserRecipe(Recipe):
    """Stage 4: the denoiser on standardised latents, with the physics terms. Leaves its averaged weights."""

    leaves: ClassVar[str] = DENOISER_FILE

    def __init__(self, material: Material) -> None:
        settings, facts = material.settings, material.facts
        self.schedule = self.settings = settings.diffusion
        self.staging, self.ema_decay = material.staging, self.settings.ema_decay
        saved = load_file(material.autoencoder / LATENTS_FILE)
        mean, std = saved["mean"], saved["std"]
        latents = {split: saved[split] for split in LEARNING_SPLITS}
        self.r_times = {split: load_beats(material.autoencoder, split).r_times for split in LEARNING_SPLITS}
        self.splits = {split: load_conditions(material.staging, split) for split in LEARNING_SPLITS}
        guides = load_guides(material.staging) if self.settings.physics.simulated_ecg else {}
        self.levels = {}
        if self.settings.levels:
            self.levels = {split: load_traits(material.staging, split).levels for split in LEARNING_SPLITS}
        self.latents = {split: (one - mean[:, None]) / std[:, None] for split, one in latents.items()}
        self.guides = {split: (one - mean[:, None]) / std[:, None] for split, one in guides.items()}
        self.rows = {split: len(one) for split, one in latents.items()}
        self.shifted = (saved["shifted"] - mean[:, None]) / std[:, None]
        self.starts_s = (
            torch.tensor(shift_starts(settings.autoencoder.architecture.downsampling)) / facts.sampling_rate_hz
        )
        shape = settings.autoencoder.architecture
        self.samples_per_step, self.rate_hz = shape.downsampling, facts.sampling_rate_hz
        channels = guide_channel_count(
            self.settings.physics.phase_channels,
            self.settings.physics.simulated_ecg,
            shape.downsampling,
            shape.latent_channels,
        )
        levels = self.levels["train"].shape[1] if self.levels else 0
        self.denoiser = Denoiser(self.settings.architecture, shape.latent_channels, channels, levels)
        self.learner = self.denoiser

        physics = None
        if weights := self.settings.physics.weights():
            beat_shape = settings.autoencoder.beat_decoder
            beat_decoder = BeatDecoder(beat_shape, shape.latent_channels, shape.downsampling, facts.sampling_rate_hz)
            beat_decoder.load_state_dict(load_file(material.autoencoder / BEAT_DECODER_FILE))
            equation = BeatEquation(WaveFit(**load_file(material.staging / WAVE_FIT_FILE)))
            physics = BeatPhysics(beat_decoder, equation, mean, std, torch.tensor(facts.lead_scale_mv), weights)
        self.objective = DiffusionObjective(self.denoiser, physics)

    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Latents with their conditions, simulator classes, heart rates, the simulator's guide and levels."""
        data = self.splits[split]
        if split == "train":
            latents, r_times, guides = self._piece(rows)
        else:
            latents, r_times = self.latents[split][rows], self.r_times[split][rows]
            guides = [self.guides[split][rows]] if self.guides else []
        if self.settings.physics.phase_channels:
            guides.insert(0, phase_channels(r_times, latents.shape[-1], self.samples_per_step, self.rate_hz))
        condition = data.shown(rows, self.settings.group_share, self.settings.experience)
        return {
            "latents": latents.to(device),
            "condition": condition.to(device),
            "wave_class": data.wave_class[rows].to(device),
            "omega": data.omega[rows].to(device),
            "guide": torch.cat(guides, dim=1).to(device) if guides else None,
            "levels": self.levels[split][rows].to(device) if self.levels else None,
        }

    def _piece(self, rows: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Random pieces of training recordings, at random shifts.

        Returns:
            Latents (n, C, T), R peaks (n, P) in seconds, and latents (n, C, T) of simulated ECGs if there are any.
        """
        steps = self.shifted.shape[-1]
        length = max(1, round(self.settings.crop_share * steps))
        shift = torch.randint(0, len(self.shifted), (len(rows),))
        first = torch.randint(0, steps - length + 1, (len(rows),))
        places = (first[:, None] + torch.arange(length))[:, None].expand(-1, self.shifted.shape[2], -1)
        step_s = self.samples_per_step / self.rate_hz
        start_s = self.starts_s[shift] + first * step_s
        r_times = times_within(self.r_times["train"][rows], start_s, length * step_s)
        shown = [one[shift, rows].gather(2, places) for one in (self.shifted, *self._shifted_guides())]
        return shown[0], r_times, shown[1:]

    def _shifted_guides(self) -> list[Tensor]:
        return [self.guides["train"]] if self.guides else []

    def finish(self, device: torch.device) -> None:
        """Save the denoiser."""
        save_weights(self.denoiser, self.staging / DENOISER_FILE)
