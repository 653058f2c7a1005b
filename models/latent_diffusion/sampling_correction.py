"""Ways of sampling, and what each loses on average, which is given back or taken into account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from torch import Tensor

CORRECTED_ON: Final = 128
"""Recordings on which it is found out what a way of sampling loses."""


@dataclass(frozen=True)
class Sampling:
    """A way of sampling latents.

    Attributes:
        steps: denoising steps.
        guidance: scale of classifier-free guidance of the denoiser; 1 for none.
        trait_guidance: that of the prior.
    """

    steps: int
    guidance: float
    trait_guidance: float


@dataclass(frozen=True)
class Solved:
    """What a way of sampling has made of some rows, in latents (B, C, T).

    Attributes:
        shown: of the simulated ECGs that the denoiser saw; zero, the mean of recordings, without any.
        latents: as the solver leaves them.
        levels: (B, size) that were drawn, or None.
        r_peaks_s: per row the R peaks of the guide in seconds; empty without a guide.
    """

    shown: Tensor
    latents: Tensor
    levels: Tensor | None
    r_peaks_s: Sequence[np.ndarray]


@dataclass(frozen=True)
class Correction:
    """What a way of sampling loses on average.

    Attributes:
        louder: (levels,) log RMS by which latents have to be louder than the solver leaves them; None without levels.
        steadier: factor of what differs from beat to beat, which being made louder has made too large
            (`models.latent_diffusion.beat_variation`).
        given: (numbers,) by how much decoded signals are unlike those of recordings, as
            `models.latent_diffusion.residual_spectrum` describes them; None without a detail head.
    """

    louder: Tensor | None = None
    steadier: float = 1.0
    given: Tensor | None = None
