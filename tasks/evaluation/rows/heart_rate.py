"""Rows of the `evaluations` table about beats: the rate that was asked for, by two detectors, and where R peaks are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.evaluation import metrics
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.condition import fibrillation
from tasks.evaluation.rows.independent_r_peaks import compare_r_peaks, heart_rates, independent_r_peaks
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row


def heart_rate_rows(compared: Compared) -> Iterator[EvaluationRow]:
    """Errors of the heart rate by our detector and by an independent one, and how far the two agree on R peaks.

    The reference of the independent detector is its distance from the rate that ours finds on held-out recordings.
    """
    synthetic, real, seed, samples = compared.synthetic, compared.held_out, compared.seed, compared.samples
    asked = synthetic.number("target_heart_rate_bpm")
    theirs, real_theirs = (independent_r_peaks(each.signal, compared.rate_hz) for each in (synthetic, real))
    error = np.abs(synthetic.number("heart_rate_bpm") - asked)
    independent = np.abs(heart_rates(theirs) - asked)
    real_error = np.abs(heart_rates(real_theirs) - real.number("heart_rate_bpm"))
    fibrillating, real_fibrillating = (fibrillation(each) for each in (synthetic, real))
    for subject, mask, real_mask in (
        ("synthetic", np.ones_like(fibrillating), np.ones_like(real_fibrillating)),
        ("synthetic, regular rhythms", ~fibrillating, ~real_fibrillating),
        ("synthetic, atrial fibrillation", fibrillating, real_fibrillating),
    ):
        known = mask & np.isfinite(error)
        found = metrics.mean_estimate(error[known], np.arange(known.sum()), samples, seed)
        yield evaluation_row("condition", "heart-rate MAE", subject, found, int(known.sum()), seed, "bpm")
        known = mask & np.isfinite(independent)
        found = metrics.mean_estimate(independent[known], np.arange(known.sum()), samples, seed)
        reference = metrics.mean_estimate(real_error[real_mask], real.patients[real_mask], samples, seed).value
        name = "heart-rate MAE, independent detector"
        yield evaluation_row("condition", name, subject, found, int(known.sum()), seed, "bpm", reference)

    agreement, real_agreement = (
        compare_r_peaks(each.r_peaks_s, found, each.signal.shape[2] / compared.rate_hz)
        for each, found in ((synthetic, theirs), (real, real_theirs))
    )
    for column, (name, unit) in enumerate((("R peaks found by both detectors (F1)", ""), ("R-peak distance", "ms"))):
        values, real_values = agreement[:, column], real_agreement[:, column]
        found = metrics.mean_estimate(values, synthetic.patients, samples, seed)
        reference = metrics.mean_estimate(real_values, real.patients, samples, seed).value
        yield evaluation_row(
            "condition", name, "synthetic", found, int(np.isfinite(values).sum()), seed, unit, reference
        )
