"""Traits of recordings, and latents of simulated ECGs, as the driver left them for the workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from models.latent_diffusion.residual_levels import Levels
from models.latent_diffusion.trait_prior import TraitPrior
from models.simulator.beat_components import EventComponents
from tasks.settings.training import TrainingSettings


@dataclass(frozen=True)
class TraitSplit:
    """Traits of a split's recordings.

    Attributes:
        rows: (n,) index into the split; recordings without two beats have no usual one, and are left out.
        traits: (n, traits) as `models.latent_diffusion.trait_prior.TraitPrior` has them.
        levels: (N, size) coordinates of all recordings of the split; no columns where there are no levels.
    """

    rows: Tensor
    traits: Tensor
    levels: Tensor

    def __len__(self) -> int:
        return len(self.rows)


def new_prior(settings: TrainingSettings, rate_hz: float) -> TraitPrior:
    """A prior as training settings want it, not fitted to anything yet."""
    shape, simulated_ecg = settings.autoencoder.architecture, settings.diffusion.physics.simulated_ecg
    levels = Levels(shape.latent_channels, rate_hz / shape.downsampling) if settings.diffusion.levels else None
    return TraitPrior(settings.prior.architecture, simulated_ecg, levels)


def events_of(prior: TraitPrior) -> EventComponents:
    """The beats of a prior that has them."""
    assert prior.events is not None
    return prior.events


def load_guides(staging: Path) -> dict[str, Tensor]:
    """Latents of simulated ECGs: (shifts, N, C, T) of the training split, (N, C, T) of the validation split."""
    return load_file(guides_file(staging))


def load_traits(staging: Path, split: str) -> TraitSplit:
    """Traits of a split."""
    return TraitSplit(**load_file(traits_file(staging, split)))


def components_file(staging: Path) -> Path:
    """Where the fitted parts of a `TraitPrior` are kept while a generator is trained."""
    return staging / "_training" / "trait_components.safetensors"


def traits_file(staging: Path, split: str) -> Path:
    """Where `TraitSplit` are kept while a generator is trained."""
    return staging / "_training" / f"traits_{split}.safetensors"


def guides_file(staging: Path) -> Path:
    """Where latents of simulated ECGs are kept while a generator is trained."""
    return staging / "_training" / "guides.safetensors"
