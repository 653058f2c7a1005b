"""What an electrocardiograph would measure on beats: a short noise-free ECG of each is delineated."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.ecg.measurements import measure
from models.ecg.qrs_shape import qrs_shapes
from models.simulator.beat_events import simulated_ecg

RATE_HZ: Final = 250
BEATS: Final = 3
ROWS_AT_ONCE: Final = 256


def measured_beats(usual: Tensor, rr_s: Tensor) -> dict[str, np.ndarray]:
    """Measure usual beats at a steady pace.

    Args:
        usual: (B, 8, events) mV.
        rr_s: (B,) RR interval in seconds.

    Returns:
        The features of `models.ecg.measurements.measure` and `models.ecg.qrs_shape.qrs_shapes`, rows in order. Heart
        rate and RR irregularity are those of the steady pace.
    """
    parts: list[dict[str, np.ndarray]] = []
    for at in range(0, len(usual), ROWS_AT_ONCE):
        rr = rr_s[at : at + ROWS_AT_ONCE].cpu()
        # A whole interval before the first and after the last beat, as measuring needs.
        times = rr[:, None] * torch.arange(1, BEATS + 1)
        samples = int(np.ceil(float(rr.max()) * (BEATS + 1) * RATE_HZ)) + RATE_HZ
        ecg = simulated_ecg(usual[at : at + ROWS_AT_ONCE].cpu(), times, RATE_HZ, samples)
        parts.append(_measured(ecg.numpy(), [row.double().numpy() * RATE_HZ for row in times]))
    if not parts:
        return _measured(np.zeros((0, 8, RATE_HZ), np.float32), [])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _measured(signal: np.ndarray, r_peaks: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {**measure(signal, r_peaks, RATE_HZ), **qrs_shapes(signal, r_peaks, RATE_HZ)}
