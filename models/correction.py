"""What a way of sampling loses on average, and is given back or taken into account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import Tensor

CORRECTED_ON: Final = 128
"""Recordings on which it is found out what a way of sampling loses."""


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
