"""How well a generator denoises given recordings: what membership attacks on diffusion models look at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.conditioning import ConditionTensors
from models.diffusion import initial_noise, noise_schedule, noised
from models.generator import Generator
from models.guide import own_amplitudes
from models.r_peaks import locate_r_peaks


@torch.inference_mode()
def denoising_loss(
    generator: Generator, signal_mv: Tensor, condition: ConditionTensors, steps: Sequence[int], seed: int
) -> Tensor:
    """Mean squared error of predicted v, the quantity that membership attacks on diffusion models look at.

    The guide comes from the recording's own R peaks and its own usual beat, as in training.

    Args:
        generator: with its networks.
        signal_mv: (B, 8, samples) in mV.
        condition: of B rows.
        steps: time steps to average over.
        seed: of the noise; every row gets the same noise, so that rows can be compared.

    Returns:
        (B,) loss.
    """
    schedule = noise_schedule(generator.config.timesteps)
    latents = generator.encode(signal_mv)
    condition = condition.to(generator.device)
    if not generator.config.experience:
        condition = condition.without_knowledge()
    guide = _own_guide(generator, signal_mv) if generator.has_guide else None
    levels = None
    if generator.prior is not None and generator.prior.levels is not None:
        levels = generator.prior.levels.coordinates(generator.prior.levels.of(latents - generator.shown(guide)))
    losses = []
    for offset, step in enumerate(steps):
        noise = initial_noise([seed + offset], generator.latent_shape, generator.device).expand_as(latents)
        time = torch.full((len(latents),), step, device=generator.device)
        noisy, wanted = noised(schedule, latents, noise, time)
        with generator.autocast():
            predicted = generator.denoiser(noisy, time, condition, guide, levels).float()
        losses.append((predicted - wanted).square().mean(dim=(1, 2)))
    return torch.stack(losses).mean(dim=0).cpu()


def _own_guide(generator: Generator, signal_mv: Tensor) -> Tensor:
    """The guide that training shows for these recordings."""
    rate_hz, signal = generator.config.sampling_rate_hz, signal_mv.cpu().numpy()
    located = locate_r_peaks(signal, rate_hz)
    amplitude = None
    if generator.prior is not None and generator.prior.events is not None:
        found, known = own_amplitudes(signal, located, rate_hz)
        amplitude = (
            generator.prior.events.nearest(found.to(generator.device)) * known.to(generator.device)[:, None, None]
        )
    return generator.guide([peaks / rate_hz for peaks in located], amplitude)
