"""The differentiable 12-lead simulator: from one heart per recording to eight leads in mV.

A beat is a sum of Gaussian waves of the cardiac dipole in the phase of `models.ecgsyn`, θ = ω (t − R) with ω = 2π / RR.
Centres and widths are kept in seconds and become phases by ω; they follow RR by each wave's own power
(`models.hearts`). Beats are evaluated in closed form and added up, each with its own RR interval and waves, so ectopic
beats fit in and no solver is needed. Gradients reach every parameter of a heart.

The output is not a recording of anyone; it is labelled as simulated wherever it is stored.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.artefacts import baseline_wander, muscle_noise
from models.dipole import to_leads
from models.ecgsyn import f_z, gaussian_waves, integrate_ode, wave_slope, wrap
from models.hearts import Hearts
from models.leads import INDEPENDENT_LEADS
from models.rhythms import Beats, draw_beats, fibrillation_waves
from models.wave_fitting import fit_waves

__all__ = ["dipole_signal", "f_z", "fit_waves", "gaussian_waves", "integrate_ode", "simulate", "wave_slope", "wrap"]

WINDOW_S = (-0.50, 0.80)
"""Stretch around an R peak in which its waves are evaluated."""
CHUNK = 64
"""Recordings whose beats are evaluated at once: bounds memory and stays in cache."""
BREATHING = 0.04
"""Share by which breathing changes the size of a beat."""


def simulate(hearts: Hearts, generator: torch.Generator, rate_hz: float = 100.0, duration_s: float = 10.0) -> Tensor:
    """Simulate one recording per heart.

    Args:
        hearts: from `models.hearts.draw_hearts`; its tensors may require gradients.
        generator: every draw (RR series, f-waves, artefacts) comes from it.
        rate_hz: sampling rate.
        duration_s: length of the recordings.

    Returns:
        (batch, 8, samples) mV, leads in the order of `models.leads.INDEPENDENT_LEADS`.
    """
    samples, leads = round(duration_s * rate_hz), len(INDEPENDENT_LEADS)
    beats = draw_beats(
        hearts.heart_rate_bpm, hearts.rr_variability, duration_s, generator, hearts.fibrillation, hearts.ectopic_share
    )
    signal = to_leads(dipole_signal(hearts, beats, rate_hz, samples))
    atria = hearts.fibrillation.nonzero()[:, 0]
    if len(atria):
        waves = fibrillation_waves(hearts.fibrillation_mv[atria], rate_hz, samples, generator)
        signal = signal.index_add(0, atria, to_leads(waves))
    signal = signal * hearts.lead_gain[..., None]
    signal = signal + baseline_wander(hearts.wander_mv, leads, samples, rate_hz, generator)
    return signal + muscle_noise(hearts.noise_mv, leads, samples, rate_hz, generator)


def dipole_signal(hearts: Hearts, beats: Beats, rate_hz: float, samples: int) -> Tensor:
    """The dipole of given beats, (batch, 3, samples) mV, in closed form."""
    parts = []
    for at in range(0, len(hearts.heart_rate_bpm), CHUNK):
        rows = slice(at, at + CHUNK)
        parts.append(_dipole(hearts, beats, rows, rate_hz, samples))
    return torch.cat(parts)


def _dipole(hearts: Hearts, beats: Beats, rows: slice, rate_hz: float, samples: int) -> Tensor:
    before, after = round(-WINDOW_S[0] * rate_hz), round(WINDOW_S[1] * rate_hz)
    r_time, rr, ectopic = beats.r_time_s[rows], beats.rr_s[rows], beats.ectopic[rows]
    batch, length = len(r_time), before + after + 1
    first = torch.floor(r_time * rate_hz).long() - before
    recording, number = torch.nonzero((first > -length) & (first < samples), as_tuple=True)
    first = first[recording, number]
    offset = torch.arange(length)
    seconds = (first[:, None] + offset) / rate_hz - r_time[recording, number, None]
    # Repolarisation remembers: T follows the record's usual RR more than the last one.
    usual = 60.0 / hearts.heart_rate_bpm[rows][recording]
    pace = 0.7 * usual + 0.3 * rr[recording, number]
    conducted, early = ~ectopic[recording, number], ectopic[recording, number]
    beat = seconds.new_zeros(len(seconds), 3, length)
    waves = (hearts.amplitude, hearts.centre_s, hearts.width_s, hearts.exponent)
    sinus = _beats(*waves, rows, recording[conducted], pace[conducted], seconds[conducted])
    beat = beat.index_add(0, conducted.nonzero()[:, 0], sinus)
    if bool(early.any()):
        waves = (hearts.ectopic_amplitude, hearts.ectopic_centre_s, hearts.ectopic_width_s, hearts.ectopic_exponent)
        ventricular = _beats(*waves, rows, recording[early], pace[early], seconds[early])
        beat = beat.index_add(0, early.nonzero()[:, 0], ventricular)
    beat = beat * (1.0 + BREATHING * beats.respiration[rows][recording, number])[:, None, None]
    # A spare window on either side takes what reaches over the edges of the recording.
    padded = beat.new_zeros(batch, 3, samples + 2 * length)
    place = (first[:, None] + offset + length)[:, None].expand(-1, 3, -1)
    row = recording[:, None, None].expand_as(place)
    axis = torch.arange(3)[None, :, None].expand_as(place)
    return padded.index_put((row, axis, place), beat, accumulate=True)[..., length : length + samples]


def _beats(
    amplitude: Tensor,
    centre_s: Tensor,
    width_s: Tensor,
    exponent: Tensor,
    rows: slice,
    recording: Tensor,
    pace: Tensor,
    seconds: Tensor,
) -> Tensor:
    """Evaluate beats: (beats, 3, length) mV at `seconds` (beats, length) after their R peaks."""
    scale = pace[:, None] ** exponent[rows][recording]
    centre, width = centre_s[rows][recording] * scale, width_s[rows][recording] * scale
    distance = (seconds[:, None] - centre[..., None]) / width[..., None]
    # Far from a wave its value would be a denormal number, which processors handle a hundred times slower.
    return amplitude[rows][recording].mT @ torch.exp((distance * distance * -0.5).clamp_min(-30.0))
