"""Waves of single recordings: each lead's median beat as a sum of Gaussians, and what is left when they are taken away.

`models.simulator.wave_fitting` fits classes, for the physics terms; this fits every recording, thousands at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import median_filter
from torch import Tensor

from models.ecg.median_beats import BEFORE_R_S, GRID_HZ, median_beats
from models.simulator.beat_sum import BeatWaves, sum_of_beats
from models.simulator.isolated_beats import COARSER, isolated

START_CENTRE_S = (-0.170, -0.028, 0.0, 0.028, 0.120, 0.210, 0.290)
"""Where P, Q, R, S, the ST segment and the two halves of T start from, at an RR interval of 1 s."""
START_WIDTH_S = (0.025, 0.010, 0.010, 0.010, 0.035, 0.040, 0.035)
START_EXPONENT = (0.2, 0.0, 0.0, 0.0, 0.4, 0.4, 0.4)
"""Power of RR by which the starting places move."""
FARTHEST = 3.0
"""Starting widths that a wave may move by."""
NARROWEST_S, WIDEST_S = 0.006, 0.12
RIDGE = 0.01
CHUNK = 64
QRS_S = 0.06
"""Half of the stretch around an R peak that says nothing about noise: beats differ most there."""


@dataclass(frozen=True)
class RecordFit:
    """Gaussian waves per recording and lead.

    Attributes:
        rows: (n,) index of each recording among those given; recordings with fewer than two beats are left out.
        amplitude: (n, 8, waves) mV.
        centre_s, width_s: (n, 8, waves) seconds, at the recording's own heart rate; 0 is the R peak.
        rr_s: (n,) median RR interval in seconds.
        error_mv: (n, 8) mean absolute difference from the median beat.
    """

    rows: Tensor
    amplitude: Tensor
    centre_s: Tensor
    width_s: Tensor
    rr_s: Tensor
    error_mv: Tensor


def fit_records(
    signal: np.ndarray, r_peaks: list[np.ndarray], rate_hz: float, steps: int = 150, learning_rate: float = 0.08
) -> RecordFit:
    """Fit seven Gaussians per lead to each recording's median beat.

    Amplitudes are the weighted ridge least-squares solution at every step (variable projection: Golub and Pereyra,
    SIAM J. Numer. Anal. 10:413–432, 1973). At that solution the loss does not depend on them to first order, so the
    gradient of centres and widths takes them as given. A straight line through the beat's ends is taken off first.

    Args:
        signal: (batch, 8, samples) mV.
        r_peaks: positions in samples per recording, from `models.ecg.r_peaks.locate_r_peaks`.
        rate_hz: sampling rate.
        steps: gradient steps.
        learning_rate: of Adam at the first step, in starting widths; falls to a tenth.

    Raises:
        ValueError: no recording has two beats.
    """
    beats = median_beats(signal, r_peaks, rate_hz)
    if not len(beats.rows):
        raise ValueError("no recording has two R peaks, so none has a median beat to fit")
    seconds = torch.from_numpy(np.arange(beats.beat.shape[-1])[::COARSER] / GRID_HZ - BEFORE_R_S).float()
    parts = []
    for at in range(0, len(beats.rows), CHUNK):
        rows = slice(at, at + CHUNK)
        beat = torch.from_numpy(np.ascontiguousarray(beats.beat[rows, :, ::COARSER])).float()
        rr_s = torch.from_numpy(beats.rr_s[rows]).float()
        parts.append(_fit(*isolated(beat, seconds, rr_s), seconds, rr_s, steps, learning_rate))
    amplitude, centre, width, error = (torch.cat(each) for each in zip(*parts, strict=True))
    return RecordFit(
        torch.from_numpy(beats.rows), amplitude, centre, width, torch.from_numpy(beats.rr_s).float(), error
    )


def _fit(
    beat: Tensor, weight: Tensor, seconds: Tensor, rr_s: Tensor, steps: int, learning_rate: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Amplitude, centre, width (batch, 8, waves) and mean absolute error (batch, 8)."""
    scale = rr_s[:, None] ** torch.tensor(START_EXPONENT)
    start = (torch.tensor(START_CENTRE_S) * scale)[:, None].expand(-1, beat.shape[1], -1)
    start_width = (torch.tensor(START_WIDTH_S) * scale.sqrt())[:, None]
    shift = torch.zeros(start.shape, requires_grad=True)
    stretch = torch.zeros(start.shape, requires_grad=True)
    # Small leads count as much as large ones.
    power = (weight * beat.square()).mean(-1, keepdim=True).clamp_min(1e-5)

    def shape() -> tuple[Tensor, Tensor]:
        centre = start + start_width * FARTHEST * torch.tanh(shift / FARTHEST)
        return centre, (start_width * torch.exp(stretch)).clamp(NARROWEST_S, WIDEST_S)

    def waves() -> Tensor:
        centre, width = shape()
        distance = (seconds - centre[..., None]) / width[..., None]
        return torch.exp((distance * distance * -0.5).clamp_min(-30.0))

    def amplitudes(basis: Tensor) -> Tensor:
        weighted = basis * weight[..., None, :]
        gram = weighted @ basis.mT + RIDGE * torch.eye(basis.shape[-2])
        solution, _ = torch.linalg.solve_ex(gram, weighted @ beat[..., None])
        return solution.squeeze(-1)

    optimiser = torch.optim.Adam([shift, stretch], lr=learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.1, max(steps, 1))
    with torch.enable_grad():
        for _ in range(steps):
            optimiser.zero_grad()
            basis = waves()
            amplitude = amplitudes(basis.detach())
            residual = beat - (amplitude[..., None, :] @ basis).squeeze(-2)
            (weight * residual.square() / power).mean(-1).sum().backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        (centre, width), basis = shape(), waves()
        amplitude = amplitudes(basis)
        error = (beat - (amplitude[..., None, :] @ basis).squeeze(-2)).abs()
        inside = (weight == 1.0).float()
        return amplitude, centre, width, (error * inside).sum(-1) / inside.sum(-1)


