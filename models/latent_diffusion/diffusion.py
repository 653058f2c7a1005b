"""The diffusion objective and the sampler.

Latents are noised with a cosine schedule rescaled to zero terminal signal-to-noise ratio (Lin et al. 2024), so that
sampling starts from what training ended with; the network predicts v = √ᾱ ε − √(1−ᾱ) x0 (Salimans and Ho 2022), which
is well defined there. Schedule, noising and solver are those of `diffusers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor, nn

from models.conditioning import ConditionTensors
from models.latent_diffusion.denoiser import Denoiser
from models.latent_diffusion.ode_terms import BeatPhysics

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(noisy latents (B, C, T), time steps (B,)) to predicted v (B, C, T)."""
TIMESTEPS: Final = 1000
"""Diffusion time steps."""
FIRST_NOISE_TO_SIGNAL: Final = 12.0
LAST_NOISE_TO_SIGNAL: Final = (2.4, 0.02)
"""From where to where solver steps go after the one from pure noise. The end is the first number over the square of
their number, and at least the second. Found on training conditions by how near few steps come to 100: with five, the
mean square of the difference is 0.006 of the latents' variance, and 0.026 with time steps that are evenly spaced."""
FEW: Final = 50
"""With more steps than these it does not matter how they are spaced."""


def noise_schedule() -> DDIMScheduler:
    """Cosine schedule with zero terminal SNR, for training."""
    return DDIMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_schedule="squaredcos_cap_v2",
        rescale_betas_zero_snr=True,
        prediction_type="v_prediction",
    )


def stratified_timesteps(rows: int, device: torch.device | str = "cpu") -> Tensor:
    """One random time step per row, spread evenly over the schedule, which lowers the variance of the loss."""
    places = (torch.randperm(rows, device=device) + torch.rand(rows, device=device)) / rows
    return (places * TIMESTEPS).long().clamp(max=TIMESTEPS - 1)


def signal_share(schedule: DDIMScheduler, steps: Tensor) -> Tensor:
    """ᾱ_t: the share of the variance at time step t that is signal; 1 is clean, 0 is pure noise."""
    return schedule.alphas_cumprod.to(steps.device)[steps]


