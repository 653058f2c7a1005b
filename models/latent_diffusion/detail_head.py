"""Detail head: what the autoencoder smooths away, generated for a decoded signal.

What a decoded signal lacks is noise and fine detail: its level and spectrum are the recording's own, it is correlated
over leads, and it is larger and sharper at QRS complexes. It is generated in three steps:

1. Traits: which share of the decoded signal is right, and how loud the rest is, per frequency band and per calm or
   active stretch (`models.latent_diffusion.residual_spectrum`).
2. Envelope: how large the rest is over time, predicted by a small network.
3. Shape: a small conditional flow (rectified flow, Liu et al. 2023; flow matching, Lipman et al. 2023) from white noise
   to the rest divided by its spectrum and its envelope. So it only has to learn how leads go together and what a
   spectrum and an envelope do not say, and the quiet line between beats counts like the beats.

First layers fold neighbouring samples into channels, since convolutions at full length cost most.

Signals are in lead standard deviations throughout, as for the autoencoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import DetailArchitecture
from models.ecg.beats import pad_to_multiple
from models.latent_diffusion.residual_spectrum import LEADS, ResidualSpectrum, stretches
from models.latent_diffusion.time_features import time_features

TIME_SCALE: Final = 1000
"""Flow time 0 … 1 in the unit of `time_features`."""
STEPS: Final = 2
"""Solver steps of a draw."""
FOLD: Final = 4
"""Samples that first layers fold into channels."""
CROP_SHARE: Final = 0.4
"""Share of a recording that a training step sees, at a random place."""
EDGE: Final = 32
"""Samples at either end of a recording that are not learned from, for whitening distorts them."""
LOG_ENVELOPE_RANGE: Final = (-4.0, 2.0)
"""Outside it a network that has not learned yet would overflow."""


def folded(signal: Tensor) -> Tensor:
    """Neighbouring samples as channels: (B, C, samples) to (B, C · fold, ceil(samples / fold))."""
    padded = pad_to_multiple(signal, FOLD)
    return padded.unflatten(2, (-1, FOLD)).transpose(2, 3).flatten(1, 2)


def unfolded(x: Tensor, samples: int) -> Tensor:
    """The inverse: (B, C · fold, T) to (B, C, samples)."""
    return x.unflatten(1, (-1, FOLD)).transpose(2, 3).flatten(2)[..., :samples]


class FlowBlock(nn.Module):
    """Residual dilated convolution, modulated by flow time and levels. (B, C, T) to (B, C, T).

    Without normalisation over time: how large something is must survive.
    """

    def __init__(self, channels: int, embedding: int, dilation: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(embedding, 2 * channels)
        self.spread = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)
        for layer in (self.modulation, self.mix):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[..., None].chunk(2, dim=1)
        return x + self.mix(F.silu(self.spread(F.silu(x)) * (1 + scale) + shift))


class Envelope(nn.Module):
    """Log RMS of the whitened residual over time: large at QRS complexes, small on the quiet line between them.

    Args:
        channels: of what it sees.
        traits: numbers that describe the recording.
        width: channels inside.
    """

    def __init__(self, channels: int, traits: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(traits, width), nn.SiLU())
        self.stem = nn.Conv1d(channels * FOLD, width, 3, padding=1)
        self.blocks = nn.ModuleList(FlowBlock(width, width, dilation) for dilation in (1, 2, 4))
        self.head = nn.Conv1d(width, LEADS * FOLD, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, seen: Tensor, traits: Tensor) -> Tensor:
        """(B, channels, samples) and (B, traits) to (B, 8, samples)."""
        x, embedding = self.stem(folded(seen)), self.embed(traits)
        for block in self.blocks:
            x = block(x, embedding)
        return unfolded(self.head(F.silu(x)), seen.shape[-1]).float().clamp(*LOG_ENVELOPE_RANGE)


class DetailHead(nn.Module):
    """Generates the residual of a decoded signal.

    Args:
        architecture: widths.
        rate_hz: sampling rate.
    """

    def __init__(self, architecture: DetailArchitecture, rate_hz: float) -> None:
        super().__init__()
        width = architecture.width
        self.width, self.rate_hz = width, rate_hz
        self.spectrum = ResidualSpectrum(rate_hz)
        self.embed = nn.Sequential(
            nn.Linear(width + self.spectrum.given_size + self.spectrum.traits, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
        )
        self.envelope = Envelope(2 * LEADS, self.spectrum.given_size + self.spectrum.traits, width // 2)
        self.stem = nn.Conv1d(4 * LEADS * FOLD, width, 3, padding=1)
        dilations = itertools.islice(itertools.cycle((1, 2, 4, 8)), architecture.blocks)
        self.blocks = nn.ModuleList(FlowBlock(width, width, dilation) for dilation in dilations)
        self.head = nn.Conv1d(width, LEADS * FOLD, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, noisy: Tensor, time: Tensor, seen: Tensor, traits: Tensor) -> Tensor:
        """Velocity dy/dt of the flow at time t, from the residual over its spectrum (0) to white noise (1).

        Args:
            noisy: (B, 8, samples) y_t = (1 − t) y + t ε.
            time: (B,) t.
            seen: (B, 24, samples) what `seen` shows, and the envelope.
            traits: (B, given_size + traits) standardised.

        Returns:
            (B, 8, samples).
        """
        return self._velocity(noisy, time, self._stem_of(seen), traits)

    def _stem_of(self, seen: Tensor) -> Tensor:
        """What the first layer makes of all that stays the same at every step: (B, 24, samples) to (B, width, T)."""
        return F.conv1d(folded(seen), self.stem.weight[:, LEADS * FOLD :], self.stem.bias, padding=1)

    def _velocity(self, noisy: Tensor, time: Tensor, stem: Tensor, traits: Tensor) -> Tensor:
        x = stem + F.conv1d(folded(noisy), self.stem.weight[:, : LEADS * FOLD], padding=1)
        embedding = self.embed(torch.cat([time_features(time * TIME_SCALE, self.width), traits], dim=1))
        for block in self.blocks:
            x = block(x, embedding)
        return unfolded(self.head(F.silu(x)), noisy.shape[-1])

    def seen(self, decoded: Tensor, restored: Tensor, traits: Tensor) -> Tensor:
        """What the networks see, (B, 16, samples): decoded signals, and what is right about them, whitened.

        Whitened like the residual, ripple that is next to nothing beside a QRS complex is as large as the residual.

        Args:
            decoded: (B, 8, samples).
            restored: (B, 8, samples) from `ResidualSpectrum.restored`.
            traits: (B, traits).
        """
        return torch.cat([decoded, self.spectrum.whitened(restored, traits).asinh()], dim=1)

    def unlike_recordings(self, decoded: Tensor) -> Tensor:
        """By how much decoded signals (B, 8, samples) differ on average from those of training recordings, in what
        traits are drawn from: (given_size,)."""
        given = self.spectrum.given(decoded, stretches(decoded, self.rate_hz))
        return given.mean(dim=0) - self.spectrum.given_mean

    def detailed(
        self,
        decoded: Tensor,
        generators: Sequence[torch.Generator],
        precision: torch.dtype,
        offset: Tensor | float = 0.0,
    ) -> Tensor:
        """Decoded signals with detail, by the two-step Adams-Bashforth rule: one network evaluation a step.

        Args:
            decoded: (B, 8, samples).
            generators: one per row, on the CPU; every draw of the row comes from it.
            precision: of the networks.
            offset: of decoded signals that were generated, from `unlike_recordings`: what they lack is drawn as for
                signals without it.

        Returns:
            (B, 8, samples).
        """
        device, spectrum, where = decoded.device, self.spectrum, stretches(decoded, self.rate_hz)
        given = spectrum.given(decoded, where)
        drawn = torch.stack([torch.randn(spectrum.traits, generator=one) for one in generators]).to(device)
        state = torch.stack([torch.randn(decoded.shape[1:], generator=one) for one in generators]).to(device)
        noise = torch.stack([torch.randn(1 + LEADS, decoded.shape[-1], generator=one) for one in generators]).to(device)
        traits = spectrum.draw_traits(given - offset, drawn)
        restored = spectrum.restored(decoded, traits, where)
        seen, standardised = self.seen(decoded, restored, traits), spectrum.standardised(given, traits)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            envelope = self.envelope(seen, standardised)
            stem = self._stem_of(torch.cat([seen, envelope], dim=1))
            size, last = 1 / STEPS, None
            for step in range(STEPS):
                time = torch.full((len(state),), 1 - step * size, device=device)
                velocity = self._velocity(state, time, stem, standardised).float()
                state = state - size * (velocity if last is None else 1.5 * velocity - 0.5 * last)
                last = velocity
        # Loudness and levels hold nearly exactly: a recording's noise is the first thing that tells it from others.
        white = state * envelope.exp()
        white = white * spectrum.bursts(spectrum.coloured(white, traits), where, noise)
        residual = spectrum.coloured(white, traits)
        return restored + spectrum.matched(residual, restored, where, traits)


class DetailObjective(nn.Module):
    """Flow-matching loss of the detail head; the forward pass returns the loss.

    Args:
        head: what learns; its spectrum is fitted beforehand.
    """

    def __init__(self, head: DetailHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, signal: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            signal: (B, 8, samples) recordings in lead standard deviations.
            decoded: (B, 8, samples) what the autoencoder makes of them.
        """
        spectrum = self.head.spectrum
        with torch.no_grad(), torch.autocast(signal.device.type, enabled=False):
            where = stretches(decoded, self.head.rate_hz)
            given, traits = spectrum.given(decoded, where), spectrum.traits_of(signal, decoded, where)
            restored = spectrum.restored(decoded, traits, where)
            residual = spectrum.whitened(signal - restored, traits)
            seen = self.head.seen(decoded, restored, traits)
            standardised = spectrum.standardised(given, traits)
        # One place for all rows: a crop is a view then, and rows differ anyway.
        edge = min(EDGE, signal.shape[-1] // 4)
        inner = signal.shape[-1] - 2 * edge
        length = max(FOLD, round(CROP_SHARE * inner))
        start = edge + int(torch.randint(0, inner - length + 1, (), device="cpu"))
        residual, seen = residual[..., start : start + length], seen[..., start : start + length]
        envelope = self.head.envelope(seen, standardised)
        likelihood = (envelope + 0.5 * (residual / envelope.exp()).square()).mean()
        # The envelope learns from its likelihood alone; the flow would have it too large, for small targets are easy.
        seen = torch.cat([seen, envelope.detach()], dim=1)
        residual = residual / envelope.detach().exp()
        places = torch.randperm(len(signal), device=signal.device)
        time = (places + torch.rand(len(signal), device=signal.device)) / len(signal)
        noise = torch.randn_like(residual)
        noisy = (1 - time[:, None, None]) * residual + time[:, None, None] * noise
        predicted = self.head(noisy, time, seen, standardised).float()
        flow = F.mse_loss(predicted, noise - residual)
        return {"loss": flow + likelihood, "flow": flow, "envelope": likelihood}
