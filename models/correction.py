"""Ways of sampling, and what each loses on average, which is given back or taken into account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
        fast: let the student do it.
    """

    steps: int
    guidance: float
    trait_guidance: float
    fast: bool


@dataclass(frozen=True)
class Correction:
    """What a way of sampling loses on average.

    Attributes:
        louder: (levels,) log RMS by which latents have to be louder than the solver leaves them; None without levels.
        given: (numbers,) by how much decoded signals are unlike those of recordings, as `models.residual_spectrum`
            describes them; None without a detail head.
    """

    louder: Tensor | None = None
    given: Tensor | None = None
