"""The differentiable 12-lead simulator: from one heart per recording to eight leads in mV.

A beat is a sum of Gaussian waves of the cardiac dipole in the phase of `models.simulator.ecgsyn`, θ = ω (t − R) with ω
= 2π / RR. Centres and widths are kept in seconds and become phases by ω; they follow RR by each wave's own power
(`models.simulator.hearts`). Beats are evaluated in closed form and added up, each with its own RR interval and waves,
so ectopic beats fit in and no solver is needed. Gradients reach every parameter of a heart.

The output is not a recording of anyone; it is labelled as simulated wherever it is stored.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.leads import INDEPENDENT_LEADS
from models.simulator.artefacts import baseline_wander, muscle_noise
from models.simulator.beat_sum import BeatWaves, sum_of_beats
from models.simulator.dipole import to_leads
from models.simulator.ecgsyn import f_z, gaussian_waves, integrate_ode, wave_slope, wrap
from models.simulator.hearts import Hearts
from models.simulator.rhythms import Beats, draw_beats, fibrillation_waves
from models.simulator.wave_fitting import fit_waves

__all__ = ["dipole_signal", "f_z", "fit_waves", "gaussian_waves", "integrate_ode", "simulate", "wave_slope", "wrap"]

CHUNK = 64
"""Recordings simulated at once: bounds memory and stays in cache."""
BREATHING = 0.04
"""Share by which breathing changes the size of a beat."""


def simulate(hearts: Hearts, generator: torch.Generator, rate_hz: float = 100.0, duration_s: float = 10.0) -> Tensor:
    """Simulate one recording per heart.

    Args:
        hearts: from `models.simulator.hearts.draw_hearts`; its tensors may require gradients.
        generator: every draw (RR series, f-waves, artefacts) comes from it.
        rate_hz: sampling rate.
        duration_s: length of the recordings.

    Returns:
        (batch, 8, samples) mV, leads in the order of `models.leads.INDEPENDENT_LEADS`.
    """
    samples = round(duration_s * rate_hz)
    beats = draw_beats(
        hearts.heart_rate_bpm, hearts.rr_variability, duration_s, generator, hearts.fibrillation, hearts.ectopic_share
    )
    chunks = [slice(at, at + CHUNK) for at in range(0, len(beats.rr_s), CHUNK)]
    return torch.cat([_record(hearts[rows], beats[rows], rate_hz, samples, generator) for rows in chunks])


def _record(hearts: Hearts, beats: Beats, rate_hz: float, samples: int, generator: torch.Generator) -> Tensor:
    """The leads of hearts that beat, with everything else that a recording holds: (batch, 8, samples) mV."""
    dipole, leads = dipole_signal(hearts, beats, rate_hz, samples), len(INDEPENDENT_LEADS)
    atria = hearts.fibrillation.nonzero()[:, 0]
    if len(atria):
        waves = fibrillation_waves(hearts.fibrillation_mv[atria], rate_hz, samples, generator)
        dipole = dipole.index_add(0, atria, waves)
    signal = to_leads(dipole) * hearts.lead_gain[..., None]
    signal = signal + baseline_wander(hearts.wander_mv, leads, samples, rate_hz, generator)
    return signal + muscle_noise(hearts.noise_mv, leads, samples, rate_hz, generator)


def dipole_signal(hearts: Hearts, beats: Beats, rate_hz: float, samples: int) -> Tensor:
    """The dipole of given beats, (batch, 3, samples) mV, in closed form."""
    sinus = BeatWaves(hearts.amplitude, hearts.centre_s, hearts.width_s, hearts.exponent)
    ventricular = BeatWaves(
        hearts.ectopic_amplitude, hearts.ectopic_centre_s, hearts.ectopic_width_s, hearts.ectopic_exponent
    )
    # Repolarisation remembers: T follows the record's usual RR more than the last one.
    pace_s = 0.7 * (60.0 / hearts.heart_rate_bpm)[:, None] + 0.3 * beats.rr_s
    timing = (beats.r_time_s, pace_s, 1.0 + BREATHING * beats.respiration)
    signal = sum_of_beats(sinus, ~beats.ectopic, *timing, rate_hz, samples)
    if bool(beats.ectopic.any()):
        signal = signal + sum_of_beats(ventricular, beats.ectopic, *timing, rate_hz, samples)
    return signal
