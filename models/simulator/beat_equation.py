"""The simulator's differential equation of a class's beat, and how far a beat is from obeying it.

ECGSYN's third equation without its slow relaxation (`models.simulator.ecgsyn`), z' = f_z(θ; η), with η the wave
parameters of a class, fitted per lead to its mean beat. Two terms of SE-Diff (arXiv 2511.09895) are made of it:

    L_Euler = mean over lead, l of ( (h_{l+1} − h_l)/Δt − f_z(θ_l; η) )²
    L_inter = mean over derived lead y, l of ( (h^y_{l+1} − h^y_l)/Δt − β f_z(·; η_I) − γ f_z(·; η_II) )²

Here h is in mV on the fine beat grid, Δt in seconds, and f_z is evaluated half-way between two grid points, which makes
the difference quotient second-order accurate. Residuals are divided by the typical slope of each lead, so that all
leads count alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.ecg.beats import BEAT_AFTER_S, BEAT_BEFORE_S, BEAT_GRID_HZ, beat_samples
from models.leads import INDEPENDENT_LEADS, LIMB_LEAD_IDENTITIES
from models.simulator.heart_simulator import fit_waves, wave_slope

QRS_REACH_S = 0.06
"""Waves whose centre is within this time of the R peak belong to the QRS complex."""


@dataclass(frozen=True)
class WaveFit:
    """Simulator parameters per class and lead, fitted to mean beats.

    Attributes:
        parameters: (classes, 8, waves, 3) amplitude in mV, centre and width of phase in radians, the R peak at 0.
        omega: (classes,) angular heart rate that the phases refer to, in radians per second.
        r2: (classes, 8) share of the mean beat's variance that the fit explains.
    """

    parameters: Tensor
    omega: Tensor
    r2: Tensor


def angular_rate(heart_rate_bpm: Tensor) -> Tensor:
    """ω = 2π / RR in radians per second."""
    return 2 * math.pi * heart_rate_bpm / 60


def beat_times() -> Tensor:
    """Times of the grid points of a beat in seconds, the R peak at 0."""
    before, after = beat_samples(BEAT_GRID_HZ)
    return torch.arange(-before, after) / BEAT_GRID_HZ


def fit_classes(beats_mv: Tensor, wave_class: Tensor, omega: Tensor, classes: int) -> WaveFit:
    """Fit the simulator to the mean beat of every class.

    Args:
        beats_mv: (N, 8, beat samples) beats of the training split on the beat grid, in mV.
        wave_class: (N,) class of each, below `classes`. Class 0 is fitted to all beats.
        omega: (N,) angular heart rates.
    """
    members = [torch.ones_like(wave_class, dtype=torch.bool), *[wave_class == index for index in range(1, classes)]]
    mean_beats = torch.stack([beats_mv[which].mean(dim=0) for which in members])
    times = beat_times()
    # A phase may span one revolution at most; faster hearts are described at the rate whose RR interval is the window.
    fastest = 2 * math.pi / (BEAT_BEFORE_S + BEAT_AFTER_S)
    rates = torch.stack([omega[which].median() for which in members]).clamp(max=fastest)
    parameters, r2 = fit_waves(mean_beats, rates[:, None] * times)
    return WaveFit(parameters, rates, r2)


class BeatEquation(nn.Module):
    """The simulator's equation for beats of given classes and heart rates, and how far a beat is from obeying it."""

    parameters_of_class: Tensor
    class_omega: Tensor
    midpoints: Tensor
    slope_scale: Tensor
    limb_leads: Tensor

    def __init__(self, fit: WaveFit) -> None:
        super().__init__()
        times = beat_times()
        self.register_buffer("parameters_of_class", fit.parameters.float())
        self.register_buffer("class_omega", fit.omega.float())
        self.register_buffer("midpoints", (times[1:] + times[:-1]) / 2)
        classes = torch.arange(len(fit.omega))
        slopes = self._slope(classes, fit.omega.float())
        self.register_buffer("slope_scale", slopes.square().mean(dim=(0, 2), keepdim=True).sqrt().clamp_min(1e-3))
        weights = torch.zeros(len(LIMB_LEAD_IDENTITIES), len(INDEPENDENT_LEADS))
        weights[:, :2] = torch.tensor(list(LIMB_LEAD_IDENTITIES.values()))
        self.register_buffer("limb_leads", weights)

    def _slope(self, wave_class: Tensor, omega: Tensor) -> Tensor:
        """f_z half-way between grid points: (B, 8, beat samples − 1) in mV/s."""
        amplitude, centre, width = self.parameters_of_class[wave_class].unbind(dim=-1)
        reference = self.class_omega[wave_class]
        # Waves move and widen with the heart rate as in ECGSYN: by √(ω ratio) near the R peak, its root further away.
        rate = (omega / reference).sqrt()[:, None, None]
        in_qrs = centre.abs() < QRS_REACH_S * reference[:, None, None]
        centre, width = centre * torch.where(in_qrs, rate, rate.sqrt()), width * rate
        phase = omega[:, None, None] * self.midpoints
        return wave_slope(phase, omega[:, None, None], amplitude, centre, width)

    def residual(self, beat_mv: Tensor, wave_class: Tensor, omega: Tensor) -> Tensor:
        """(h_{l+1} − h_l)/Δt − f_z, in mV/s.

        Args:
            beat_mv: (B, 8, beat samples) in mV on the beat grid.
            wave_class: (B,) class of each beat.
            omega: (B,) angular heart rate in radians per second.

        Returns:
            (B, 8, beat samples − 1).
        """
        return beat_mv.diff(dim=-1) * BEAT_GRID_HZ - self._slope(wave_class, omega)

    def euler(self, residual: Tensor) -> Tensor:
        """L_Euler of each row, (B,), in units of each lead's typical slope squared."""
        return (residual / self.slope_scale).square().mean(dim=(1, 2))

    def inter_lead(self, residual: Tensor) -> Tensor:
        """L_inter of each row, (B,): a derived limb lead must obey the combined equation of the leads it derives from.

        Since derived leads are computed from I and II, their residual is the same combination of those of I and II.
        """
        scale = self.slope_scale[:, :2].mean()
        return (self.limb_leads @ residual / scale).square().mean(dim=(1, 2))
