"""From a latent to one canonical beat: the beat around the first R peak, on the fine grid.

The decoder first says where the first R peak is (a soft distribution over samples), then cuts feature maps around that
place by correlation, so that where and what are learned separately. Every step is differentiable, so that physics terms
on the beat reach whatever made the latent.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.architecture import BeatDecoderArchitecture
from models.ecg.beats import BEAT_GRID_HZ, MARGIN_S, beat_samples, upsample
from models.leads import INDEPENDENT_LEADS


class DecodedBeat(NamedTuple):
    """What the beat decoder says.

    Attributes:
        beat: (B, 8, beat samples) on the fine grid, in lead standard deviations.
        place: (B, samples) logits of the sample at which the first whole beat has its R peak.
    """

    beat: Tensor
    place: Tensor


class DilatedBlock(nn.Module):
    """Residual dilated convolution over the latent. (B, C, T) to (B, C, T)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation),
            nn.SiLU(),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class BeatDecoder(nn.Module):
    """Latent to canonical beat.

    Args:
        architecture: width.
        latent_channels: channels of the latent.
        downsampling: samples per latent step.
        rate_hz: sampling rate of the recordings.
    """

    def __init__(
        self, architecture: BeatDecoderArchitecture, latent_channels: int, downsampling: int, rate_hz: int
    ) -> None:
        super().__init__()
        width = architecture.width
        self.features = 32
        self.latent_step_s = downsampling / rate_hz
        self.factor = BEAT_GRID_HZ // rate_hz
        self.before, self.after = beat_samples(rate_hz)
        self.margin = round(MARGIN_S * rate_hz)
        self.trunk = nn.Sequential(
            nn.Conv1d(latent_channels + 1, width, 3, padding=1),
            *[DilatedBlock(width, dilation) for dilation in (1, 2, 4, 8, 1)],
        )
        self.place = nn.ConvTranspose1d(width, 1, downsampling, stride=downsampling)
        self.maps = nn.ConvTranspose1d(width, self.features, downsampling, stride=downsampling)
        self.head = nn.Sequential(
            nn.Conv1d(self.features, width, 5, padding=2),
            nn.SiLU(),
            nn.Conv1d(width, len(INDEPENDENT_LEADS), 5, padding=2),
        )

    def forward(self, latent: Tensor) -> DecodedBeat:
        """(B, latent_channels, T) to a `DecodedBeat`."""
        # Time in tens of seconds, whatever the length: "first" is a matter of where one is.
        time = torch.arange(latent.shape[-1], device=latent.device, dtype=latent.dtype) * self.latent_step_s / 10
        trunk = self.trunk(torch.cat([latent, time.expand(len(latent), 1, -1)], dim=1))
        place = self.place(trunk)[:, 0].float()
        around = self._cut_around(self.maps(trunk).float(), place.softmax(dim=-1))
        beat = upsample(self.head(around).float(), self.factor)
        return DecodedBeat(
            beat[..., self.margin * self.factor : (self.margin + self.before + self.after) * self.factor], place
        )

    def _cut_around(self, maps: Tensor, place: Tensor) -> Tensor:
        """w[k] = Σ_p place[p] · maps[p + k], for k over the beat and its margins: a correlation, done by FFT."""
        before, after = self.before + self.margin, self.after + self.margin
        length = maps.shape[-1] + before + after  # no wrap-around
        product = torch.fft.rfft(maps, n=length) * torch.fft.rfft(place, n=length).conj()[:, None]
        return torch.fft.irfft(product, n=length).roll(before, dims=-1)[..., : before + after]
