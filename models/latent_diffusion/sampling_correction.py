"""What is measured to find out what a solver loses on average, which is given back or taken into account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from torch import Tensor

CORRECTED_ON: Final = 128
"""Recordings on which it is found out what a solver loses."""


@dataclass(frozen=True)
class Solved:
    """What a solver has made of some rows, in latents (B, C, T).

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
