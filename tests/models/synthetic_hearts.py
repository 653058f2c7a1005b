"""ECG-like signals for tests: a beat of the heart's own in every lead, repeated at irregular intervals, with noise."""

from __future__ import annotations

import numpy as np

RATE_HZ = 100


def ecgs(count: int, seed: int, samples: int = 1000, noise_mv: float = 0.02) -> np.ndarray:
    """(count, 8, samples) float32 mV; every row is another person."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / RATE_HZ
    signal = rng.normal(0, noise_mv, (count, 8, samples))
    for row in range(count):
        pace = rng.uniform(0.6, 1.1)
        # PR, QRS, T: offset from R (s), width (s), typical height (mV)
        waves = [(-0.16, 0.02, 0.12), (0.0, 0.012, 1.0), (0.03, 0.012, -0.25), (0.27, 0.05, 0.3)]
        heights = np.array([rng.normal(height, 0.4 * abs(height), 8) for _, _, height in waves])
        r_times = np.cumsum(rng.normal(pace, 0.04 * pace, 30)) - rng.uniform(0, 1)
        for r_time in r_times[r_times < samples / RATE_HZ + 0.5]:
            for (offset, width, _), height in zip(waves, heights, strict=True):
                bump = np.exp(-0.5 * ((time - r_time - offset) / width) ** 2)
                signal[row] += height[:, None] * bump
    return signal.astype(np.float32)
