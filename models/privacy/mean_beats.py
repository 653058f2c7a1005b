"""Mean beats of recordings, without their rhythm: what the identifying space is made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BEFORE_R_S, AFTER_R_S = 0.25, 0.45
"""Window around the R peak; it holds P, QRS and T at ordinary rates."""
BEAT_RATE_HZ = 100
BEAT_SAMPLES = round((BEFORE_R_S + AFTER_R_S) * BEAT_RATE_HZ)


def beat_halves(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> np.ndarray:
    """Mean beats of the first and of the second half of each recording's beats.

    Args:
        signal: (n, 8, samples), mV.
        r_peaks: positions in samples per recording, from `models.ecg.r_peaks.locate_r_peaks`.

    Returns:
        (n, 2, 8, BEAT_SAMPLES) float32 mV at `BEAT_RATE_HZ`, each lead without its mean. Both halves of a recording
        with one whole beat are that beat; one without any is represented by its first window.
    """
    window = np.rint((np.arange(BEAT_SAMPLES) / BEAT_RATE_HZ - BEFORE_R_S) * rate_hz).astype(np.int64)
    halves = np.empty((len(signal), 2, signal.shape[1], BEAT_SAMPLES), np.float32)
    for row, located in enumerate(r_peaks):
        peaks = np.rint(located).astype(np.int64)
        whole = peaks[(peaks + window[0] >= 0) & (peaks + window[-1] < signal.shape[2])]
        centres = whole if len(whole) else np.array([-window[0]])
        beats = signal[row][:, centres[:, None] + window]
        middle = len(centres) // 2
        halves[row, 0] = beats[:, : max(middle, 1)].mean(axis=1)
        halves[row, 1] = beats[:, middle:].mean(axis=1)
    return halves - halves.mean(axis=3, keepdims=True)


def mean_beats(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> np.ndarray:
    """Mean beats, (n, 8, BEAT_SAMPLES): the mean of the halves. Arguments as in `beat_halves`."""
    return beat_halves(signal, r_peaks, rate_hz).mean(axis=1)
