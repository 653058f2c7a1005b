"""The rhythm of recordings: beat kinds and atrial activity, found from R peaks and waveform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d

from models.ecg.delineation import delineate
from models.ecg.median_beats import GRID_HZ, median_beats
from models.leads import INDEPENDENT_LEADS
from models.rhythm.beat_kinds import atrial_premature_beats, undisturbed, ventricular_beats
from models.rhythm.rhythm import (
    ATRIAL_PREMATURE,
    ESCAPE,
    FIBRILLATION,
    FLUTTER,
    NO_ATRIAL,
    NO_BEAT,
    P_WAVES,
    PACED,
    SINUS,
    VENTRICULAR_PREMATURE,
    Rhythm,
)

CHUNK: Final = 256
IRREGULAR: Final = 0.05
"""Median change from one RR interval to the next over the median RR, from which a rhythm without P waves is
fibrillation."""
FLUTTER_HZ, FLUTTER_SHARE, FLUTTER_MV = (3.9, 5.7), 0.6, 0.05
"""Peak of the atrial spectrum of lead II that is flutter: where, its share of the power, and its amplitude."""
PEAK_HZ: Final = 0.3
ATRIAL_HZ, ALL_HZ = (3.7, 9.0), (2.5, 15.0)
QRS_S: Final = (0.07, 0.09)
"""Stretch before and after an R peak that is bridged before the atrial spectrum is taken."""
PAUSE: Final = 1.5
"""RR over the median one after which a beat is an escape beat, unless a premature beat came before it."""
ESCAPE_BPM: Final = 50.0
"""Heart rate below which a regular rhythm without P waves is an escape rhythm."""
WIDE_QRS_S: Final = 0.12
"""QRS duration from which the usual beats of somebody with a pacemaker are paced."""
SPECTRUM_S: Final = 20.0


def rhythm_of_recordings(
    signal: np.ndarray,
    r_peaks: Sequence[np.ndarray],
    rate_hz: float,
    pacemaker: np.ndarray | None = None,
    flutter: np.ndarray | None = None,
) -> Rhythm:
    """Find the rhythm of recordings.

    Beats just outside of a recording are not seen; where the nearest beat is less than a usual interval from the edge,
    one is put a usual interval beyond it, so that its waves can be drawn.

    Args:
        signal: (B, 8, samples) mV, leads in the order of `models.leads.INDEPENDENT_LEADS`.
        r_peaks: positions in samples per recording, from `models.ecg.r_peaks.locate_r_peaks`.
        rate_hz: sampling rate.
        pacemaker: (B,) bool, who has a pacemaker by the recording's statements; nobody where not given. Too few pacing
            spikes survive 100 Hz for pacing to be told from the waveform.
        flutter: (B,) bool, who has atrial flutter by the recording's statements. Others have it only if the waveform
            leaves little doubt: P and T waves of a regular rhythm look like it.

    Returns:
        The rhythms, on the CPU.
    """
    nobody = np.zeros(len(signal), dtype=bool)
    pacemaker, flutter = (nobody if one is None else np.asarray(one, dtype=bool) for one in (pacemaker, flutter))
    rows = []
    for at in range(0, len(signal), CHUNK):
        clean = np.nan_to_num(np.asarray(signal[at : at + CHUNK], dtype=np.float32), posinf=0.0, neginf=0.0)
        peaks = [np.asarray(one) for one in r_peaks[at : at + CHUNK]]
        wide = [ventricular_beats(ecg, one / rate_hz, rate_hz) for ecg, one in zip(clean, peaks, strict=True)]
        # Ventricular beats have no P wave, and would blur that of the others.
        others = [one[~which] if (~which).sum() > 1 else one for one, which in zip(peaks, wide, strict=True)]
        with_p, qrs_s = _usual_beats(clean, others, rate_hz)
        for place, (ecg, ventricular) in enumerate(zip(clean, wide, strict=True)):
            times_s = peaks[place] / rate_hz
            irregular = _irregular(times_s, ventricular)
            peak = _atrial_peak(ecg, times_s, rate_hz)
            atrial = _atrial_activity(bool(with_p[place]), irregular, bool(flutter[at + place]), peak)
            if pacemaker[at + place]:
                kinds = _paced(ventricular, qrs_s[place])
            else:
                kinds = _kinds(times_s, ventricular, atrial, irregular)
            hz = peak[0] if atrial in (FIBRILLATION, FLUTTER) else 0.0
            rows.append((*_with_beats_outside(times_s, kinds, ecg.shape[1] / rate_hz), atrial, hz))
    columns = max([2, *(len(times_s) for times_s, *_ in rows)])
    times = torch.full((len(rows), columns), torch.nan)
    kinds_of_all = torch.full((len(rows), columns), NO_BEAT, dtype=torch.int8)
    for row, (times_s, kinds, _, _) in enumerate(rows):
        times[row, : len(times_s)] = torch.from_numpy(times_s.astype(np.float32))
        kinds_of_all[row, : len(kinds)] = torch.from_numpy(kinds)
    atria = torch.tensor([atrial for *_, atrial, _ in rows], dtype=torch.int8)
    return Rhythm(times, kinds_of_all, atria, torch.tensor([hz for *_, hz in rows], dtype=torch.float32))


def _usual_beats(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Whether the median beat has a P wave, (B,) bool, and its QRS duration in seconds, 0 where there is none."""
    with_p, qrs_s = np.zeros(len(signal), dtype=bool), np.zeros(len(signal))
    beats = median_beats(signal, r_peaks, rate_hz)
    if len(beats.rows):
        found = delineate(beats)
        with_p[beats.rows] = np.isfinite(found.p_onset)
        qrs_s[beats.rows] = np.nan_to_num(found.qrs_offset - found.qrs_onset) / GRID_HZ
    return with_p, qrs_s


