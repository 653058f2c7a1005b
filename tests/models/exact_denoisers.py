"""Denoisers that are exact for data whose distribution is known."""

from __future__ import annotations

from torch import Tensor

from models.latent_diffusion.diffusion import Denoise, noise_schedule, signal_share


def gaussian(spread: Tensor | float) -> Denoise:
    """v for data N(0, s²): E[x0 | x_t] = √ᾱ s² / (ᾱ s² + 1 − ᾱ) x_t. Its trajectories lead from noise to s times it."""
    schedule = noise_schedule()

    def exact(noisy: Tensor, time: Tensor) -> Tensor:
        alpha = signal_share(schedule, time)[:, None, None]
        clean = alpha.sqrt() * spread**2 / (alpha * spread**2 + 1 - alpha) * noisy
        noise = (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt().clamp_min(1e-6)
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * clean

    return exact


def one_point(point: Tensor) -> Denoise:
    """v for data that is one point m: √ᾱ ε − √(1−ᾱ) m with ε = (x − √ᾱ m) / √(1−ᾱ); at pure noise −m."""
    schedule = noise_schedule()

    def exact(noisy: Tensor, time: Tensor) -> Tensor:
        alpha = signal_share(schedule, time)[:, None, None]
        return alpha.sqrt() * (noisy - alpha.sqrt() * point) / (1 - alpha).sqrt() - (1 - alpha).sqrt() * point

    return exact
