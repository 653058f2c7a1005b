"""Training of the flow on waveforms and conditions."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.beats.prior import BeatPrior
from models.flow.guide import guide, jittered
from models.flow.objective import FlowObjective
from models.flow.spectral_filter import SpectralFilter
from models.flow.transformer import FlowTransformer
from models.leads import INDEPENDENT_LEADS
from tasks.training.data.conditions import load_conditions
from tasks.training.data.recorded import load_recorded
from tasks.training.data.recordings import LEARNING_SPLITS
from tasks.training.data.weight_files import FILTER_FILE, FLOW_FILE, PRIOR_FILE, save_weights
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
        self.objective = FlowObjective(self.network)

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
        first = 0
        if learns:
            channels, first = self._piece(channels)
        else:
            channels = channels[..., : self.patches * self.network.samples]
        leads = len(INDEPENDENT_LEADS)
        data = self.conditions[split]
        return {
            "signal": channels[:, :leads],
            "guide": channels[:, leads:],
            "guided": recorded.known[rows].to(device),
            "condition": data.shown(rows, self.settings.group_share, self.settings.experience).to(device),
            "first": first,
        }

    def _piece(self, channels: Tensor) -> tuple[Tensor, int]:
        """Pieces of whole patches at random places, louder or softer; and the position of their first patch, at random
        too, so that every position of a whole recording is learned."""
        length = max(1, round(self.settings.crop_share * self.patches))
        samples, device = length * self.network.samples, channels.device
        start = torch.randint(0, channels.shape[-1] - samples + 1, (len(channels), 1, 1), device=device)
        places = (start + torch.arange(samples, device=device)).expand(-1, channels.shape[1], -1)
        piece = channels.gather(2, places)
        gain = 1 + GAIN * (2 * torch.rand(len(channels), 1, 1, device=device) - 1)
        piece[:, : 2 * len(INDEPENDENT_LEADS)] *= gain
        return piece, int(torch.randint(0, self.patches - length + 1, ()))

    def finish(self, device: torch.device) -> None:
        """Save the transformer."""
        save_weights(self.network, self.staging / FLOW_FILE)
