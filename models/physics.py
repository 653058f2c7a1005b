"""Physics terms of the diffusion objective: does a decoded beat obey the simulator's differential equation?

SE-Diff (arXiv 2511.09895) adds to the diffusion loss, on the beat h decoded from the clean-latent estimate,

    L_Euler = mean over lead, l of ( (h_{l+1} − h_l)/Δt − f_z(θ_l; η) )²
    L_inter = mean over derived lead y, l of ( (h^y_{l+1} − h^y_l)/Δt − β f_z(·; η_I) − γ f_z(·; η_II) )²

with η the wave parameters of the patient's class, fitted per lead on mean beats. Here h is in mV on the fine beat grid, Δt in
seconds, and f_z is evaluated half-way between two grid points, which makes the difference quotient second-order accurate.
Residuals are divided by the typical slope of each lead, so that all leads count alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.architecture import BeatDecoderArchitecture
from models.leads import INDEPENDENT_LEADS, LIMB_LEAD_IDENTITIES
from models.simulator import fit_waves, gaussian_waves, wave_slope


@dataclass(frozen=True)
class WaveFit:
    """Simulator parameters per class and lead, fitted to mean beats.

    Attributes:
        amplitude: (classes, 8, waves) in mV.
        centre: (classes, 8, waves) phase in radians, the R peak at 0.
        width: (classes, 8, waves) in radians.
        omega: (classes,) angular heart rate of the mean beats, in radians per second.
        r2: (classes, 8) share of the mean beat's variance that the fit explains.
    """

    amplitude: Tensor
    centre: Tensor
    width: Tensor
    omega: Tensor
    r2: Tensor


def beat_times(architecture: BeatDecoderArchitecture) -> Tensor:
    """Times of the grid points of a beat in seconds, the R peak at 0."""
    before = round(architecture.before_r_s * architecture.grid_hz)
    after = round(architecture.after_r_s * architecture.grid_hz)
    return torch.arange(-before, after) / architecture.grid_hz


def angular_rate(heart_rate_bpm: Tensor) -> Tensor:
    """ω = 2π / RR in radians per second."""
    return 2 * math.pi * heart_rate_bpm / 60


class BeatPhysics(nn.Module):
    """L_Euler and L_inter of the beat decoded from a clean-latent estimate. Nothing in here learns.

    Each row counts by ᾱ_t, the share of signal in what the denoiser saw: where there was only noise, its clean estimate is a
    mean over many ECGs, which obeys no single beat's equation.

    Args:
        beat_decoder: frozen; gradients flow through it to the latent.
        latent_mean, latent_std: (C,) to undo the standardisation of latents.
        lead_scale_mv: (8,) mV per unit of the beat decoder's output.
        fit: wave parameters per class and lead.
        weights: "euler" and "inter_lead" to λ and γ; a term that is missing here is not computed.
    """

    def __init__(
        self,
        beat_decoder: BeatDecoder,
        architecture: BeatDecoderArchitecture,
        latent_mean: Tensor,
        latent_std: Tensor,
        lead_scale_mv: Tensor,
        fit: WaveFit,
        weights: dict[str, float],
    ) -> None:
        super().__init__()
        self.beat_decoder = beat_decoder.requires_grad_(False)
        self.equation = BeatEquation(architecture, fit)
        self.weights = weights
        self.register_buffer("latent_mean", latent_mean[:, None])
        self.register_buffer("latent_std", latent_std[:, None])
        self.register_buffer("lead_scale", lead_scale_mv[:, None])

    def forward(self, latents: Tensor, share: Tensor, wave_class: Tensor, omega: Tensor) -> dict[str, Tensor]:
        """The terms that have a weight.

        Args:
            latents: (B, C, T) standardised clean estimates.
            share: (B,) ᾱ_t.
            wave_class: (B,) class of each row.
            omega: (B,) angular heart rate in radians per second.
        """
        beat = self.beat_decoder(latents * self.latent_std + self.latent_mean).beat.float() * self.lead_scale
        residual = self.equation.residual(beat, wave_class, omega)
        of = {
            "euler": lambda: self.equation.euler(residual),
            "inter_lead": lambda: self.equation.inter_lead(residual),
        }
        return {name: (share * of[name]()).mean() for name in self.weights}
