"""Fit the simulator's wave parameters to mean beats, by gradient descent through the simulator."""

from __future__ import annotations

import torch
from torch import Tensor

from models.simulator.ecgsyn import gaussian_waves, wrap

START_CENTRE = (-70.0, -15.0, 0.0, 15.0, 100.0, 40.0, 75.0)
"""Degrees: ECGSYN's P, Q, R, S and T, then the ST segment and the ascent of T, which five Gaussians cannot draw."""
START_WIDTH = (14.3, 5.7, 5.7, 5.7, 22.9, 14.0, 17.0)
START_SPAN = 216.0
"""Degrees from 0.2 s before to 0.4 s after the R peak at 60 bpm, which the starting values are made for."""
NARROWEST, WIDEST = 0.015, 1.2
"""Limits of a wave's width in rad: about 2 ms and 190 ms at 60 bpm."""
RIDGE = 1e-4


def fit_waves(
    mean_beats: Tensor, phase: Tensor, steps: int = 300, waves: int = len(START_CENTRE), learning_rate: float = 0.03
) -> tuple[Tensor, Tensor]:
    """Fit amplitude, centre and width of each wave per class and lead.

    Centres and widths descend by Adam; amplitudes are linear, so at each step they are the ridge least-squares solution
    and the gradient flows through it (variable projection: Golub and Pereyra, SIAM J. Numer. Anal. 10:413–432, 1973).
    A beat's constant offset is fitted too and then dropped: the dynamics do not depend on it.

    Args:
        mean_beats: (classes, leads, samples) mV.
        phase: (samples,) or (classes, samples) rad, 0 at the R peak, spanning at most 2π.
        steps: gradient steps; 300 take about two seconds for ten classes.
        waves: Gaussians per lead, at most 7; 5 are P, Q, R, S, T.
        learning_rate: of Adam, in units of the starting widths.

    Returns:
        Parameters (classes, leads, waves, 3): amplitude in mV, centre and width in rad, as `ecgsyn.f_z` takes them; and
        R² (classes, leads) of the fit, 0 for a flat lead.

    Raises:
        ValueError: shapes do not fit together, or too many waves are asked for.
    """
    if mean_beats.ndim != 3 or phase.shape[-1] != mean_beats.shape[-1]:
        raise ValueError(
            f"expected (classes, leads, samples) and (…, samples), got {mean_beats.shape} and {phase.shape}"
        )
    if not 1 <= waves <= len(START_CENTRE):
        raise ValueError(f"waves must be 1 to {len(START_CENTRE)}, got {waves}")
    beats = mean_beats.detach().double()
    classes, leads, _ = beats.shape
    phase = phase.detach().double().expand(classes, -1).unsqueeze(1)
    scale = (phase.amax(-1) - phase.amin(-1)).unsqueeze(-1) / START_SPAN
    start_centre = (scale * beats.new_tensor(START_CENTRE[:waves])).expand(classes, leads, waves)
    start_width = (scale * beats.new_tensor(START_WIDTH[:waves])).expand(classes, leads, waves)
    shift = torch.zeros_like(start_centre, requires_grad=True)
    stretch = torch.zeros_like(start_centre, requires_grad=True)

    def shape() -> tuple[Tensor, Tensor]:
        centre = start_centre + start_width * shift.clamp(-2.5, 2.5)
        return centre, (start_width * torch.exp(stretch)).clamp(NARROWEST, WIDEST)

    optimiser = torch.optim.Adam([shift, stretch], lr=learning_rate)
    with torch.enable_grad():
        for _ in range(steps):
            optimiser.zero_grad()
            loss = _misfit(beats, phase, *shape()).mean()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        centre, width = shape()
        amplitude, offset = _amplitudes(beats, phase, centre, width)
        residual = beats - offset - gaussian_waves(phase, amplitude, centre, width)
        total = ((beats - beats.mean(-1, keepdim=True)) ** 2).sum(-1)
        r2 = torch.where(total > 1e-9, 1.0 - (residual**2).sum(-1) / total.clamp_min(1e-9), 0.0)
        parameters = torch.stack([amplitude, centre, width], dim=-1)
    return parameters.to(mean_beats.dtype), r2.to(mean_beats.dtype)


def _amplitudes(beats: Tensor, phase: Tensor, centre: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge least squares for amplitudes (classes, leads, waves) and offset (classes, leads, 1)."""
    distance = wrap(phase.unsqueeze(-2) - centre.unsqueeze(-1))
    basis = torch.exp(-0.5 * (distance / width.unsqueeze(-1)) ** 2)
    basis = torch.cat([basis, torch.ones_like(basis[..., :1, :])], dim=-2)
    # Without the ridge, neighbouring waves could grow without bound against each other.
    gram = basis @ basis.mT + RIDGE * basis.shape[-1] * torch.eye(
        basis.shape[-2], dtype=basis.dtype, device=basis.device
    )
    solution = torch.linalg.solve(gram, (basis @ beats.unsqueeze(-1))).squeeze(-1)
    return solution[..., :-1], solution[..., -1:]


def _misfit(beats: Tensor, phase: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    """Mean squared error per class and lead, relative to the lead's own power."""
    amplitude, offset = _amplitudes(beats, phase, centre, width)
    error = ((beats - offset - gaussian_waves(phase, amplitude, centre, width)) ** 2).mean(-1)
    return error / beats.var(-1).clamp_min(1e-6)
