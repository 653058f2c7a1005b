"""Rows of the `evaluations` table about discriminators: how well classifiers tell synthetic from held-out ECGs.

Beside each stands the same discriminator on real training recordings against held-out ones, which is the value that
synthetic ECGs could reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from models.ecg.r_peaks import in_samples
from models.evaluation import discriminators, metrics
from models.evaluation.metrics import Estimate
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import REAL, Compared
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row
from tasks.settings import EvaluationSettings

LINEAR, CONVOLUTIONAL, BEATS = (
    "discriminator AUC",
    "convolutional discriminator AUC",
    "median-beat discriminator AUC",
)
LARGEST_SET = 2000
"""ECGs of either set that discriminators are fitted to and tested on."""


def discriminator_rows(compared: Compared) -> Iterator[EvaluationRow]:
    """Every discriminator on the cohort, on reconstructions and on real training recordings."""
    for metric, judge in DISCRIMINATORS.items():
        found = {
            subject: told_apart(compared.held_out, ecgs, judge, compared.rate_hz, compared.settings)
            for subject, ecgs in compared.subjects.items()
        }
        for subject, (estimate, n) in found.items():
            reference = None if subject == REAL else found[REAL][0].value
            yield evaluation_row("fidelity", metric, subject, estimate, n, compared.seed, reference=reference)


Judge = Callable[[EcgSet, EcgSet, int, EvaluationSettings], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Two sets, rate and settings to scores, whether each is of the second set, and patients; rows may be left out."""


def told_apart(
    real: EcgSet, other: EcgSet, judge: Judge, rate_hz: int, settings: EvaluationSettings
) -> tuple[Estimate, int]:
    """Area under the ROC curve of a discriminator on equally many of each set, and the number of ECGs of both."""
    rng, n = np.random.default_rng(settings.seed), min(len(real), len(other), LARGEST_SET)
    first, second = (each.take(rng.choice(len(each), n, replace=False)) for each in (real, other))
    scores, of_second, patients = judge(first, second, rate_hz, settings)
    if not len(scores) or not np.isfinite(scores).all():
        return metrics.UNKNOWN, len(scores)
    return metrics.auc(of_second, scores, patients, settings.bootstrap_samples, settings.seed), len(scores)


def _by_spectra(
    first: EcgSet, second: EcgSet, rate_hz: int, settings: EvaluationSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    described = [
        np.concatenate([discriminators.spectral_descriptors(each.signal, rate_hz), each.measurements], axis=1)
        for each in (first, second)
    ]
    patients = metrics.patient_numbers(np.concatenate([first.patients, second.patients]))
    scores = discriminators.linear_scores(described[0], described[1], patients, settings.seed)
    return scores, np.repeat([False, True], [len(first), len(second)]), patients


def _by_crops(
    first: EcgSet, second: EcgSet, rate_hz: int, settings: EvaluationSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    patients = metrics.patient_numbers(np.concatenate([first.patients, second.patients]))
    scores = discriminators.convolutional_scores(first.signal, second.signal, patients, rate_hz, _training(settings))
    return scores, np.repeat([False, True], [len(first), len(second)]), patients


def _by_beats(
    first: EcgSet, second: EcgSet, rate_hz: int, settings: EvaluationSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    beats, kept = [], []
    for each in (first, second):
        rows, found = discriminators.beats_to_tell(each.signal, in_samples(each.r_peaks_s, rate_hz), rate_hz)
        beats.append(found)
        kept.append(each.patients[rows])
    patients = metrics.patient_numbers(np.concatenate(kept))
    scores = discriminators.convolutional_scores(
        beats[0], beats[1], patients, discriminators.BEAT_RATE_HZ, _training(settings)
    )
    return scores, np.repeat([False, True], [len(each) for each in kept]), patients


def _training(settings: EvaluationSettings) -> discriminators.DiscriminatorTraining:
    return discriminators.DiscriminatorTraining(settings.discriminator_steps, settings.batch_size, settings.seed)


DISCRIMINATORS: dict[str, Judge] = {LINEAR: _by_spectra, CONVOLUTIONAL: _by_crops, BEATS: _by_beats}
