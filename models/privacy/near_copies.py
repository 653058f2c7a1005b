"""Is a synthetic ECG a copy of a training recording, perhaps shifted, scaled or with noise added?

Two recordings are compared by their largest normalised cross-correlation over lags, all eight leads at once: a copy
keeps one time shift and one gain over all leads and ten seconds, while two people, or two tracings of one person,
differ in the sequence of RR intervals even when their beats look alike. Signals are limited to 0.5-40 Hz first, so
that neither baseline wander nor added high-frequency noise hides a copy.

Of a large training set only the recordings with the most similar magnitude spectra are compared: a shift changes the
phases of a spectrum, and its magnitudes at the ends only.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from models.privacy.neighbours import nearest

BAND_HZ = (0.5, 40.0)
SPECTRUM_HZ = (0.5, 20.0)
LONGEST_LAG_S = 2.0
"""Largest shift searched; at least four fifths of ten seconds still overlap."""
CANDIDATES = 32
ROWS_AT_ONCE = 64
LIMITED_AT_ONCE = 1024


class CopySearch:
    """Searches a pool of recordings for the most similar one.

    Args:
        pool: (m, leads, samples), any unit.
        rate_hz: of the pool and of what is looked for.
    """

    def __init__(self, pool: np.ndarray, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.pool = np.empty(pool.shape, np.float32)
        magnitudes = []
        for at in range(0, len(pool), LIMITED_AT_ONCE):
            rows = slice(at, at + LIMITED_AT_ONCE)
            self.pool[rows] = limit_band(pool[rows], rate_hz)
            magnitudes.append(_magnitudes(self.pool[rows], rate_hz))
        self.magnitudes = np.concatenate(magnitudes) if magnitudes else np.empty((0, 0), np.float32)

    def closest(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The most similar recording for each query, of `CANDIDATES` with the most similar spectra.

        Correlation at lag τ is Σ x(t) y(t + τ) / √(Σ x² Σ y²), sums over all leads and over the samples that overlap.

        Args:
            queries: (n, leads, samples), any unit.

        Returns:
            Correlation in −1 … 1 and index in the pool, both (n,); NaN and −1 for an empty pool, NaN for a flat query.
        """
        best, index = np.full(len(queries), np.nan), np.full(len(queries), -1)
        for at in range(0, len(queries) if len(self.pool) else 0, LIMITED_AT_ONCE):
            rows = slice(at, at + LIMITED_AT_ONCE)
            best[rows], index[rows] = self._closest(limit_band(queries[rows], self.rate_hz))
        return best, index

    def _closest(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        candidates = nearest(_magnitudes(x, self.rate_hz), self.magnitudes, CANDIDATES)[1]
        samples = x.shape[2]
        reach = min(round(LONGEST_LAG_S * self.rate_hz), samples - 1)
        length = next_fast_len(samples + reach, real=True)
        lags = np.arange(-reach, reach + 1)
        best, index = np.full(len(x), np.nan), np.full(len(x), -1)
        for first in range(0, len(x), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            one, others = x[rows], self.pool[candidates[rows]]
            # (rows, candidates, frequency), summed over leads.
            product = np.einsum(
                "rlf,rclf->rcf", rfft(one, n=length, axis=2).conj(), rfft(others, n=length, axis=3), optimize=True
            )
            shifted = irfft(product, n=length, axis=2)
            # Negative lags are at the end of a circular correlation.
            correlation = np.concatenate([shifted[:, :, length - reach :], shifted[:, :, : reach + 1]], axis=2)
            scale = _overlap_scale(others.reshape(-1, *others.shape[2:]), -lags).reshape(correlation.shape)
            of_one = _overlap_scale(one, lags)
            correlation *= scale
            correlation *= of_one[:, None]
            highest = np.where(scale.any(axis=2), correlation.max(axis=2), -np.inf)
            chosen = highest.argmax(axis=1)
            index[rows] = np.take_along_axis(candidates[rows], chosen[:, None], axis=1)[:, 0]
            best[rows] = np.where(of_one.any(axis=1), highest.max(axis=1), np.nan)
        return np.where(np.isfinite(best), best, np.nan), index


def limit_band(signal: np.ndarray, rate_hz: int) -> np.ndarray:
    """Keep 0.5-40 Hz. (n, leads, samples) to the same shape."""
    spectrum = rfft(signal.astype(np.float32), axis=2)
    frequency = rfftfreq(signal.shape[2], 1 / rate_hz)
    spectrum[:, :, (frequency < BAND_HZ[0]) | (frequency > BAND_HZ[1])] = 0
    return irfft(spectrum, n=signal.shape[2], axis=2)


def _magnitudes(signal: np.ndarray, rate_hz: int) -> np.ndarray:
    """Roots of magnitude spectra of all leads as unit vectors, (n, leads × frequencies)."""
    frequency = rfftfreq(signal.shape[2], 1 / rate_hz)
    kept = (frequency >= SPECTRUM_HZ[0]) & (frequency <= SPECTRUM_HZ[1])
    flat = np.sqrt(np.abs(rfft(signal, axis=2)[:, :, kept])).reshape(len(signal), -1)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)


def _overlap_scale(signal: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """1 / √energy of the part of each recording that overlaps its partner at each lag, (n, lags); 0 where flat."""
    running = np.cumsum(np.square(signal, dtype=np.float64).sum(axis=1), axis=1)
    padded = np.concatenate([np.zeros((len(signal), 1)), running], axis=1)
    start, stop = np.maximum(0, -lags), signal.shape[2] - np.maximum(0, lags)
    energy = padded[:, stop] - padded[:, start]
    return np.divide(1, np.sqrt(np.maximum(energy, 1e-12)), out=np.zeros_like(energy), where=energy > 1e-9).astype(
        np.float32
    )
