"""Stage 1: a convolutional latent autoencoder over the eight independent leads, and its objective.

L_VAE = L_full + β L_KL + w L_beat + α L_spec (SE-Diff, arXiv 2511.09895, stage 1) + s L_slope. Signals are in units of
each lead's standard deviation over the training data.

L_slope, the mean absolute error of the difference from sample to sample, is ours: beside QRS complexes the squares of
L_full do not see the ripple that a decoder leaves on the line between beats, and reward nothing for its going.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import AutoencoderArchitecture
from models.ecg.beats import pad_to_multiple, spectral_distance
from models.latent_diffusion.beat_decoder import BeatDecoder
from models.leads import INDEPENDENT_LEADS

LEADS = len(INDEPENDENT_LEADS)
SLOPE_WEIGHT = 0.3
EDGE_STEPS = 2
"""Latent steps by which signals and latents go on at both ends, with their last value, inside the networks: zeros, with
which convolutions pad, would pull the ends of recordings to the baseline."""


class ResidualBlock(nn.Module):
    """Two convolutions of kernel 5 with group normalisation, around a shortcut. (B, C, T) to (B, C, T)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv1d(channels, channels, 5, padding=2),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv1d(channels, channels, 5, padding=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Autoencoder(nn.Module):
    """Leads to a latent and back.

    The first level works on pairs of samples, since convolutions at full length cost most and see least. Signals of any
    length are padded at the end to a multiple of `downsampling` with their last value, and cropped after decoding.
    """

    def __init__(self, architecture: AutoencoderArchitecture) -> None:
        super().__init__()
        self.downsampling, self.edge = architecture.downsampling, EDGE_STEPS * architecture.downsampling
        levels = architecture.downsampling.bit_length() - 1
        if 2**levels != architecture.downsampling or levels < 1:
            raise ValueError(
                f"autoencoder downsampling must be a power of two from 2 on, got {architecture.downsampling}"
            )
        widths = [min(architecture.width * 2**level, 2 * architecture.width) for level in range(levels)]

        down: list[nn.Module] = [nn.Conv1d(LEADS, widths[0], 6, stride=2, padding=2)]
        for width, following in zip(widths, [*widths[1:], None], strict=True):
            down += [ResidualBlock(width) for _ in range(architecture.blocks)]
            if following:
                down += [nn.Conv1d(width, following, 4, stride=2, padding=1)]
        self.encoder = nn.Sequential(
            *down,
            nn.GroupNorm(8, widths[-1]),
            nn.SiLU(),
            nn.Conv1d(widths[-1], 2 * architecture.latent_channels, 3, padding=1),
        )

        up: list[nn.Module] = [nn.Conv1d(architecture.latent_channels, widths[-1], 3, padding=1)]
        for width, following in zip(widths[::-1], [*widths[-2::-1], None], strict=True):
            up += [ResidualBlock(width) for _ in range(architecture.blocks)]
            if following:
                up += [nn.ConvTranspose1d(width, following, 4, stride=2, padding=1)]
        self.decoder = nn.Sequential(
            *up, nn.GroupNorm(8, widths[0]), nn.SiLU(), nn.ConvTranspose1d(widths[0], LEADS, 6, stride=2, padding=2)
        )

    def encode(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent.

        Args:
            signal: (B, 8, samples) in lead standard deviations.

        Returns:
            Two tensors (B, latent_channels, ceil(samples / downsampling)).
        """
        whole = F.pad(pad_to_multiple(signal, self.downsampling), (self.edge, self.edge), mode="replicate")
        mean, log_variance = self.encoder(whole)[..., EDGE_STEPS:-EDGE_STEPS].chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """(B, latent_channels, T) to (B, 8, samples), in lead standard deviations."""
        whole = F.pad(latent, (EDGE_STEPS, EDGE_STEPS), mode="replicate")
        return self.decoder(whole)[..., self.edge : self.edge + samples]


class AutoencoderObjective(nn.Module):
    """Autoencoder and beat decoder trained together; the forward pass returns the loss and its parts."""

    def __init__(
        self,
        autoencoder: Autoencoder,
        beat_decoder: BeatDecoder,
        kl_weight: float,
        beat_weight: float,
        spectral_weight: float,
    ) -> None:
        super().__init__()
        self.autoencoder, self.beat_decoder = autoencoder, beat_decoder
        self.kl_weight, self.beat_weight = kl_weight, beat_weight
        self.spectral_weight = spectral_weight

    def forward(self, signal: Tensor, beat: Tensor, first_r: Tensor, windows: Tensor) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            signal: (B, 8, samples) in lead standard deviations.
            beat: (B, 8, beat samples) the beat around the first R peak on the beat decoder's grid, same unit.
            first_r: (B,) sample of the first R peak, to teach the beat decoder where to look.
            windows: (N, 2) row and first sample of every whole beat of the batch.
        """
        mean, log_variance = self.autoencoder.encode(signal)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        restored = self.autoencoder.decode(latent, signal.shape[-1]).float()
        decoded = self.beat_decoder(latent)

        full = F.mse_loss(restored, signal)
        divergence = 0.5 * (mean.float().square() + log_variance.float().exp() - 1 - log_variance.float()).mean()
        beat_error = F.mse_loss(decoded.beat.float(), beat)
        place = F.cross_entropy(decoded.place, first_r)
        spectral = spectral_distance(restored, signal, windows, self.beat_decoder.before + self.beat_decoder.after)
        slope = (restored.diff(dim=-1) - signal.diff(dim=-1)).abs().mean()
        loss = (
            full
            + self.kl_weight * divergence
            + self.beat_weight * (beat_error + 0.1 * place)
            + self.spectral_weight * spectral
            + SLOPE_WEIGHT * slope
        )
        parts = {"full": full, "kl": divergence, "beat": beat_error, "place": place}
        return {"loss": loss, **parts, "spectral": spectral, "slope": slope}
