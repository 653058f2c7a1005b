"""A fixed filter per lead that makes the spectrum of ECGs flatter, exactly invertible on a recording.

A flow starts from white noise and counts every feature of its target alike. Most of an ECG's power lies below a few
hertz, so without a filter what is fine would not be learned. The gain at frequency f is S(f)^−0.35 of the smoothed mean
power spectrum S of training recordings, and each lead ends with unit variance.

The recording is mirrored at both ends before it is transformed (DCT-II): circular filters would see a jump where its
end meets its beginning. A gain that is positive at every frequency is undone by its reciprocal.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from models.leads import INDEPENDENT_LEADS

EXPONENT: Final = -0.35
SMOOTHING: Final = 1.2
"""The spectrum at f is the mean over f / 1.2 to 1.2 f."""
WEAKEST: Final = 1e-7
"""Power relative to the strongest frequency below which a spectrum counts as this: nothing is amplified without end."""


class SpectralFilter(nn.Module):
    """Millivolts to filtered leads of unit variance and back; fitted in closed form to training recordings.

    Args:
        samples: length of the recordings.

    Attributes:
        gain: (8, samples + 1) at the frequencies k · rate / (2 · samples).
    """

    gain: Tensor

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples
        self.register_buffer("gain", torch.ones(len(INDEPENDENT_LEADS), samples + 1))

    def power(self, signal_mv: Tensor) -> Tensor:
        """Power spectrum (8, samples + 1) in mV², summed over recordings (B, 8, samples)."""
        return self._spectrum(signal_mv.double()).abs().square().sum(dim=0) / (2 * self.samples) ** 2

    def fit(self, mean_power: Tensor) -> None:
        """Fit to the mean of `power` over training recordings.

        Args:
            mean_power: (8, samples + 1) in mV².
        """
        places = torch.arange(self.samples + 1, device=mean_power.device)
        first = (places / SMOOTHING).floor().long()
        after = (places * SMOOTHING).floor().long().clamp(max=self.samples) + 1
        summed = torch.nn.functional.pad(mean_power.double().cumsum(dim=1), (1, 0))
        smooth = (summed[:, after] - summed[:, first]) / (after - first)
        strongest = smooth.amax(dim=1, keepdim=True).clamp_min(1e-12)
        gain = (smooth / strongest).clamp_min(WEAKEST) ** EXPONENT
        twice = torch.full((self.samples + 1,), 2.0, dtype=torch.float64, device=gain.device)
        twice[0] = twice[-1] = 1.0
        variance = (gain.square() * mean_power * twice).sum(dim=1, keepdim=True).clamp_min(1e-12)
        self.gain = (gain / variance.sqrt()).float()

    def forward(self, signal_mv: Tensor) -> Tensor:
        """(B, 8, samples) in mV to filtered leads of about unit variance."""
        return self._scaled(signal_mv, self.gain)

    def inverse(self, filtered: Tensor) -> Tensor:
        """Filtered leads (B, 8, samples) to mV."""
        return self._scaled(filtered, 1 / self.gain)

    def _scaled(self, signal: Tensor, gain: Tensor) -> Tensor:
        return torch.fft.irfft(self._spectrum(signal) * gain, n=2 * self.samples)[..., : self.samples]

    def _spectrum(self, signal: Tensor) -> Tensor:
        """(B, 8, samples) to (B, 8, samples + 1) complex: of the signal and its mirror image one after the other."""
        return torch.fft.rfft(torch.cat([signal, signal.flip(-1)], dim=-1))
