"""Rhythms: when the heart beats, which beats are ectopic, and what the atria do in fibrillation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MAYER_HZ, RESPIRATION_HZ, BAND_HZ = 0.1, 0.25, 0.01
"""ECGSYN's bimodal RR spectrum: centres and standard deviation of its two bands."""
MAYER_TO_RESPIRATION = 0.5
"""Power ratio of the two bands (LF/HF)."""
TONES = 6
"""Random tones per band."""
SHORTEST_RR_S = 0.26
LEAD_IN_S = 0.8
"""The first beat comes at least this long before the recording, so that its start looks like its middle."""


@dataclass(frozen=True)
class Beats:
    """The beats of a batch of recordings.

    Attributes:
        r_time_s: (batch, beats) seconds of each R peak from the start of the recording, ascending.
        rr_s: (batch, beats) RR interval before each beat, in seconds.
        ectopic: (batch, beats) True for ventricular premature complexes.
        respiration: (batch, beats) breathing at each beat, −1 to 1; the same breath that paces RR.
    """

    r_time_s: Tensor
    rr_s: Tensor
    ectopic: Tensor
    respiration: Tensor

    def __getitem__(self, rows: slice) -> Beats:
        """The beats of some recordings."""
        return Beats(self.r_time_s[rows], self.rr_s[rows], self.ectopic[rows], self.respiration[rows])


def draw_beats(
    heart_rate_bpm: Tensor,
    rr_variability: Tensor,
    duration_s: float,
    generator: torch.Generator,
    fibrillation: Tensor | None = None,
    ectopic_share: Tensor | None = None,
) -> Beats:
    """Draw the beats of each recording.

    The mean RR interval inside the recording is 60 / heart rate, so that the rate asked for is the rate measured.

    Args:
        heart_rate_bpm: (batch,).
        rr_variability: (batch,) standard deviation of RR over its mean. Sinus rhythm spends it on a bimodal spectrum
            (Mayer waves and respiration), atrial fibrillation on independent intervals.
        duration_s: length of the recording.
        generator: every draw comes from it.
        fibrillation: (batch,) bool.
        ectopic_share: (batch,) share of beats that come early from the ventricle, followed by a compensatory pause.
    """
    batch = len(heart_rate_bpm)
    count = math.ceil((duration_s + 2 * LEAD_IN_S) * float(heart_rate_bpm.detach().max()) / 60.0 * 1.3) + 6
    mean_rr = 60.0 / heart_rate_bpm
    tones, phases, weights = _respiratory_tones(batch, generator)
    start = -(1.2 + torch.rand(batch, generator=generator)) * mean_rr - LEAD_IN_S
    irregular = torch.zeros(batch, dtype=torch.bool) if fibrillation is None else fibrillation
    # Fibrillation: independent gamma-like intervals, skewed to the long side as conduction through the AV node is.
    free = torch.exp(torch.randn(batch, count, generator=generator) * rr_variability[:, None])
    free = free / free.median(dim=1, keepdim=True).values
    # The spectrum of a tachogram is that of RR over beats a mean RR apart, as ECGSYN draws it.
    nominal = start[:, None] + mean_rr[:, None] * torch.arange(count)
    angle = 2 * math.pi * tones[:, None] * nominal[..., None] + phases[:, None]
    wave = (weights[:, None] * torch.cos(angle)).sum(dim=-1)
    factor = torch.where(irregular[:, None], free, 1.0 + rr_variability[:, None] * wave)
    ectopic = _ectopic(batch, count, ectopic_share, generator)
    if ectopic_share is not None:
        # A recording of somebody with ectopic beats shows at least one.
        chosen = duration_s * (0.2 + 0.6 * torch.rand(batch, generator=generator))
        beat_rr = mean_rr[:, None] * factor
        time_s = start[:, None] + torch.cumsum(beat_rr, dim=1) - beat_rr
        nearest = (time_s - chosen[:, None]).abs().argmin(dim=1)
        shown = (ectopic & (time_s > 0.1 * duration_s) & (time_s < 0.9 * duration_s)).any(dim=1) | (ectopic_share == 0)
        rows = (~shown).nonzero()[:, 0]
        ectopic[rows] = False
        ectopic[rows, nearest[rows]] = True
    early = torch.where(ectopic, 0.62 + 0.1 * torch.rand(batch, count, generator=generator), 1.0)
    # The interval into a premature beat is short, the one after it makes up for it.
    into = early + torch.roll(1.0 - early, 1, dims=1)
    rr_s = (mean_rr[:, None] * factor * into).clamp_min(SHORTEST_RR_S)
    r_time_s = start[:, None] + torch.cumsum(rr_s, dim=1)
    r_time_s, rr_s = _pace(r_time_s, rr_s, mean_rr, duration_s)
    breath = torch.cos(2 * math.pi * tones[:, -1:] * r_time_s + phases[:, -1:])
    return Beats(r_time_s, rr_s, ectopic, breath)