def noised(schedule: DDIMScheduler, clean: Tensor, noise: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Noisy latents x_t = √ᾱ x0 + √(1−ᾱ) ε and the v to predict from them, both (B, C, T)."""
    noisy = schedule.add_noise(clean, noise, steps)  # type: ignore[arg-type]  # takes any integer tensor
    return noisy, schedule.get_velocity(clean, noise, steps)  # type: ignore[arg-type]


def clean_estimate(schedule: DDIMScheduler, noisy: Tensor, velocity: Tensor, steps: Tensor) -> Tensor:
    """x̂0 = √ᾱ x_t − √(1−ᾱ) v."""
    alpha = signal_share(schedule, steps)[:, None, None]
    return alpha.sqrt() * noisy - (1 - alpha).sqrt() * velocity


def noise_to_signal(alphas_cumprod: Tensor) -> Tensor:
    """σ_t = √((1−ᾱ_t) / ᾱ_t)."""
    return ((1 - alphas_cumprod) / alphas_cumprod).sqrt()


def solver_times(steps: int) -> Tensor:
    """The time steps (steps,) at which a solver evaluates the denoiser, descending: the last of the schedule, which is
    pure noise, and then such that the logarithm of noise over signal falls evenly.

    Time steps that are even themselves leave the last of six steps a quarter of the signal to find, and latents too
    weak. Many steps are even.

    Args:
        steps: evaluations, from 1 to the number of time steps.
    """
    if steps > FEW:
        return torch.arange(TIMESTEPS, 0, -TIMESTEPS / steps).round().long()[:steps] - 1
    scale, least = LAST_NOISE_TO_SIGNAL
    last = max(scale / max(1, steps - 1) ** 2, least)
    wanted = torch.linspace(math.log(FIRST_NOISE_TO_SIGNAL), math.log(last), steps - 1)
    return torch.cat([torch.tensor([TIMESTEPS - 1]), nearest_times(wanted)])


def nearest_times(log_noise_to_signal: Tensor) -> Tensor:
    """The time steps whose logarithm of noise over signal is nearest to what is wanted."""
    logs = noise_to_signal(noise_schedule().alphas_cumprod).log()
    above = torch.searchsorted(logs, log_noise_to_signal).clamp(1, len(logs) - 1)
    return above - (log_noise_to_signal - logs[above - 1] < logs[above] - log_noise_to_signal).long()


def initial_noise(seeds: list[int], shape: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """Standard normal noise (rows, *shape), each row from its own seed, drawn on the CPU so that devices agree."""
    rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows).to(device)


def solve(denoise: Denoise, noise: Tensor, steps: int) -> Tensor:
    """Clean latents (B, C, T), by a few evaluations where they count, for any denoiser (see also
    `models.latent_diffusion.fitted_solver`).

    Args:
        denoise: predicts v, guidance included.
        noise: (B, C, T) standard normal.
        steps: evaluations of `denoise`.
    """
    return trajectory(denoise, noise, solver_times(steps))[-1]


def trajectory(denoise: Denoise, noise: Tensor, times: Tensor) -> list[Tensor]:
    """Integrate from noise to clean latents with UniPC (Zhao et al. 2023), a second-order predictor-corrector.

    First-order DDIM shrinks what it generates: at 16 steps Gaussian data loses a tenth of its spread, here a hundredth.

    Args:
        denoise: predicts v, guidance included.
        noise: (B, C, T) standard normal.
        times: (steps,) at which `denoise` is evaluated, descending from the last of them.

    Returns:
        Latents (B, C, T) at each of these time steps, and clean ones.
    """
    solver = UniPCMultistepScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_schedule="squaredcos_cap_v2",
        rescale_betas_zero_snr=True,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        solver_order=2,
    )
    solver.set_timesteps(len(times), device=noise.device)
    # It has no argument for time steps of one's own; noise levels are on the CPU, as it has them itself.
    levels = noise_to_signal(solver.alphas_cumprod)[times]
    solver.timesteps, solver.sigmas = times.to(noise.device), torch.cat([levels, levels.new_zeros(1)]).float()
    passed = [noise]
    for step in solver.timesteps:
        velocity = denoise(passed[-1], step.expand(len(noise)))
        passed.append(solver.step(velocity, step, passed[-1], return_dict=False)[0])
    return passed


class DiffusionObjective(nn.Module):
    """L = L_v + λ L_Euler + γ L_inter; the forward pass returns the loss and its parts.

    Args:
        denoiser: the only part that learns.
        physics: the physics terms on the decoded beat, or None for none.
    """

    def __init__(self, denoiser: Denoiser, physics: BeatPhysics | None) -> None:
        super().__init__()
        self.denoiser, self.physics, self.schedule = denoiser, physics, noise_schedule()

    def forward(
        self,
        latents: Tensor,
        condition: ConditionTensors,
        wave_class: Tensor,
        omega: Tensor,
        guide: Tensor | None = None,
        levels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            latents: (B, C, T) standardised clean latents.
            condition: of B rows.
            wave_class: (B,) simulator class.
            omega: (B,) angular heart rate in radians per second.
            guide: (B, K, T) the simulator's guide, or None for a denoiser without one. Dropout leaves it alone:
                guidance compares two branches that see the same beats (see `Generator.sample`).
            levels: (B, levels) coordinates, likewise.
        """
        noise = torch.randn_like(latents)
        steps = stratified_timesteps(len(latents), latents.device)
        noisy, wanted = noised(self.schedule, latents, noise, steps)
        shown = condition.dropped()
        predicted = self.denoiser(noisy, steps, shown, guide, levels).float()
        losses = {"denoising": F.mse_loss(predicted, wanted)}
        loss = losses["denoising"]
        if self.physics is not None:
            clean = clean_estimate(self.schedule, noisy, predicted, steps)
            terms = self.physics(clean, signal_share(self.schedule, steps), wave_class, omega)
            loss = loss + sum(weight * terms[name] for name, weight in self.physics.weights.items())
            losses |= terms
        return {"loss": loss, **losses}
