"""Shape of the QRS complex per lead: what tells bundle branch blocks and old infarctions apart.

Measured for evaluation only, on the same median beats and boundaries as `models.ecg.measurements`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.ecg.delineation import Boundaries, delineate, pr_level
from models.ecg.measurements import CHUNK
from models.ecg.median_beats import GRID_HZ, MedianBeats, median_beats
from models.ecg.quality_flags import flat_standard_leads
from models.leads import STANDARD_LEADS, to_twelve_leads

QRS_SHAPES: Final = ("q_amplitude_mv", "s_amplitude_mv", "net_qrs_mv", "terminal_qrs_mv")
R_BEGINS_MV = 0.05
"""Height from which an initial deflection is an R wave and not noise; half a small square."""
TERMINAL = round(0.04 * GRID_HZ)
"""Samples of the terminal QRS vector: its last 40 ms."""


def qrs_shapes(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> dict[str, np.ndarray]:
    """Measure the QRS complex of each recording's median beat against the PR segment.

    Args:
        signal: (batch, 8, samples), mV, leads in the order of `models.leads.INDEPENDENT_LEADS`.
        r_peaks: positions in samples per recording.
        rate_hz: sampling rate.

    Returns:
        (batch, 12) mV each, in the order of `models.leads.STANDARD_LEADS`, NaN where there is no QRS complex:

        - `q_amplitude_mv`: lowest point before the first R wave, of the whole complex where there is none (QS); 0 where
          the complex begins upwards.
        - `s_amplitude_mv`: lowest point of the complex; 0 where none is below the PR segment.
        - `net_qrs_mv`: mean of the complex. In left bundle branch block it is negative in V1, whose complex is rS or
          QS, and positive in V6, whose complex is a broad R.
        - `terminal_qrs_mv`: mean of its last 40 ms. In right bundle branch block, whose right ventricle is activated
          last, it is positive in V1 (Surawicz et al., JACC 53:976-981, 2009).
    """
    parts = [
        _shapes(np.asarray(signal[at : at + CHUNK], dtype=np.float32), r_peaks[at : at + CHUNK], rate_hz)
        for at in range(0, len(signal), CHUNK)
    ]
    empty = np.empty((0, len(STANDARD_LEADS)))
    return {name: np.concatenate([empty, *(part[name] for part in parts)]) for name in QRS_SHAPES}


def _shapes(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> dict[str, np.ndarray]:
    shapes = {name: np.full((len(signal), len(STANDARD_LEADS)), np.nan) for name in QRS_SHAPES}
    beats = median_beats(np.nan_to_num(signal, posinf=0.0, neginf=0.0), r_peaks, rate_hz)
    if len(beats.rows):
        flat = flat_standard_leads(signal[beats.rows])
        for name, values in of_median_beats(beats, delineate(beats)).items():
            shapes[name][beats.rows] = np.where(flat, np.nan, values)
    return shapes


def of_median_beats(beats: MedianBeats, found: Boundaries) -> dict[str, np.ndarray]:
    """What `qrs_shapes` returns, from median beats and their boundaries: (kept, 12) each."""
    beat = to_twelve_leads(beats.beat - pr_level(beats.beat, found.qrs_onset)[..., None])
    samples = np.arange(beat.shape[-1])
    with np.errstate(invalid="ignore"):
        inside = (samples >= found.qrs_onset[:, None]) & (samples <= found.qrs_offset[:, None])
        last = inside & (samples > found.qrs_offset[:, None] - TERMINAL)
    complex_ = np.where(inside[:, None], beat, 0.0)
    before_r = np.cumsum(complex_ > R_BEGINS_MV, axis=-1) == 0
    mean = lambda of: np.einsum("bls,bs->bl", beat, of.astype(beat.dtype)) / np.maximum(of.sum(axis=-1), 1)[:, None]  # noqa: E731
    values = {
        "q_amplitude_mv": np.where(before_r, complex_, 0.0).min(axis=-1),
        "s_amplitude_mv": complex_.min(axis=-1),
        "net_qrs_mv": mean(inside),
        "terminal_qrs_mv": mean(last),
    }
    return {name: np.where(inside.any(axis=-1, keepdims=True), value, np.nan) for name, value in values.items()}