def _pace(r_time_s: Tensor, rr_s: Tensor, mean_rr_s: Tensor, duration_s: float) -> tuple[Tensor, Tensor]:
    """Stretch time about the middle of the recording until the mean RR inside it is the one asked for."""
    for attempt in range(10):  # stretching moves beats over the edges; the set of beats inside settles quickly
        inside = (r_time_s[:, 1:] < duration_s) & (r_time_s[:, :-1] > 0)
        mean = torch.where(inside, rr_s[:, 1:], torch.nan).nanmean(dim=1)
        factor = (mean_rr_s / mean).nan_to_num(nan=1.0)[:, None]
        rr_s = rr_s * factor
        r_time_s = (r_time_s - 0.5 * duration_s) * factor + 0.5 * duration_s
        if attempt in (3, 5, 7):
            # A beat that hops in and out of the recording keeps one in fifty from settling: start those elsewhere.
            unsettled = (factor - 1.0).abs() > 1e-3
            if not bool(unsettled.any()):
                break
            r_time_s = r_time_s + torch.where(unsettled, 0.25 * mean_rr_s[:, None], 0.0)
    return r_time_s, rr_s


def _respiratory_tones(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Tones (batch, 2 · TONES) of the RR spectrum: frequency in Hz, phase in rad, weight; unit power in total."""
    centres = torch.tensor([MAYER_HZ] * TONES + [RESPIRATION_HZ] * TONES)
    tones = centres + BAND_HZ * torch.randn(batch, 2 * TONES, generator=generator)
    phases = 2 * math.pi * torch.rand(batch, 2 * TONES, generator=generator)
    power = torch.tensor([MAYER_TO_RESPIRATION] * TONES + [1.0] * TONES)
    return tones.clamp_min(0.02), phases, torch.sqrt(2.0 * power / power.sum()).expand(batch, -1)


def _ectopic(batch: int, count: int, share: Tensor | None, generator: torch.Generator) -> Tensor:
    """(batch, beats) bool; never two in a row."""
    if share is None:
        return torch.zeros(batch, count, dtype=torch.bool)
    drawn = torch.rand(batch, count, generator=generator) < share[:, None]
    # Of a run of them, the first, third, fifth … stay.
    number = torch.arange(count)
    last_sinus = torch.where(drawn, -1, number).cummax(dim=1).values
    return drawn & ((number - last_sinus) % 2 == 1)


def fibrillation_waves(amplitude_mv: Tensor, rate_hz: float, samples: int, generator: torch.Generator) -> Tensor:
    """f-waves of atrial fibrillation as a dipole, (batch, 3, samples) mV.

    A saw-tooth of two harmonics at 4 to 9 Hz whose frequency and amplitude wander slowly (Stridh and Sörnmo, IEEE TBME
    48:105–111, 2001), pointing forward and to the right, where V1 sees it best.
    """
    batch = len(amplitude_mv)
    time = torch.arange(samples) / rate_hz

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, 1, generator=generator)

    frequency, swing, swing_hz = draw(4.5, 8.5), draw(0.2, 0.5), draw(0.1, 0.3)
    drift = swing / swing_hz * torch.sin(2 * math.pi * swing_hz * time + draw(0.0, 2 * math.pi))
    swell = 1.0 + draw(0.2, 0.45) * torch.sin(2 * math.pi * draw(0.1, 0.4) * time + draw(0.0, 2 * math.pi))
    dipole = []
    for weight, lag in ((-0.45, 0.0), (0.65, 0.7), (-0.8, 0.3)):
        phase = 2 * math.pi * frequency * time + drift + lag + draw(0.0, 0.6)
        dipole.append(weight * (torch.sin(phase) + 0.4 * torch.sin(2 * phase + draw(0.0, 6.28))))
    return amplitude_mv[:, None, None] * swell[:, None] * torch.stack(dipole, dim=1)
