"""Physics terms of the diffusion objective: does a decoded beat obey the simulator's differential equation?

SE-Diff (arXiv 2511.09895) adds L_Euler and L_inter (`models.simulator.beat_equation`) to the diffusion loss, on the
beat h decoded from the clean-latent estimate.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.latent_diffusion.beat_decoder import BeatDecoder
from models.simulator.beat_equation import BeatEquation


class BeatPhysics(nn.Module):
    """L_Euler and L_inter of the beat decoded from a clean-latent estimate. Nothing in here learns.

    Each row counts by ᾱ_t, the share of signal in what the denoiser saw: where there was only noise, its clean estimate
    is a mean over many ECGs, which obeys no single beat's equation.

    Args:
        beat_decoder: frozen; gradients flow through it to the latent.
        equation: of the training data's classes.
        latent_mean, latent_std: (C,) to undo the standardisation of latents.
        lead_scale_mv: (8,) mV per unit of the beat decoder's output.
        weights: "euler" and "inter_lead" to λ and γ; a term that is missing here is not computed.
    """

    latent_mean: Tensor
    latent_std: Tensor
    lead_scale: Tensor

    def __init__(
        self,
        beat_decoder: BeatDecoder,
        equation: BeatEquation,
        latent_mean: Tensor,
        latent_std: Tensor,
        lead_scale_mv: Tensor,
        weights: dict[str, float],
    ) -> None:
        super().__init__()
        self.beat_decoder = beat_decoder.requires_grad_(False)
        self.equation, self.weights = equation, weights
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
        terms = {"euler": self.equation.euler, "inter_lead": self.equation.inter_lead}
        return {name: (share * terms[name](residual)).mean() for name in self.weights}
