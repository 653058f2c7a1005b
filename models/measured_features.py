"""Measured features whose quartiles the knowledge base keeps and networks read; importable without PyTorch."""

from __future__ import annotations

from typing import Final, NamedTuple

from models.leads import LEAD_GROUPS


class MeasuredFeature(NamedTuple):
    """A measured feature whose quartiles the network reads.

    Attributes:
        name: column of measurements.
        lead: lead group of a feature that is measured per lead; None for others.
        usual, spread: about its mean and standard deviation in adults, in its unit, which bring quartiles to about 1.
    """

    name: str
    lead: str | None
    usual: float
    spread: float


MEASURED: Final = (
    MeasuredFeature("heart_rate_bpm", None, 75, 20),
    MeasuredFeature("rr_irregularity", None, 0.05, 0.08),
    MeasuredFeature("pr_ms", None, 160, 30),
    MeasuredFeature("qrs_ms", None, 95, 20),
    MeasuredFeature("qtc_ms", None, 420, 30),
    MeasuredFeature("axis_deg", None, 30, 45),
    MeasuredFeature("p_present", None, 0.5, 0.5),
    *(MeasuredFeature("st_level_mv", lead, 0, 0.1) for lead in LEAD_GROUPS),
    *(MeasuredFeature("r_amplitude_mv", lead, 0.8, 0.6) for lead in LEAD_GROUPS),
    *(MeasuredFeature("t_amplitude_mv", lead, 0.2, 0.25) for lead in LEAD_GROUPS),
)
"""Features in the order of `ConditionTensors.quartiles`."""