def _irregular(times_s: np.ndarray, ventricular: np.ndarray) -> bool:
    """Whether RR intervals between beats that are not ventricular change from one to the next."""
    rr = np.diff(times_s)
    if len(rr) < 3:
        return False
    calm = rr[undisturbed(rr, ventricular)]
    return float(np.median(np.abs(np.diff(calm)))) > IRREGULAR * float(np.median(rr))


def _atrial_activity(with_p: bool, irregular: bool, flutter: bool, peak: tuple[float, float, float]) -> int:
    """Index into `ATRIAL_ACTIVITIES`."""
    hz, share, amplitude_mv = peak
    if flutter or (FLUTTER_HZ[0] < hz < FLUTTER_HZ[1] and share > FLUTTER_SHARE and amplitude_mv > FLUTTER_MV):
        return FLUTTER
    if with_p:
        return P_WAVES
    return FIBRILLATION if irregular else NO_ATRIAL


def _paced(ventricular: np.ndarray, qrs_s: float) -> np.ndarray:
    """Kinds with a pacemaker: the usual beats are paced, unless they are narrow and there are wide ones, on demand."""
    if qrs_s >= WIDE_QRS_S or not ventricular.any():
        return np.where(ventricular, VENTRICULAR_PREMATURE, PACED).astype(np.int8)
    return np.where(ventricular, PACED, SINUS).astype(np.int8)


def _kinds(times_s: np.ndarray, ventricular: np.ndarray, atrial: int, irregular: bool) -> np.ndarray:
    """Kinds without a pacemaker, (beats,) int8."""
    kinds = np.where(ventricular, VENTRICULAR_PREMATURE, SINUS).astype(np.int8)
    rr = np.diff(times_s)
    if len(rr) < 2 or atrial in (FIBRILLATION, FLUTTER):
        return kinds
    kinds[atrial_premature_beats(times_s, ventricular)] = ATRIAL_PREMATURE
    usual = float(np.median(rr))
    if atrial == NO_ATRIAL and not irregular and 60.0 / usual < ESCAPE_BPM:
        kinds[kinds == SINUS] = ESCAPE
    elif atrial == P_WAVES:
        late = np.concatenate([[False], (rr > PAUSE * usual) & (kinds[:-1] == SINUS)])
        kinds[late & (kinds == SINUS)] = ESCAPE
    return kinds


def _with_beats_outside(times_s: np.ndarray, kinds: np.ndarray, duration_s: float) -> tuple[np.ndarray, np.ndarray]:
    """A beat of the most frequent kind a usual interval before the first and after the last, if outside."""
    if len(times_s) < 2:
        return times_s, kinds
    usual = float(np.median(np.diff(times_s)))
    kind = np.bincount(kinds).argmax().astype(np.int8)
    before, after = times_s[0] - usual, times_s[-1] + usual
    first, last = ([before] if before < 0 else []), ([after] if after >= duration_s else [])
    return (
        np.concatenate([first, times_s, last]),
        np.concatenate([[kind] * len(first), kinds, [kind] * len(last)]).astype(np.int8),
    )


def _atrial_peak(signal: np.ndarray, times_s: np.ndarray, rate_hz: float) -> tuple[float, float, float]:
    """Rate in Hz, share of the power and amplitude in mV of the largest peak of the atrial spectrum of lead II.

    QRS complexes are bridged by straight lines: what is left of ventricles has its power at the heart rate, below.
    """
    samples = signal.shape[1]
    lead = signal[INDEPENDENT_LEADS.index("II")].astype(np.float64)
    lead = lead - uniform_filter1d(lead, max(3, round(rate_hz)), mode="nearest")
    seconds = np.arange(samples) / rate_hz
    after = np.searchsorted(times_s, seconds)
    ends = np.concatenate([[-np.inf], times_s, [np.inf]])
    quiet = (seconds - ends[after] > QRS_S[1]) & (ends[after + 1] - seconds > QRS_S[0])
    if quiet.mean() < 0.2:
        return 0.0, 0.0, 0.0
    lead = np.interp(seconds, seconds[quiet], lead[quiet])
    length = max(samples, round(SPECTRUM_S * rate_hz))
    frequency = np.fft.rfftfreq(length, 1 / rate_hz)
    power = np.abs(np.fft.rfft(lead * np.hanning(samples), length)) ** 2
    atrial = (frequency > ATRIAL_HZ[0]) & (frequency < ATRIAL_HZ[1])
    peak = frequency[np.where(atrial, power, 0.0).argmax()]
    whole = power[(frequency > ALL_HZ[0]) & (frequency < ALL_HZ[1])].sum()
    near = power[np.abs(frequency - peak) < PEAK_HZ].sum()
    # The sum of a windowed sine's peak is that of its squared window, by Parseval.
    amplitude = np.sqrt(4.0 * near / (length * (np.hanning(samples) ** 2).sum()))
    return float(peak), float(near / max(whole, 1e-12)), float(amplitude)
