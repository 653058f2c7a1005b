"""Levels: how strong a recording is beside what the simulator shows of it, per latent channel and frequency band.

Baseline wander, noise and beats unlike the usual one differ more between people than a network learns to make of noise
alone: its recordings are all of middling wander. So levels are drawn for the condition, like the beat
(`models.latent_diffusion.trait_prior`), and the denoiser is told them. What it makes is still too quiet, the more so
the fewer the solver's steps; what is lacking on average is given to every recording alike. Bringing each recording to
its own levels, which ten seconds say roughly only, made recordings that are told from people's more easily.
"""

from __future__ import annotations

import itertools
import math
from typing import Final

import torch
from torch import Tensor, nn

from models.latent_diffusion.residual_spectrum import FLOOR, filtered, grid_size, interpolation, power_spectrum

BAND_EDGES_HZ: Final = (0.0, 0.5, 1.5, 3.5, math.inf)
"""Wander; the rhythm of the beats; their slow and their fast shape. Latents end at half of their own sampling rate."""
GRID_HZ: Final = 0.25
FURTHEST: Final = 3.5
"""Standard deviations from the mean that levels may lie."""
CORRECTION: Final = 1.0
"""Largest correction of a log level."""
EXAGGERATED: Final = 1.5
"""By how much further from the mean the levels are that a denoiser is told than those that it is to make, where it sees
simulated ECGs: what it makes beside them follows what it is told by the factor 0.6 only, for ten seconds say roughly
what they were made with. Without them levels are those of beats too, and are followed."""


def told(coordinates: Tensor | None, simulated_ecg: bool) -> Tensor | None:
    """What a denoiser, which may see simulated ECGs, is told to make these (B, size) coordinates; None for none."""
    if coordinates is None or not simulated_ecg:
        return coordinates
    return (EXAGGERATED * coordinates).clamp(-FURTHEST, FURTHEST)


class Levels(nn.Module):
    """Log RMS per latent channel and band, as principal components; fitted in closed form to training recordings.

    Args:
        channels: of the latent.
        step_hz: latent steps per second.
    """

    mean: Tensor
    axes: Tensor
    spread: Tensor
    bands: Tensor
    between: Tensor

    def __init__(self, channels: int, step_hz: float) -> None:
        super().__init__()
        self.channels, self.rate = channels, step_hz / GRID_HZ
        frequency = torch.arange(grid_size(self.rate)) * GRID_HZ
        edges = [edge for edge in BAND_EDGES_HZ if edge < step_hz / 2] + [math.inf]
        bands = torch.stack([(frequency >= low) & (frequency < high) for low, high in itertools.pairwise(edges)])
        weights = bands / bands.sum(dim=1, keepdim=True)
        self.register_buffer("bands", weights, persistent=False)
        self.register_buffer("between", interpolation(weights @ frequency, frequency), persistent=False)
        self.size = channels * len(bands)
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("axes", torch.eye(self.size))
        self.register_buffer("spread", torch.ones(self.size))

    def fit(self, levels: Tensor) -> None:
        """Fit to (N, size) levels."""
        self.mean = levels.mean(dim=0)
        apart = (levels - self.mean).double()
        values, vectors = torch.linalg.eigh(apart.mT @ apart / max(1, len(levels) - 1))
        self.axes = vectors.mT.flip(0).float().contiguous()
        self.spread = values.flip(0).clamp_min(1e-6).sqrt().float()

    def of(self, difference: Tensor) -> Tensor:
        """Levels (B, size) of standardised latents less what the simulator shows of them, (B, channels, T)."""
        power = power_spectrum(difference, self.rate) @ self.bands.mT
        return 0.5 * (power.flatten(1) + FLOOR).log()

    def coordinates(self, levels: Tensor) -> Tensor:
        """(B, size) levels to (B, size) of about unit variance."""
        return ((levels - self.mean) @ self.axes.mT / self.spread).clamp(-FURTHEST, FURTHEST)

    def lacking(self, difference: Tensor, coordinates: Tensor) -> Tensor:
        """How much louder differences (B, channels, T) would have to be to have, on average over rows, the levels that
        these (B, size) coordinates say: (size,) log RMS."""
        levels = (coordinates * self.spread) @ self.axes + self.mean
        return (levels - self.of(difference)).mean(dim=0).clamp(-CORRECTION, CORRECTION)

    def correction(self, difference: Tensor, coordinates: Tensor) -> Tensor:
        """By how much `louder` has to make differences (B, channels, T) for nothing to lack: (size,) log RMS."""
        total = torch.zeros(self.size, device=difference.device)
        for _ in range(2):  # bands overlap
            total = total + self.lacking(self.louder(difference, total), coordinates)
        return total

    def louder(self, difference: Tensor, correction: Tensor) -> Tensor:
        """A difference (B, channels, T) louder by (size,) log RMS."""
        gain = (correction.view(1, self.channels, -1) @ self.between).exp()
        return filtered(difference, gain, self.rate)
