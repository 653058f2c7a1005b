"""Canaries: ECGs that leak on purpose, planted into a copy of what is audited to learn whether an attack would see it.

Each imitates a way in which a generator could leak a training recording: its beats put into another rhythm, its beats
mixed with other beats, what the simulator draws of its beats in another rhythm, or the recording itself, shifted,
scaled and noisy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from models.privacy.mean_beats import AFTER_R_S, BEAT_RATE_HZ, BEAT_SAMPLES, BEFORE_R_S, mean_beats
from models.simulator.beat_events import EVENTS, fit_events, simulated_ecg

BEATS: Final = "own beats in another rhythm"
NEIGHBOURS: Final = "own beats mixed with others"
FITTED: Final = "fitted beats in another rhythm"
RECORDINGS: Final = "shifted recordings"
KINDS: Final = (BEATS, NEIGHBOURS, FITTED, RECORDINGS)
OWN_SHARE: Final = {BEATS: 1.0, NEIGHBOURS: 0.8}
"""Share of the patient's own mean beat; the rest is the mean beat of the ECG that it is put into."""
FURTHEST_SHIFT_S: Final = 1.5
GAIN_SPREAD: Final = 0.1
NOISE_SHARE: Final = 0.15
"""White noise of a shifted recording as a share of each lead's standard deviation."""
RAMP_S: Final = 0.05


@dataclass(frozen=True)
class Ecgs:
    """Signals (n, 8, samples) in mV and R peaks, in samples, of each."""

    signal: np.ndarray
    r_peaks: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.signal)

    def take(self, rows: np.ndarray) -> Ecgs:
        """Some of them, by index."""
        return Ecgs(self.signal[rows], [self.r_peaks[row] for row in rows])


def planted(kind: str, sources: Ecgs, hosts: Ecgs, rate_hz: float, seeds: np.ndarray) -> Ecgs:
    """One canary of each source; it depends on its own source, host and seed only.

    Args:
        kind: of `KINDS`.
        sources: recordings of the patients whose data leak; fitted beats need two R peaks of each.
        hosts: as many ECGs of the audited cohort; they give rhythm and everything but the beat.
        seeds: (n,) of shift, gain and noise of each.
    """
    if kind == RECORDINGS:
        return _shifted(sources, rate_hz, seeds)
    if kind == FITTED:
        return _fitted(sources, hosts, rate_hz)
    own, others = (mean_beats(each.signal, each.r_peaks, rate_hz) for each in (sources, hosts))
    change = OWN_SHARE[kind] * (own - others)
    return Ecgs(hosts.signal + placed(change, hosts.r_peaks, hosts.signal.shape[2], rate_hz), hosts.r_peaks)


def placed(beats: np.ndarray, r_peaks: Sequence[np.ndarray], samples: int, rate_hz: float) -> np.ndarray:
    """Beats at the R peaks of a rhythm, each until the next begins.

    Args:
        beats: (n, 8, BEAT_SAMPLES) mV at `BEAT_RATE_HZ`, as `mean_beats` makes them.
        r_peaks: R peaks of each row, in samples.

    Returns:
        (n, 8, samples) mV; the ends of each beat are faded in and out over `RAMP_S`.
    """
    ramp = round(RAMP_S * BEAT_RATE_HZ)
    fade = np.ones(BEAT_SAMPLES, np.float32)
    fade[:ramp] = fade[-ramp:][::-1] = np.linspace(0, 1, ramp + 1)[1:]
    faded = beats * fade
    signal = np.zeros((len(beats), beats.shape[1], samples), np.float32)
    time = np.arange(samples)
    for row, located in enumerate(r_peaks):
        peaks = np.rint(np.sort(located))
        if len(peaks) == 0:
            continue
        # Where beats follow each other closely, the earlier one's end gives way to the next one's P wave.
        rr = np.diff(peaks) / rate_hz
        starts = peaks[1:] - BEFORE_R_S * np.minimum(1, rr / (BEFORE_R_S + AFTER_R_S)) * rate_hz
        beat = np.searchsorted(starts, time, side="right")
        index = np.rint(((time - peaks[beat]) / rate_hz + BEFORE_R_S) * BEAT_RATE_HZ).astype(np.int64)
        inside = (index >= 0) & (index < BEAT_SAMPLES)
        signal[row][:, inside] = faded[row][:, index[inside]]
    return signal


def _fitted(sources: Ecgs, hosts: Ecgs, rate_hz: float) -> Ecgs:
    """What the simulator draws of the hosts' beats gives way to what it draws of the sources' beats.

    Noise, wander and all else that the simulator does not draw of a host stay. Drawing is linear in the amplitudes.
    """
    amplitude = torch.zeros(2, *sources.signal.shape[:2], len(EVENTS))
    for side, ecgs in enumerate((sources, hosts)):
        fit = fit_events(ecgs.signal, ecgs.r_peaks, rate_hz)
        amplitude[side, fit.rows] = fit.amplitude
    longest = max(2, *(len(peaks) for peaks in hosts.r_peaks))
    r_times = torch.full((len(hosts), longest), torch.nan)
    for row, peaks in enumerate(hosts.r_peaks):
        r_times[row, : len(peaks)] = torch.from_numpy(np.sort(peaks) / rate_hz)
    change = simulated_ecg(amplitude[0] - amplitude[1], r_times, rate_hz, hosts.signal.shape[2])
    return Ecgs(hosts.signal + change.numpy(), hosts.r_peaks)


def _shifted(sources: Ecgs, rate_hz: float, seeds: np.ndarray) -> Ecgs:
    """Recordings moved in time (what leaves at one end enters at the other), scaled, with noise."""
    samples = sources.signal.shape[2]
    signal, r_peaks = np.empty_like(sources.signal), []
    for row, (recording, seed) in enumerate(zip(sources.signal, seeds, strict=True)):
        rng = np.random.default_rng(seed)
        shift = round(rng.uniform(-FURTHEST_SHIFT_S, FURTHEST_SHIFT_S) * rate_hz)
        noise = NOISE_SHARE * recording.std(axis=1, keepdims=True) * rng.standard_normal(recording.shape)
        signal[row] = np.roll(recording, shift, axis=1) * np.exp(GAIN_SPREAD * rng.standard_normal()) + noise
        r_peaks.append(np.sort((sources.r_peaks[row] + shift) % samples))
    return Ecgs(signal, r_peaks)
