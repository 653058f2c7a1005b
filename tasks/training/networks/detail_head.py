"""Training of the detail head on what the autoencoder smooths away. It sees no condition."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.latent_diffusion.autoencoder import Autoencoder
from models.latent_diffusion.detail_head import DetailHead, DetailObjective
from tasks.training.data.weight_files import (
    AUTOENCODER_FILE,
    DETAIL_FILE,
    LATENTS_FILE,
    save_weights,
)
from tasks.training.networks.recipe import Material, Recipe, beats_and_waveforms

SPECTRUM_RECORDINGS: Final = 4096
"""At most this many recordings, evenly chosen, are what the detail head's spectrum is fitted to; all have to fit into
memory several times."""


class DetailRecipe(Recipe):
    """Stage 2: the detail head on recordings and what the autoencoder makes of them. Leaves its averaged weights.

    It learns from reconstructions of training recordings, which the autoencoder has seen, and serves signals that it
    has not. That is right as long as the autoencoder reconstructs both alike; the facts of a model tell both errors.
    """

    leaves: ClassVar[str] = DETAIL_FILE

    def __init__(self, material: Material) -> None:
        self.schedule = self.settings = material.settings.detail
        self.staging, self.ema_decay = material.staging, 0.99
        self.lead_scale = torch.tensor(material.facts.lead_scale_mv)[:, None]
        _, self.waveforms = beats_and_waveforms(material)
        self.rows = {split: len(waveforms) for split, waveforms in self.waveforms.items()}
        self.decoded = self._decode(material)
        self.head = DetailHead(self.settings.architecture, material.facts.sampling_rate_hz)
        rows = torch.arange(self.rows["train"])[:: -(-self.rows["train"] // SPECTRUM_RECORDINGS)]
        self.head.spectrum.fit(self._signal("train", rows), self.decoded["train"][rows])
        self.objective = DetailObjective(self.head)
        self.learner = self.head

    def _signal(self, split: str, rows: Tensor) -> Tensor:
        return self.waveforms[split].millivolts(rows) / self.lead_scale

    @torch.inference_mode()
    def _decode(self, material: Material, at_once: int = 128) -> dict[str, Tensor]:
        """What the autoencoder makes of every recording, (N, 8, samples) per split, as precisely as in generation."""
        autoencoder = Autoencoder(material.settings.autoencoder.architecture)
        autoencoder.load_state_dict(load_file(material.autoencoder / AUTOENCODER_FILE))
        latents, samples = load_file(material.autoencoder / LATENTS_FILE), material.facts.samples
        return {
            split: torch.cat([autoencoder.decode(some, samples) for some in latents[split].split(at_once)])
            for split in self.waveforms
        }

    def batch(self, split: str, rows: Tensor, device: torch.device) -> dict[str, Any]:
        """Recordings and their reconstructions in lead standard deviations."""
        return {"signal": self._signal(split, rows).to(device), "decoded": self.decoded[split][rows].to(device)}

    def finish(self, device: torch.device) -> None:
        """Save the detail head."""
        save_weights(self.head, self.staging / DETAIL_FILE)
