"""The differentiable 12-lead simulator."""

from __future__ import annotations

from models.ecgsyn import f_z, gaussian_waves, integrate_ode, wave_slope, wrap
from models.wave_fitting import fit_waves

__all__ = ["f_z", "fit_waves", "gaussian_waves", "integrate_ode", "wave_slope", "wrap"]
