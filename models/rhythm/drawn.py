"""Rhythms of ECGs that are to be generated: a whole batch at once, on the device, from the rows' seeds.

Intervals between undisturbed beats follow the rhythm. Sinus rhythm varies in the two bands of ECGSYN's RR spectrum
(McSharry et al., IEEE TBME 50:289–294, 2003), atrial fibrillation from beat to beat, flutter by whole flutter cycles.
Premature beats then come early by their coupling interval and a pause follows them. Rates, variability, coupling and
pauses are drawn from quantiles of training recordings (`models.rhythm.statistics`), never beyond their 5 and 95 %.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from models.counter_random import normal, uniform
from models.rhythm.rhythm import (
    ATRIAL_PREMATURE,
    ESCAPE,
    FIBRILLATION,
    FLUTTER,
    NO_ATRIAL,
    P_WAVES,
    PACED,
    SINUS,
    VENTRICULAR_PREMATURE,
    Rhythm,
    padded,
)
from models.rhythm.statistics import (
    ATRIAL_BEATS,
    BIGEMINY,
    ECTOPIES,
    ESCAPE_RHYTHM,
    FIBRILLATION_RHYTHM,
    FLUTTER_RHYTHM,
    NO_ECTOPY,
    PACED_RHYTHM,
    RHYTHMS,
    SHARES,
    TRIGEMINY,
    VENTRICULAR_BEATS,
    SeriesStatistics,
)

SLOWEST_BPM, FASTEST_BPM = 20.0, 250.0
"""Heart rates that can be asked for."""
BEFORE_S, AFTER_S = 0.8, 0.45
"""How far T waves of beats before the window, and P waves of those after it, reach into it."""
LONGEST: Final = 1.4
"""Beats drawn over beats expected: premature beats shorten the mean RR interval until time is stretched."""
SHORTEST_RR_S: Final = 0.24
VARIABILITY_RANGE: Final = (0.002, 0.4)

BANDS_HZ, BAND_SPREAD_HZ, BAND_POWER = (0.1, 0.25), 0.01, (0.5, 1.0)
"""Centres of the Mayer and respiratory bands of the RR spectrum, their spread and their power."""
TONES: Final = 3
"""Random tones per band."""
F_WAVE_HZ: Final = (4.5, 8.0)
FLUTTER_HZ: Final = 4.8
"""Rate of flutter waves that the conduction ratio is chosen to be nearest to."""
COUPLING_SPREAD: Final = 0.02
"""Spread of coupling intervals within a recording: they are nearly fixed."""

CORRECTIONS: Final = 20
"""Every second one moves a row whose beats keep hopping over the edges a quarter beat later."""
LEAD_IN: Final = 4.0
"""Beats drawn before the window, at least, for it to move by."""
PACE_TOLERANCE: Final = 1e-4
"""Relative error of the mean RR interval that needs no correction."""


def draw_rhythms(
    rhythm: Tensor,
    ectopy: Tensor,
    heart_rate_bpm: Tensor,
    statistics: SeriesStatistics,
    duration_s: float,
    seeds: Tensor,
) -> Rhythm:
    """Draw a rhythm for each row.

    Args:
        rhythm: (B,) int64, index into `RHYTHMS`.
        ectopy: (B,) int64, index into `ECTOPIES`.
        heart_rate_bpm: (B,) the rate asked for, NaN to draw one of the rhythm's.
        statistics: what to draw from.
        duration_s: length of the recordings.
        seeds: (B,) int64; every number comes from them. All tensors are on one device, which the result is on.

    Returns:
        The rhythms; their mean RR interval inside the recording is 60 / heart rate, and with premature beats asked
        for at least one is inside. A row does not depend on others.

    Raises:
        ValueError: a heart rate is not between 20 and 250 bpm.
    """
    refuse_rates(heart_rate_bpm)
    columns = math.ceil(LONGEST * (duration_s + 2 * BEFORE_S) * FASTEST_BPM / 60.0) + 8
    share = uniform(seeds, "rhythm", (12,))
    tables = _Tables(statistics, rhythm.device)
    drawn_rate = _quantile(tables.heart_rate_bpm[rhythm], share[:, 0])
    mean_rr = 60.0 / torch.where(heart_rate_bpm.isnan(), drawn_rate, heart_rate_bpm.float())
    variability = _quantile(tables.rr_variability[rhythm], share[:, 1]).clamp(*VARIABILITY_RANGE)
    start = -(LEAD_IN + share[:, 2]) * mean_rr - BEFORE_S

    def is_rhythm(name: str) -> Tensor:
        return rhythm == RHYTHMS.index(name)

    flutter = is_rhythm(FLUTTER_RHYTHM)
    cycles = _conduction_ratio(mean_rr)
    factor = _sinus_factor(start, mean_rr, variability, columns, seeds)
    irregular = torch.exp(variability[:, None] * normal(seeds, "fibrillation intervals", (columns,)))
    factor = torch.where(is_rhythm(FIBRILLATION_RHYTHM)[:, None], irregular, factor)
    factor = torch.where(flutter[:, None], _flutter_factor(mean_rr, cycles, variability, columns, seeds), factor)

    drawn = uniform(seeds, "premature beats", (columns,))
    into, after = (_quantile(table[ectopy], share[:, 3 + n]) for n, table in enumerate((tables.coupling, tables.pause)))
    often = _quantile(tables.share[ectopy], share[:, 5])
    time_s = start[:, None] + (mean_rr[:, None] * factor).cumsum(dim=1)
    shown_s = duration_s * (0.2 + 0.6 * share[:, 6])
    premature = _premature(ectopy, drawn, often, share[:, 7], time_s, shown_s, duration_s)
    early = into[:, None] * (1.0 + COUPLING_SPREAD * normal(seeds, "coupling", (columns,)))
    pause = torch.cat([torch.zeros_like(premature[:, :1]), premature[:, :-1]], dim=1)
    factor = factor * torch.where(premature, early, 1.0) * torch.where(pause, after[:, None], 1.0)
    rr_s = (mean_rr[:, None] * factor).clamp_min(SHORTEST_RR_S)
    times, stretched = _at_pace(start[:, None] + rr_s.cumsum(dim=1), mean_rr, duration_s)

    usual = torch.where(is_rhythm(PACED_RHYTHM), PACED, torch.where(is_rhythm(ESCAPE_RHYTHM), ESCAPE, SINUS))
    early_kind = torch.where(ectopy == ECTOPIES.index(ATRIAL_BEATS), ATRIAL_PREMATURE, VENTRICULAR_PREMATURE)
    kinds = torch.where(premature, early_kind[:, None], usual[:, None])
    fibrillation = is_rhythm(FIBRILLATION_RHYTHM)
    with_p = share[:, 8] < tables.p_wave_share[rhythm]
    atrial = torch.where(with_p, P_WAVES, NO_ATRIAL)
    atrial = torch.where(fibrillation, FIBRILLATION, torch.where(flutter, FLUTTER, atrial)).to(torch.int8)
    f_wave_hz = F_WAVE_HZ[0] + (F_WAVE_HZ[1] - F_WAVE_HZ[0]) * share[:, 9]
    atrial_hz = torch.where(fibrillation, f_wave_hz, torch.where(flutter, cycles / (mean_rr * stretched), 0.0))
    kept = (times > -BEFORE_S) & (times < duration_s + AFTER_S)
    return Rhythm(*padded(times, kinds, kept, columns), atrial, atrial_hz)


def refuse_rates(heart_rate_bpm: Tensor) -> None:
    """Raise ValueError if a heart rate is none that can be drawn; NaN is none at all."""
    if bool(((heart_rate_bpm < SLOWEST_BPM) | (heart_rate_bpm > FASTEST_BPM)).any()):
        raise ValueError(f"heart rates must be between {SLOWEST_BPM:g} and {FASTEST_BPM:g} bpm")


class _Tables:
    """Statistics as tensors: rows in the order of `RHYTHMS` and `ECTOPIES`, columns of `SHARES`."""

    def __init__(self, statistics: SeriesStatistics, device: torch.device) -> None:
        rhythms = [statistics.rhythms[name] for name in RHYTHMS]
        ventricular = statistics.ectopy[VENTRICULAR_BEATS]
        premature = [statistics.ectopy.get(name, ventricular) for name in ECTOPIES]
        self.heart_rate_bpm = torch.tensor([one.heart_rate_bpm for one in rhythms], device=device)
        self.rr_variability = torch.tensor([one.rr_variability for one in rhythms], device=device)
        self.p_wave_share = torch.tensor([one.p_wave_share for one in rhythms], device=device)
        self.share = torch.tensor([one.share for one in premature], device=device)
        self.coupling = torch.tensor([one.coupling for one in premature], device=device)
        self.pause = torch.tensor([one.pause for one in premature], device=device)


def _quantile(quantiles: Tensor, share: Tensor) -> Tensor:
    """The value below which a share of a distribution lies, straight between its quantiles: (B, 5) and (B,) to (B,).

    Only what lies between the outer quantiles is drawn from.
    """
    known = torch.tensor(SHARES, device=share.device)
    share = known[0] + (known[-1] - known[0]) * share
    place = torch.searchsorted(known, share).clamp(1, len(SHARES) - 1)[:, None]
    low, high = (quantiles.gather(1, end)[:, 0] for end in (place - 1, place))
    begin, end = known[place[:, 0] - 1], known[place[:, 0]]
    return low + (high - low) * (share - begin) / (end - begin)


def _sinus_factor(start: Tensor, mean_rr: Tensor, variability: Tensor, columns: int, seeds: Tensor) -> Tensor:
    """RR intervals over their mean, (B, columns), of respiratory and Mayer waves."""
    # The spectrum of a tachogram is that of RR over beats a mean RR apart, as ECGSYN draws it.
    nominal = start[:, None] + mean_rr[:, None] * torch.arange(columns, device=seeds.device)
    turn = uniform(seeds, "rhythm tones", (len(BANDS_HZ) * TONES,))
    shift = BAND_SPREAD_HZ * normal(seeds, "rhythm frequencies", (len(BANDS_HZ) * TONES,))
    wave = torch.zeros_like(nominal)
    for band, (centre, power) in enumerate(zip(BANDS_HZ, BAND_POWER, strict=True)):
        weight = math.sqrt(2.0 * power / (TONES * sum(BAND_POWER)))
        for tone in range(band * TONES, (band + 1) * TONES):
            angle = 2 * math.pi * ((centre + shift[:, tone, None]) * nominal + turn[:, tone, None])
            wave = wave + weight * torch.cos(angle)
    return 1.0 + variability[:, None] * wave


def _conduction_ratio(mean_rr: Tensor) -> Tensor:
    """Flutter cycles per beat, (B,): the whole number with which flutter waves come nearest to their usual rate."""
    ratios = torch.arange(1, math.ceil(60.0 / SLOWEST_BPM * FLUTTER_HZ) + 1, device=mean_rr.device)
    distance = ((ratios / mean_rr[:, None]) / FLUTTER_HZ).log().abs()
    return ratios[distance.argmin(dim=1)].float()


def _flutter_factor(mean_rr: Tensor, cycles: Tensor, variability: Tensor, columns: int, seeds: Tensor) -> Tensor:
    """RR intervals over their mean, (B, columns): a fixed ratio, now and then a cycle less, if it can be, or more."""
    drawn = uniform(seeds, "flutter intervals", (columns,))
    often = (variability * cycles).square().clamp_max(0.5)[:, None]
    less = (drawn < 0.5 * often) & (mean_rr * (1.0 - 1.0 / cycles) > SHORTEST_RR_S)[:, None]
    return 1.0 + (torch.where(drawn > 1.0 - 0.5 * often, 1.0, 0.0) - torch.where(less, 1.0, 0.0)) / cycles[:, None]


def _premature(
    ectopy: Tensor,
    drawn: Tensor,
    often: Tensor,
    parity: Tensor,
    time_s: Tensor,
    shown_s: Tensor,
    duration_s: float,
) -> Tensor:
    """Which beats are premature, (B, columns) bool; never two in a row, and at least one inside the recording."""
    number = torch.arange(drawn.shape[1], device=drawn.device)
    single = drawn < often[:, None]
    # Of a run of them, the first, third, fifth … stay.
    last_usual = torch.where(single, -1, number).cummax(dim=1).values
    single = single & ((number - last_usual) % 2 == 1)
    shown = (single & (time_s > 0.1 * duration_s) & (time_s < 0.9 * duration_s)).any(dim=1, keepdim=True)
    nearest = (time_s - shown_s[:, None]).abs().argmin(dim=1, keepdim=True)
    premature = torch.where(shown, single, number == nearest)
    for name, period in ((BIGEMINY, 2), (TRIGEMINY, 3)):
        every = (number + (parity * period).long()[:, None]) % period == 0
        premature = torch.where((ectopy == ECTOPIES.index(name))[:, None], every, premature)
    return premature & (ectopy != ECTOPIES.index(NO_ECTOPY))[:, None]


def _at_pace(times: Tensor, rr_s: Tensor, duration_s: float) -> tuple[Tensor, Tensor]:
    """Stretch time about the middle of the recording until the mean RR inside it is the one asked for.

    Stretching moves beats over the edges, which can change the mean again; the best of several tries is kept.

    Args:
        times: (B, P) ascending seconds.
        rr_s: (B,) the mean wanted.
        duration_s: length of the recording.

    Returns:
        The times and the factor by which time was stretched, (B,).
    """
    middle = 0.5 * duration_s
    best, best_stretch, smallest = times, torch.ones_like(rr_s), torch.full_like(rr_s, torch.inf)
    stretch = torch.ones_like(rr_s)
    for correction in range(CORRECTIONS):
        intervals = times.diff(dim=1)
        inside = (times[:, :-1] >= 0) & (times[:, 1:] < duration_s)
        count = inside.sum(dim=1)
        spanned_s = torch.where(inside, intervals, 0.0).sum(dim=1)
        factor = torch.where(count > 0, rr_s * count / spanned_s, 1.0)
        error = (factor - 1.0).abs()
        better = (error < smallest) & (count > 0)
        best = torch.where(better[:, None], times, best)
        best_stretch, smallest = torch.where(better, stretch, best_stretch), torch.where(better, error, smallest)
        times, stretch = middle + (times - middle) * factor[:, None], stretch * factor
        if correction % 2:
            times = times + torch.where(smallest > PACE_TOLERANCE, 0.25 * rr_s, 0.0)[:, None]
    return best, best_stretch
