"""What an electrocardiograph would measure on beats: each is delineated as the noise-free median beat that it is."""

from __future__ import annotations

from typing import Final

import numpy as np
from torch import Tensor

from models.ecg.delineation import delineate
from models.ecg.measurements import LEAD_FEATURES, of_median_beats
from models.ecg.median_beats import AFTER_R_S, GRID_HZ, R_INDEX, MedianBeats
from models.ecg.qrs_shape import QRS_SHAPES
from models.ecg.qrs_shape import of_median_beats as shapes_of_median_beats
from models.leads import STANDARD_LEADS
from models.simulator.beat_events import EVENTS, PACE_RANGE_S

ROWS_AT_ONCE: Final = 64
LARGEST_EXPONENT: Final = 30.0
"""Of a Gaussian: far from its centre it would be a denormal number, which processors handle a hundred times slower."""
SECONDS: Final = np.arange(-R_INDEX, round(AFTER_R_S * GRID_HZ) + 1, dtype=np.float32) / np.float32(GRID_HZ)
_CENTRE, _WIDTH, _POWER = (column[:, None] for column in EVENTS.numpy().T)


def measured_beats(usual: Tensor, rr_s: Tensor) -> dict[str, np.ndarray]:
    """Measure usual beats at a steady pace.

    Args:
        usual: (B, 8, events) mV.
        rr_s: (B,) RR interval in seconds.

    Returns:
        What `models.ecg.measurements.of_median_beats` and `models.ecg.qrs_shape.of_median_beats` return, (B,) or
        (B, 12) each. A row does not depend on others: all products are of one row's matrices.
    """
    amplitude, pace_s = usual.cpu().numpy(), rr_s.cpu().numpy().astype(np.float32)
    features = ("pr_ms", "qrs_ms", "qt_ms", "qtc_ms", "p_present", "axis_deg", *LEAD_FEATURES, *QRS_SHAPES)
    per_lead = {*LEAD_FEATURES, *QRS_SHAPES}
    measured = {
        name: np.zeros((len(usual), len(STANDARD_LEADS)) if name in per_lead else len(usual)) for name in features
    }
    measured["p_present"] = np.zeros(len(usual), dtype=bool)
    for at in range(0, len(usual), ROWS_AT_ONCE):
        rows = slice(at, at + ROWS_AT_ONCE)
        beats = _median_beats(amplitude[rows], pace_s[rows])
        found = delineate(beats)
        for name, values in {**of_median_beats(beats, found), **shapes_of_median_beats(beats, found)}.items():
            measured[name][rows] = values
    return measured


def _median_beats(amplitude: np.ndarray, rr_s: np.ndarray) -> MedianBeats:
    """Beats as `models.ecg.median_beats` finds them in an ECG of nothing else, their neighbours an RR interval away."""
    rr = rr_s[:, None, None]
    pace = rr.clip(*PACE_RANGE_S) ** _POWER
    distance = SECONDS - _CENTRE * pace
    distance -= rr * np.rint(distance / rr)  # to the nearest of the beats around
    exponent = np.minimum(0.5 * np.square(distance / (_WIDTH * pace)), LARGEST_EXPONENT)
    beat = amplitude @ np.exp(-exponent)
    rows = len(rr_s)
    return MedianBeats(np.arange(rows), beat, rr_s, np.ones(rows, np.float32))
