"""Training of the flow on waveforms and conditions."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.beats.prior import BeatPrior
from models.ecg.beats import first_whole_beat
from models.flow.guide import guide, jittered
from models.flow.objective import FlowObjective
from models.flow.physics import FlowPhysics, PieceBeats
from models.flow.spectral_filter import SpectralFilter
from models.flow.transformer import FlowTransformer
from models.leads import INDEPENDENT_LEADS
from models.rhythm.rendering import is_ectopic
from models.simulator.beat_equation import BeatEquation, WaveFit
from tasks.training.data.conditions import load_conditions
from tasks.training.data.recorded import load_recorded
from tasks.training.data.recordings import LEARNING_SPLITS
from tasks.training.data.weight_files import FILTER_FILE, FLOW_FILE, PRIOR_FILE, WAVE_FIT_FILE, save_weights
from tasks.training.networks.recipe import Material, Recipe, beats_and_waveforms

GAIN: Final = 0.1
"""Share by which a training recording and its guide are made larger or smaller at most."""


class FlowRecipe(Recipe):
    """The flow on filtered recordings with their guides, once the prior of beats is there. Leaves averaged weights."""

    leaves: ClassVar[str] = FLOW_FILE

    def __init__(self, material: Material) -> None:
        settings, facts = material.settings, material.facts
        self.schedule = self.settings = settings.flow
        self.staging, self.ema_decay = material.staging, self.settings.ema_decay
        self.rate_hz: int = facts.sampling_rate_hz
        beats, self.waveforms = beats_and_waveforms(material)
        self.conditions = {split: load_conditions(material.staging, split) for split in LEARNING_SPLITS}
        self.rows = {split: len(found) for split, found in beats.items()}
        self.recorded = {split: load_recorded(material.staging, split) for split in LEARNING_SPLITS}
        self.patients = self.recorded["train"].patients
        self.prior = BeatPrior(self.settings.beats.architecture).eval().requires_grad_(False)
        self.prior.load_state_dict(load_file(material.staging / PRIOR_FILE))
        self.coordinates = {split: self.prior.coordinates(found.beats) for split, found in self.recorded.items()}
        self.filter = SpectralFilter(facts.samples)
        self.filter.load_state_dict(load_file(material.staging / FILTER_FILE))
        self.network = FlowTransformer(self.settings.architecture, facts.sampling_rate_hz)
        self.patches = facts.samples // self.network.samples
        self.learner = self.network
        self.physics: FlowPhysics | None = None
        if weights := self.settings.physics.weights():
            equation = BeatEquation(WaveFit(**load_file(material.staging / WAVE_FIT_FILE)))
            self.physics = FlowPhysics(self.filter, equation, self.rate_hz, weights)
        self.objective = FlowObjective(self.network, self.physics)

    @torch.no_grad()
    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Filtered recordings, guides and conditions; of the training split pieces of them, at random places."""
        self.filter.to(device)
        self.prior.to(device)
        signal, recorded = self.waveforms[split].millivolts(rows).to(device), self.recorded[split]
        known = self.coordinates[split][rows].to(device), recorded.beats.has_ectopic[rows].to(device)
        learns = split == "train"
        beats = jittered(self.prior, *known) if learns else self.prior.beats(*known)
        seeds = torch.randint(2**62, (len(rows),)) if learns else rows
        shown = guide(beats, recorded.rhythm[rows].to(device), self.filter, self.rate_hz, seeds.to(device))
        channels = torch.cat([self.filter(signal), shown], dim=1)
        if learns:
            channels, start, first, count = self._place(channels)
        else:
            start, first, count = torch.zeros(len(rows), dtype=torch.int64, device=device), 0, self.patches
        places = (start[:, None] + torch.arange(count * self.network.samples, device=device))[:, None]
        piece = channels.gather(2, places.expand(-1, channels.shape[1], -1))
        leads = len(INDEPENDENT_LEADS)
        data = self.conditions[split]
        found = {
            "signal": piece[:, :leads],
            "guide": piece[:, leads:],
            "guided": recorded.known[rows].to(device),
            "condition": data.shown(rows, self.settings.group_share, self.settings.experience).to(device),
            "first": first,
        }
        if self.physics is not None:
            found["beats"] = self._beats(split, rows, channels[:, :leads], start, piece.shape[-1])
        return found

    def _place(self, channels: Tensor) -> tuple[Tensor, Tensor, int, int]:
        """Where pieces of whole patches lie, at random.

        Returns:
            The channels, louder or softer; the first sample of each piece; the position of their first patch, at random
            too, so that every position of a whole recording is learned; and their number of patches.
        """
        length, device = max(1, round(self.settings.crop_share * self.patches)), channels.device
        last = channels.shape[-1] - length * self.network.samples
        start = torch.randint(0, last + 1, (len(channels),), device=device)
        gain = 1 + GAIN * (2 * torch.rand(len(channels), 1, 1, device=device) - 1)
        leads = 2 * len(INDEPENDENT_LEADS)
        channels = torch.cat([channels[:, :leads] * gain, channels[:, leads:]], dim=1)
        return channels, start, int(torch.randint(0, self.patches - length + 1, ())), length

    def _beats(self, split: str, rows: Tensor, recording: Tensor, start: Tensor, samples: int) -> PieceBeats:
        """The first whole beat of each piece that is not an ectopic one."""
        recorded, data = self.recorded[split], self.conditions[split]
        rhythm, device = recorded.rhythm[rows], recording.device
        times_s = torch.where(is_ectopic(recorded.beats[rows], rhythm), torch.nan, rhythm.r_times_s).to(device)
        return PieceBeats(
            recording=recording,
            start=start,
            r_peak=first_whole_beat(times_s * self.rate_hz, start[:, None], start[:, None] + samples, self.rate_hz),
            wave_class=data.wave_class[rows].to(device),
            omega=data.omega[rows].to(device),
        )

    def finish(self, device: torch.device) -> None:
        """Save the transformer."""
        save_weights(self.network, self.staging / FLOW_FILE)
