"""The simulator with waves of recorded beats: any rhythm and heart rate, no network.

A library keeps, per training recording, the Gaussian waves of its usual beat and what else it holds: wander, noise,
fibrillation waves. `simulate_from` sets the beats on new RR series and adds the noise of some recording, moved in time.
Waves and noise are single patients', so its ECGs are a baseline to measure a generative model against and are never
released.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.simulator_alone.record_fitting import QRS_S, beat_waves, fit_records, left_over, usual_beats
from models.ecg.measurements import IRREGULAR_RR
from models.simulator.beat_sum import sum_of_beats
from models.simulator.heart_simulator import BREATHING, CHUNK
from models.simulator.rhythms import draw_beats

P_BEFORE_S, T_AFTER_S = -0.075, 0.085
"""A wave centred before the first belongs to P, after the second to ST and T; those between are QRS."""
EXPONENTS = (0.2, 0.0, 1.0 / 3.0)
"""Power of RR that centre and width of P, QRS and T follow, as in `models.simulator.hearts`."""

"""Standard deviation of RR over its mean from which intervals are independent of each other, as in fibrillation."""
CALMEST, WILDEST = 0.008, 0.3
FILTERED_HZ, RESPONSE_HZ = 20.0, 1.0
"""Where the response departs from 1, and how finely it is known."""
BRIDGED_HZ = 5.0
"""Noise above this is missing where QRS complexes were bridged; below, the bridge carries it on."""


@dataclass(frozen=True)
class BeatLibrary:
    """Fitted beats and noise of n recordings.

    Attributes:
        rows: (n,) index of each among the recordings it was made from.
        amplitude: (n, 8, waves) mV.
        centre_s, width_s: (n, 8, waves) seconds at an RR interval of 1 s.
        exponent: (n, 8, waves) power of RR that centre and width follow.
        rr_s: (n,) median RR interval in seconds.
        rr_variability: (n,) standard deviation of RR over its mean.
        noise: (n, 8, samples) mV, what is left over; it ends where it begins.
        response: (n, frequencies) gain that gives an ECG made of these parts the recording's spectrum: what the
            recorder's filter took from QRS complexes, and what they lost in fitting.
        error_mv: (n, 8) mean absolute error of the fit.
    """

    rows: Tensor
    amplitude: Tensor
    centre_s: Tensor
    width_s: Tensor
    exponent: Tensor
    rr_s: Tensor
    rr_variability: Tensor
    noise: Tensor
    response: Tensor
    error_mv: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def tensors(self) -> dict[str, Tensor]:
        """By name, e.g. to save them; `BeatLibrary(**tensors)` is the way back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def fit_library(signal: np.ndarray, r_peaks: list[np.ndarray], rate_hz: float, steps: int = 150) -> BeatLibrary:
    """Make a library; recordings with fewer than two R peaks are left out.

    Args:
        signal: (batch, 8, samples) mV.
        r_peaks: positions in samples per recording, from `models.ecg.r_peaks.locate_r_peaks`.
        rate_hz: sampling rate.
        steps: gradient steps per recording.

    Raises:
        ValueError: no recording has two R peaks.
    """
    fit = fit_records(signal, r_peaks, rate_hz, steps)
    kept = fit.rows.tolist()
    peaks, recorded = [r_peaks[row] for row in kept], torch.from_numpy(np.asarray(signal, dtype=np.float32)[kept])
    beats = usual_beats(fit, peaks, rate_hz, signal.shape[-1])
    rest = left_over(recorded - beats, peaks, rate_hz)
    samples = signal.shape[-1]
    noise = _with_joined_ends(_restored(rest, peaks, rate_hz))
    # Moved by half, so that what noise and beats have in common by chance does not count.
    made = beats + noise.roll(samples // 2, dims=-1)
    response = _response(recorded, made, max(1, round(RESPONSE_HZ * samples / rate_hz)))
    filtered = torch.fft.rfftfreq(samples, 1.0 / rate_hz) > FILTERED_HZ
    kind = (fit.centre_s > P_BEFORE_S).long() + (fit.centre_s > T_AFTER_S).long()
    exponent = torch.tensor(EXPONENTS)[kind]
    scale = fit.rr_s[:, None, None] ** exponent
    intervals = [np.diff(each) for each in peaks]
    return BeatLibrary(
        rows=fit.rows,
        amplitude=fit.amplitude,
        centre_s=fit.centre_s / scale,
        width_s=fit.width_s / scale,
        exponent=exponent,
        rr_s=fit.rr_s,
        rr_variability=torch.tensor([float(np.std(rr) / np.mean(rr)) for rr in intervals]),
        noise=noise,
        response=torch.where(filtered, response, 1.0),
        error_mv=fit.error_mv,
    )


def simulate_from(
    library: BeatLibrary,
    beats_of: Tensor,
    noise_of: Tensor,
    heart_rate_bpm: Tensor,
    rate_hz: float,
    samples: int,
    generator: torch.Generator,
    variation: float = 0.0,
) -> Tensor:
    """Simulate ECGs with recorded beats.

    Args:
        library: of recordings of the same rate and length.
        beats_of: (batch,) entry of the library whose waves and regularity of rhythm each ECG gets.
        noise_of: (batch,) entry whose noise it gets, begun at a random place.
        heart_rate_bpm: (batch,) median heart rate to deliver.
        rate_hz, samples: sampling rate and length.
        generator: every draw comes from it.
        variation: standard deviation of the log factor on each of P, QRS and T; 0 keeps recorded beats.

    Returns:
        (batch, 8, samples) mV.

    Raises:
        ValueError: the library is of recordings of another length.
    """
    if library.noise.shape[-1] != samples:
        raise ValueError(f"the library is of recordings of {library.noise.shape[-1]} samples, not {samples}")
    variability = library.rr_variability[beats_of].clamp(CALMEST, WILDEST)
    beats = draw_beats(heart_rate_bpm, variability, samples / rate_hz, generator, variability > IRREGULAR_RR)
    factor = torch.exp(variation * torch.randn(len(beats_of), len(EXPONENTS), generator=generator))
    exponent = library.exponent[beats_of]
    kind = (exponent[..., None] == torch.tensor(EXPONENTS)).float()
    amplitude = library.amplitude[beats_of] * (kind @ factor[:, None, :, None]).squeeze(-1)
    waves = beat_waves(amplitude, library.centre_s[beats_of], library.width_s[beats_of], exponent)
    pace_s = 0.7 * (60.0 / heart_rate_bpm)[:, None] + 0.3 * beats.rr_s
    every, size = torch.ones_like(beats.ectopic), 1.0 + BREATHING * beats.respiration
    parts = []
    for at in range(0, len(beats_of), CHUNK):
        rows = slice(at, at + CHUNK)
        timing = (beats.r_time_s[rows], pace_s[rows], size[rows])
        parts.append(sum_of_beats(waves[rows], every[rows], *timing, rate_hz, samples))
    begins = torch.randint(samples, (len(noise_of), 1, 1), generator=generator)
    place = ((begins + torch.arange(samples)) % samples).expand(-1, library.noise.shape[1], -1)
    signal = torch.cat(parts) + library.noise[noise_of].gather(2, place)
    return torch.fft.irfft(torch.fft.rfft(signal) * library.response[beats_of, None], n=samples)


def _restored(rest: Tensor, r_peaks: list[np.ndarray], rate_hz: float) -> Tensor:
    """Noise (n, 8, samples) with the power back that it lost above `BRIDGED_HZ` where QRS complexes were bridged."""
    samples = rest.shape[-1]
    bridged = torch.tensor([min(0.5, 2 * QRS_S * rate_hz * len(peaks) / samples) for peaks in r_peaks])
    quick = torch.fft.rfftfreq(samples, 1.0 / rate_hz) > BRIDGED_HZ
    gain = torch.where(quick, (1.0 - bridged).rsqrt()[:, None], 1.0)[:, None]
    return torch.fft.irfft(torch.fft.rfft(rest) * gain, n=samples)


def _with_joined_ends(signal: Tensor) -> Tensor:
    """Take the straight line off that leads from the first tenth of a second to the last; (…, samples)."""
    samples = signal.shape[-1]
    near = max(1, samples // 100)
    rise = signal[..., -near:].mean(-1, keepdim=True) - signal[..., :near].mean(-1, keepdim=True)
    return signal - rise * (torch.arange(samples) / samples - 0.5)


def _response(recorded: Tensor, made: Tensor, width: int) -> Tensor:
    """Gain from the spectra of ECGs made to those of recordings, both (n, 8, samples): (n, frequencies).

    The geometric mean over leads and `width` frequencies on either side.
    """
    one, other = (torch.fft.rfft(each).abs().clamp_min(1e-4).log() for each in (recorded, made))
    padded = F.pad((one - other).mean(dim=1, keepdim=True), (width, width), mode="replicate")
    return F.avg_pool1d(padded, 2 * width + 1, stride=1)[:, 0].exp()
