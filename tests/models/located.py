"""Measurements and quality flags at the R peaks that are located in the same signal, as ingestion has them."""

from __future__ import annotations

import numpy as np

from models.ecg import measurements, quality_flags
from models.ecg.r_peaks import locate_r_peaks


def measure(signal: np.ndarray, rate_hz: float) -> dict[str, np.ndarray]:
    return measurements.measure(signal, locate_r_peaks(signal, rate_hz), rate_hz)


def flags(signal: np.ndarray, rate_hz: float) -> list[list[str]]:
    return quality_flags.quality_flags(signal, locate_r_peaks(signal, rate_hz), rate_hz)
