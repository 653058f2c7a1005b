"""The heart as one electric dipole, seen by eight leads.

Axes: X to the patient's left, Y to the feet, Z to the back; mV. A beat is a set of Gaussian waves, each with a vector
amplitude (Sameni, Clifford, Jutten, Shamsollahi, EURASIP J. Adv. Signal Process. 2007:43407).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

WaveKind = Literal["P", "QRS", "T"]

DOWER: Final = (
    (0.632, -0.235, 0.059),
    (0.235, 1.066, -0.132),
    (-0.515, 0.157, -0.917),
    (0.044, 0.164, -1.387),
    (0.882, 0.098, -1.277),
    (1.213, 0.127, -0.601),
    (1.125, 0.127, -0.086),
    (0.831, 0.076, 0.230),
)
"""Leads I, II, V1 to V6 from X, Y, Z: Dower, Machado, Osborne, Clin. Cardiol. 3:87–95 (1980)."""


@dataclass(frozen=True)
class Wave:
    """One Gaussian wave of the dipole at a heart rate of 60 bpm.

    Attributes:
        kind: P, QRS or T; ST segments belong to T. Each kind follows the heart rate in its own way.
        centre_s: seconds after the R peak.
        width_s: standard deviation in seconds.
        x, y, z: amplitude in mV.
    """

    kind: WaveKind
    centre_s: float
    width_s: float
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


def _axis_waves(axis: Literal["x", "y", "z"], kind: WaveKind, *waves: tuple[float, float, float]) -> tuple[Wave, ...]:
    """Waves along one axis from (centre in rad, amplitude in mV, width in rad) at 60 bpm: 2π rad are 1 s."""
    turn = 2.0 * math.pi
    return tuple(
        Wave(kind, round(centre / turn, 4), round(width / turn, 4), **{axis: amplitude})
        for centre, amplitude, width in waves
    )


ADULT_P: Final = (
    *_axis_waves("x", "P", (-1.09, 0.03, 0.0906), (-0.83, 0.08, 0.1057)),
    *_axis_waves("y", "P", (-1.1, 0.035, 0.07), (-0.9, 0.015, 0.07), (-0.76, -0.019, 0.04)),
    *_axis_waves("z", "P", (-1.1, -0.03, 0.03), (-0.93, -0.14, 0.12), (-0.7, -0.035, 0.04), (-0.4, 0.045, 0.4)),
)
ADULT_QRS: Final = (
    *_axis_waves(
        "x",
        "QRS",
        (-0.19, -0.13, 0.0453),
        (-0.07, 0.85, 0.0378),
        (0.0, 1.11, 0.0332),
        (0.06, 0.75, 0.0302),
        (0.22, 0.06, 0.0378),
    ),
    *_axis_waves("y", "QRS", (-0.11, 0.32, 0.055), (-0.01, 0.51, 0.037), (0.065, -0.32, 0.0604)),
    *_axis_waves("z", "QRS", (-0.15, -0.4, 0.05), (0.095, 0.46, 0.05)),
)
ADULT_T: Final = (
    *_axis_waves("x", "T", (1.2, 0.1, 0.604), (1.42, 0.17, 0.302), (1.68, 0.39, 0.1812)),
    *_axis_waves("y", "T", (0.8, 0.04, 0.45), (1.58, 0.08, 0.3)),
    *_axis_waves("z", "T", (1.05, -0.12, 0.8), (1.25, -0.2, 0.4), (1.55, -0.35, 0.2)),
)
"""A healthy adult's beat, from the open OSET toolbox that accompanies the paper."""


def to_leads(dipole: Tensor) -> Tensor:
    """Leads I, II, V1 to V6 of a dipole: (…, 3, samples) to (…, 8, samples), mV."""
    return dipole.new_tensor(DOWER) @ dipole


def rotation(frontal: Tensor, horizontal: Tensor, sagittal: Tensor) -> Tensor:
    """Rotation of the heart in the chest, (batch, 3, 3).

    Args:
        frontal: (batch,) rad about the Z axis; positive turns the electrical axis towards the feet.
        horizontal: (batch,) rad about the Y axis; positive turns the left towards the back.
        sagittal: (batch,) rad about the X axis; positive turns the feet towards the back.
    """
    one, zero = torch.ones_like(frontal), torch.zeros_like(frontal)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))

    cos, sin = torch.cos(frontal), torch.sin(frontal)
    about_z = matrix(cos, -sin, zero, sin, cos, zero, zero, zero, one)
    cos, sin = torch.cos(horizontal), torch.sin(horizontal)
    about_y = matrix(cos, zero, -sin, zero, one, zero, sin, zero, cos)
    cos, sin = torch.cos(sagittal), torch.sin(sagittal)
    about_x = matrix(one, zero, zero, zero, cos, -sin, zero, sin, cos)
    return about_x @ about_y @ about_z