def beat_waves(amplitude: Tensor, centre_s: Tensor, width_s: Tensor, exponent: Tensor) -> BeatWaves:
    """Waves per lead as beats take them: every wave lies on one of the eight axes.

    Args:
        amplitude, centre_s, width_s, exponent: (batch, 8, waves).
    """
    on_its_lead = torch.diag_embed(amplitude.transpose(1, 2)).transpose(1, 2)  # (batch, lead of the wave, wave, axis)
    return BeatWaves(on_its_lead.flatten(1, 2), centre_s.flatten(1), width_s.flatten(1), exponent.flatten(1))


def usual_beats(fit: RecordFit, r_peaks: list[np.ndarray], rate_hz: float, samples: int) -> Tensor:
    """Recordings as their usual beat at every R peak: (n, 8, samples) mV.

    Args:
        r_peaks: of the recordings in `fit`, in its order, in samples.
    """
    times = torch.full((len(r_peaks), max(len(peaks) for peaks in r_peaks)), -torch.inf)
    for row, peaks in enumerate(r_peaks):
        times[row, : len(peaks)] = torch.from_numpy(np.asarray(peaks) / rate_hz).float()
    there, times, ones = times.isfinite(), times.nan_to_num(neginf=0.0), torch.ones_like(times)
    waves = beat_waves(fit.amplitude, fit.centre_s, fit.width_s, torch.zeros_like(fit.centre_s))
    chunks = [slice(at, at + CHUNK) for at in range(0, len(r_peaks), CHUNK)]
    return torch.cat(
        [sum_of_beats(waves[at], there[at], times[at], ones[at], ones[at], rate_hz, samples) for at in chunks]
    )


def left_over(difference: Tensor, r_peaks: list[np.ndarray], rate_hz: float) -> Tensor:
    """What recordings hold besides their usual beat: wander, noise, fibrillation waves. (n, 8, samples) mV.

    QRS complexes are bridged by straight lines, and what stands far out of the rest (an ectopic beat) is cut.

    Args:
        difference: (n, 8, samples) mV of recordings and `usual_beats`.
        r_peaks: of the same recordings, in samples.
    """
    rest, samples = difference.numpy().copy(), difference.shape[-1]
    for row, peaks in enumerate(r_peaks):
        near = np.zeros(samples, dtype=bool)
        for peak in peaks:
            near[max(0, int(peak - QRS_S * rate_hz)) : int(peak + QRS_S * rate_hz) + 2] = True
        if near.all():
            continue
        place = np.arange(samples)
        for lead in range(rest.shape[1]):
            rest[row, lead, near] = np.interp(place[near], place[~near], rest[row, lead, ~near])
    slow = median_filter(rest, size=(1, 1, round(0.6 * rate_hz) | 1), mode="nearest")
    quick = rest - slow
    limit = 6.0 * np.median(np.abs(quick), axis=-1, keepdims=True) + 1e-4
    return torch.from_numpy(slow + np.clip(quick, -limit, limit))
