"""Electrodes exchanged while recording, recognised by how the leads of people vary together.

Exchanged electrodes are a linear map of the leads: with right and left arm exchanged, I is upside down and II is III.
A recording is unlikely under the covariance of the leads of other people then, and likely once the map is undone. As in
Kors and van Herpen (2001), who predict each lead from the others, only a clear gain counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.ecg.medians import median

SWAPS: dict[str, dict[int, dict[int, float]]] = {
    "ra_la": {0: {0: -1.0}, 1: {0: -1.0, 1: 1.0}},
    "ra_ll": {0: {0: 1.0, 1: -1.0}, 1: {1: -1.0}},
    "v1_v2": {2: {3: 1.0}, 3: {2: 1.0}},
}
"""Exchanged electrodes to the leads that change: row to what it is made of, in the order of `INDEPENDENT_LEADS`."""
SEGMENTS_S = {"P": (-0.22, -0.04), "QRS": (-0.06, 0.08), "T": (0.10, 0.40)}
"""Parts of a beat, in seconds from its R peak."""
SMALLEST_GAIN = 0.2
"""Sum over segments of log(misfit / misfit once undone), from which a swap is flagged. Chosen on PTB-XL's fold 9;
what it catches and how often it errs is in `benchmarks/results/electrode_swaps.json`."""
RIDGE = 1e-4
MISFIT_FLOOR = 1e-3

_LOWER = {
    "P": (
        (856,),
        (873, 1860),
        (-331, -272, 947),
        (204, 294, 833, 1935),
        (430, 723, 544, 1591, 1797),
        (546, 900, 148, 905, 1182, 1154),
        (579, 903, -109, 424, 691, 793, 808),
        (542, 843, -191, 230, 465, 587, 620, 642),
    ),
    "QRS": (
        (636,),
        (344, 556),
        (-561, -394, 976),
        (-276, -257, 1030, 1893),
        (178, 262, 419, 1305, 1693),
        (606, 677, -310, 366, 1241, 1755),
        (738, 734, -658, -248, 624, 1417, 1508),
        (631, 608, -666, -457, 237, 938, 1146, 982),
    ),
    "T": (
        (555,),
        (428, 672),
        (-220, -135, 505),
        (500, 568, 556, 2553),
        (620, 753, 330, 2235, 2451),
        (626, 748, 15, 1406, 1735, 1579),
        (598, 679, -184, 784, 1068, 1123, 1028),
        (491, 560, -216, 465, 676, 761, 763, 657),
    ),
}
"""Second moments of the eight leads within each segment, per recording divided by their trace, in 1e-4: their mean over
PTB-XL's folds 1 to 8 (`python -m benchmarks.electrode_swaps --moments`)."""


def electrode_swaps(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> dict[str, np.ndarray]:
    """Which recordings look as if electrodes had been exchanged.

    Args:
        signal: (batch, 8, samples), mV, leads in the order of `models.leads.INDEPENDENT_LEADS`.
        r_peaks: of each recording, in samples.
        rate_hz: sampling rate.

    Returns:
        Key of `SWAPS` to (batch,) bool; at most one is True of a recording, the clearest. All are False where there are
        fewer than two whole beats.
    """
    return flagged(gains(lead_moments(signal, r_peaks, rate_hz)))


def lead_moments(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> np.ndarray:
    """Second moments of the leads of a recording's median beat, (batch, segments, 8, 8) mV²; NaN without two beats."""
    first, last = min(SEGMENTS_S.values())[0], max(SEGMENTS_S.values())[1]
    offsets = np.arange(round(first * rate_hz), round(last * rate_hz) + 1)
    found = np.full((len(signal), len(SEGMENTS_S), signal.shape[1], signal.shape[1]), np.nan)
    for row, peaks in enumerate(r_peaks):
        at = np.rint(peaks).astype(int)
        at = at[(at + offsets[0] >= 0) & (at + offsets[-1] < signal.shape[2])]
        if len(at) < 2:
            continue
        beats = signal[row][:, at[:, None] + offsets]
        beat = median(beats - median(beats)[..., None], axis=1)
        for index, (start, end) in enumerate(SEGMENTS_S.values()):
            here = beat[:, (offsets >= start * rate_hz) & (offsets <= end * rate_hz)].astype(np.float64)
            found[row, index] = here @ here.T
    return found


def gains(moments: np.ndarray) -> dict[str, np.ndarray]:
    """How much likelier each recording is once a swap is undone, (batch,) each; see `SMALLEST_GAIN`."""
    precisions = [np.linalg.inv(_symmetric(_LOWER[name]) + RIDGE * np.eye(8)) for name in SEGMENTS_S]
    floor = MISFIT_FLOOR * np.trace(moments, axis1=2, axis2=3) + 1e-9
    found = {name: np.zeros(len(moments)) for name in SWAPS}
    for index, precision in enumerate(precisions):
        here = moments[:, index]
        as_it_is = np.einsum("ij,nij->n", precision, here) + floor[:, index]
        for name in SWAPS:
            swap = swap_matrix(name)
            undone = np.einsum("ij,nij->n", swap.T @ precision @ swap, here) + floor[:, index]
            found[name] += np.log(as_it_is / undone)
    return found


def flagged(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of gains as `gains` returns them, the clearest of each recording if it is clear enough."""
    stacked = np.nan_to_num(np.stack(list(found.values())), nan=-np.inf)
    best = stacked.argmax(axis=0)
    return {name: (best == index) & (stacked[index] > SMALLEST_GAIN) for index, name in enumerate(found)}


def swap_matrix(name: str) -> np.ndarray:
    """The (8, 8) map of the independent leads that an exchange of electrodes makes; applied twice, it undoes itself."""
    matrix = np.eye(8)
    for row, weights in SWAPS[name].items():
        matrix[row] = 0.0
        for lead, weight in weights.items():
            matrix[row, lead] = weight
    return matrix


def _symmetric(lower: tuple[tuple[int, ...], ...]) -> np.ndarray:
    matrix = np.zeros((len(lower), len(lower)))
    for row, values in enumerate(lower):
        matrix[row, : len(values)] = matrix[: len(values), row] = values
    return matrix * 1e-4
