"""Physics terms of the flow's objective: does a beat of the estimated ECG obey the simulator's differential equation?

SE-Diff (arXiv 2511.09895) adds L_Euler and L_inter (`models.simulator.beat_equation`) to the loss of diffusion, on the
beat that a decoder makes of the clean-latent estimate. A flow has no decoder: its estimate x̂0 = x_t − t v is an ECG,
filtered, and the spectral filter's inverse gives its beat in mV.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.ecg.beats import beats_on_grid
from models.flow.spectral_filter import SpectralFilter
from models.simulator.beat_equation import BeatEquation


@dataclass(frozen=True)
class PieceBeats:
    """A beat of each training piece, and the recording around the piece.

    Attributes:
        recording: (B, 8, samples) filtered recordings as a whole, on which the filter can be inverted.
        start: (B,) int64 sample of the recording at which the piece begins.
        r_peak: (B,) sample of the recording, between two where need be, of an R peak whose whole beat the piece holds;
            NaN where it holds none.
        wave_class: (B,) class of the recording's beats.
        omega: (B,) angular heart rate in radians per second.
    """

    recording: Tensor
    start: Tensor
    r_peak: Tensor
    wave_class: Tensor
    omega: Tensor


class FlowPhysics(nn.Module):
    """L_Euler and L_inter of a beat of the clean estimate. Nothing in here learns.

    Each row counts by (1 − t)² / ((1 − t)² + t²), the share of signal in what the network saw: where there was only
    noise, its clean estimate is a mean over many ECGs, which obeys no single beat's equation. A row without a beat does
    not count.

    Args:
        spectral_filter: of the recordings; gradients flow through its inverse.
        equation: of the training data's classes.
        rate_hz: sampling rate.
        weights: "euler" and "inter_lead" to λ and γ; a term that is missing here is not computed.
    """

    def __init__(
        self, spectral_filter: SpectralFilter, equation: BeatEquation, rate_hz: int, weights: Mapping[str, float]
    ) -> None:
        super().__init__()
        self.filter, self.equation = spectral_filter, equation
        self.rate_hz, self.weights = rate_hz, dict(weights)

    def forward(self, clean: Tensor, time: Tensor, beats: PieceBeats) -> dict[str, Tensor]:
        """The terms that have a weight.

        Args:
            clean: (B, 8, samples of a piece) float32 clean estimates, filtered.
            time: (B,) between 0, an ECG, and 1, noise.
            beats: of these pieces.
        """
        known = beats.r_peak.isfinite()
        share = torch.where(known, (1 - time).square() / ((1 - time).square() + time.square()), 0.0)
        terms = {"euler": self.equation.euler, "inter_lead": self.equation.inter_lead}
        # Slopes are differences of nearly equal numbers: half precision would be noise.
        with torch.autocast(clean.device.type, enabled=False):
            beat = beats_on_grid(self.millivolts(clean, beats), beats.r_peak.nan_to_num(nan=0.0), self.rate_hz)
            residual = self.equation.residual(beat, beats.wave_class, beats.omega)
            return {name: (share * terms[name](residual)).mean() for name in self.weights}

    def millivolts(self, clean: Tensor, beats: PieceBeats) -> Tensor:
        """Recordings (B, 8, samples) in mV with their pieces replaced by clean estimates."""
        places = (beats.start[:, None] + torch.arange(clean.shape[-1], device=clean.device))[:, None]
        return self.filter.inverse(beats.recording.scatter(2, places.expand_as(clean), clean))
