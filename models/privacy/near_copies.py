"""Is a synthetic ECG a copy of a training recording, perhaps shifted, scaled or with noise added?

Two recordings are compared by their largest normalised cross-correlation over lags, all eight leads at once: a copy
keeps one time shift and one gain over all leads and ten seconds, while two people, or two tracings of one person,
differ in the sequence of RR intervals even when their beats look alike. Signals are limited to 0.5-40 Hz first, so
that neither baseline wander nor added high-frequency noise hides a copy.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

BAND_HZ = (0.5, 40.0)
LONGEST_LAG_S = 2.0
"""Largest shift searched; at least four fifths of ten seconds still overlap."""
ROWS_AT_ONCE = 8


def limit_band(signal: np.ndarray, rate_hz: int) -> np.ndarray:
    """Keep 0.5-40 Hz. (n, leads, samples) to the same shape."""
    spectrum = rfft(signal.astype(np.float32), axis=2)
    frequency = rfftfreq(signal.shape[2], 1 / rate_hz)
    spectrum[:, :, (frequency < BAND_HZ[0]) | (frequency > BAND_HZ[1])] = 0
    return irfft(spectrum, n=signal.shape[2], axis=2)


def closest_correlation(queries: np.ndarray, pool: np.ndarray, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """The most similar recording of a pool for each query.

    Correlation at lag τ is Σ x(t) y(t + τ) / √(Σ x² Σ y²), sums over all leads and over the samples that overlap.

    Args:
        queries: (n, leads, samples), any unit.
        pool: (m, leads, samples).

    Returns:
        Correlation in −1 … 1 and index in the pool, both (n,); NaN and −1 for an empty pool, NaN for a flat query.
    """
    if len(pool) == 0 or len(queries) == 0:
        return np.full(len(queries), np.nan), np.full(len(queries), -1)
    x, y = limit_band(queries, rate_hz), limit_band(pool, rate_hz)
    samples = x.shape[2]
    reach = min(round(LONGEST_LAG_S * rate_hz), samples - 1)
    length = next_fast_len(samples + reach, real=True)
    lags = np.arange(-reach, reach + 1)
    x_spectrum = rfft(x, n=length, axis=2).conj()
    y_spectrum = np.ascontiguousarray(rfft(y, n=length, axis=2).transpose(2, 1, 0))
    x_scale, y_scale = _overlap_scale(x, lags), _overlap_scale(y, -lags)
    silent = ~y_scale.any(axis=1)
    best, index = np.full(len(x), np.nan), np.full(len(x), -1)
    for first in range(0, len(x), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        # One small matrix product per frequency sums over leads: (frequency, rows, leads) @ (frequency, leads, pool).
        product = np.matmul(np.ascontiguousarray(x_spectrum[rows].transpose(2, 0, 1)), y_spectrum)
        shifted = irfft(np.ascontiguousarray(product.transpose(1, 2, 0)), n=length, axis=2)
        correlation = np.full(shifted.shape[:2], -np.inf, np.float32)
        # Negative lags are at the end of a circular correlation.
        for part, lag in (
            (shifted[:, :, length - reach :], slice(0, reach)),
            (shifted[:, :, : reach + 1], slice(reach, None)),
        ):
            part *= x_scale[rows, None, lag]
            part *= y_scale[None, :, lag]
            np.maximum(correlation, part.max(axis=2, initial=-np.inf), out=correlation)
        correlation[:, silent] = -np.inf
        index[rows] = correlation.argmax(axis=1)
        best[rows] = correlation.max(axis=1)
    best[~x_scale.any(axis=1)] = np.nan
    return np.where(np.isfinite(best), best, np.nan), index


def closest_beat_correlation(queries: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Largest correlation of each mean beat with those of a pool, all leads at once, without shifting.

    Args:
        queries: (n, leads, beat samples), zero mean per lead, aligned at the R peak.
        pool: (m, leads, beat samples), at least one.

    Returns:
        (n,) in −1 … 1; 0 for a flat beat.
    """
    flat = [each.reshape(len(each), -1) for each in (queries, pool)]
    one, two = (each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-9) for each in flat)
    return (one @ two.T).max(axis=1)


def _overlap_scale(signal: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """1 / √energy of the part of each recording that overlaps its partner at each lag, (n, lags); 0 where flat."""
    running = np.cumsum(np.square(signal, dtype=np.float64).sum(axis=1), axis=1)
    padded = np.concatenate([np.zeros((len(signal), 1)), running], axis=1)
    start, stop = np.maximum(0, -lags), signal.shape[2] - np.maximum(0, lags)
    energy = padded[:, stop] - padded[:, start]
    return np.divide(1, np.sqrt(np.maximum(energy, 1e-12)), out=np.zeros_like(energy), where=energy > 1e-9).astype(
        np.float32
    )
