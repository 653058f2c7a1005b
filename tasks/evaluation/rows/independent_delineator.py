"""P waves and PR intervals by a delineator that shares nothing with ours: NeuroKit2's `prominence`, on lead II.

Our delineator measures the recordings that the generator learns from and then what it generated: an error of its own
would go unseen. This one finds waves by the prominence of peaks in single beats (Emrich et al., "Physiology-informed
ECG delineation based on peak prominence", EUSIPCO 2024). It marks a P wave before nearly every beat, in atrial
fibrillation too, but there at changing places: a P wave counts as present where it keeps its distance to the R peak. It
measures the R wave and not the QRS complex (median 100 ms in left bundle branch block), so QRS durations are not taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy.signal import resample_poly

from models.ecg.r_peaks import mean_rr
from models.evaluation import metrics
from models.evaluation.delivery import LEAST_PATIENTS
from models.evaluation.textbook_rules import TEXTBOOK_RULES, TextbookRule
from models.leads import INDEPENDENT_LEADS
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row

RATE_HZ: Final = 500
ECGS: Final = 30
"""ECGs per statement and set that are measured: the delineator reads about ten a second."""
FEWEST_BEATS: Final = 4
STEADY_P_MS: Final = 40.0
"""Interquartile range of the P-R distances below which P waves belong to the beats. Of 25 training and validation
recordings of PTB-XL each, none in atrial fibrillation was below it and 24 in sinus rhythm were."""
MEASURES: Final = ("heart_rate_bpm", "p_present", "pr_ms")
STATEMENTS: Final = ("AFIB", "SR", "STACH", "SBRAD", "1AVB", "NORM")
RULES: Final = tuple(rule for rule in TEXTBOOK_RULES if rule.feature in MEASURES and rule.statement in STATEMENTS)
SUBJECT: Final = "by NeuroKit2"


def independent_measures(signal: np.ndarray, rate_hz: int) -> dict[str, np.ndarray]:
    """Heart rate, P waves and PR interval of each ECG.

    Args:
        signal: (n, 8, samples), mV, leads in the order of `models.leads.INDEPENDENT_LEADS`.

    Returns:
        (n,) each: `heart_rate_bpm`, `p_present` (1 or 0), `pr_ms` (median of the beats; NaN without steady P waves).
        NaN where fewer than `FEWEST_BEATS` were found.
    """
    lead = signal[:, INDEPENDENT_LEADS.index("II")].astype(np.float64)
    rows = np.array([_of_one(one, rate_hz) for one in lead], dtype=np.float64).reshape(-1, len(MEASURES))
    return dict(zip(MEASURES, rows.T, strict=True))


LONGEST_PR_MS: Final = 500.0
"""What is longer is from a P wave to the beat after a QRS complex that was not found."""


def _of_one(lead: np.ndarray, rate_hz: int) -> tuple[float, float, float]:
    import neurokit2

    nothing = (np.nan, np.nan, np.nan)
    if not np.isfinite(lead).all() or not np.ptp(lead):
        return nothing
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        clean = neurokit2.ecg_clean(resample_poly(lead, RATE_HZ, rate_hz), sampling_rate=RATE_HZ)
        r_peaks = np.asarray(neurokit2.ecg_peaks(clean, sampling_rate=RATE_HZ)[1]["ECG_R_Peaks"])
        if len(r_peaks) < FEWEST_BEATS:
            return nothing
        waves = neurokit2.ecg_delineate(clean, r_peaks, sampling_rate=RATE_HZ, method="prominence")[1]
    to_ms = 1000.0 / RATE_HZ
    heart_rate = 60_000.0 / (mean_rr(r_peaks) * to_ms)
    p_peaks, p_onsets, r_onsets = (
        np.asarray(waves[name], dtype=np.float64) for name in ("ECG_P_Peaks", "ECG_P_Onsets", "ECG_R_Onsets")
    )
    if 2 * np.isfinite(p_peaks).sum() <= len(r_peaks):
        return heart_rate, 0.0, np.nan
    before_r = until_next(p_peaks, r_peaks.astype(np.float64)) * to_ms
    if not len(before_r) or np.subtract(*np.percentile(before_r, [75, 25])) > STEADY_P_MS:
        return heart_rate, 0.0, np.nan
    pr = until_next(p_onsets, r_onsets) * to_ms
    pr = pr[pr < LONGEST_PR_MS]
    return heart_rate, 1.0, float(np.median(pr)) if len(pr) else np.nan


def until_next(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """From each start that is known to the first end after it; NeuroKit2's lists of waves may differ in length."""
    starts, ends = starts[np.isfinite(starts)], np.sort(ends[np.isfinite(ends)])
    place = np.searchsorted(ends, starts)
    return ends[place[place < len(ends)]] - starts[place < len(ends)]


def independent_delivery_rows(compared: Compared) -> Iterator[EvaluationRow]:
    """Shares of ECGs, real and synthetic, that satisfy the rules on rate, P waves and PR interval by this delineator.

    A difference between real and synthetic ECGs that only one of the two delineators sees is that delineator's fault.
    """
    seed = compared.seed
    chosen = {
        code: [_some(ecgs, code, seed) for ecgs in (compared.synthetic, compared.held_out)] for code in STATEMENTS
    }
    measured = {
        code: [independent_measures(ecgs.signal, compared.rate_hz) for ecgs in pair]
        for code, pair in chosen.items()
        if all(len(ecgs) >= LEAST_PATIENTS for ecgs in pair)
    }
    for rule in RULES:
        n = len(chosen[rule.statement][0])
        share, real = metrics.UNKNOWN, metrics.UNKNOWN
        if rule.statement in measured:
            share, real = (_share(rule, of) for of in measured[rule.statement])
        if n:
            subject = f"synthetic, textbook rules, {SUBJECT}"
            yield evaluation_row(
                *("delivery", rule.words, subject, share, n, seed, "share", real.value), condition=rule.statement
            )


def _some(ecgs: EcgSet, code: str, seed: int) -> EcgSet:
    """At most `ECGS` that hold a statement, of as many patients."""
    rows = np.flatnonzero([code in held for held in ecgs.statements])
    rows = np.random.default_rng(seed).permutation(rows)
    _, first = np.unique(ecgs.patients[rows].astype(str), return_index=True)
    return ecgs.take(rows[np.sort(first)][:ECGS])


def _share(rule: TextbookRule, measured: dict[str, np.ndarray]) -> metrics.Estimate:
    met = rule.satisfied(measured)
    return metrics.wilson(int(met.sum()), len(met))
