"""Rows of the `evaluations` table about the model behind a cohort: what its autoencoder loses, how its simulator fits.

Nothing that the denoiser generates can be better than what the autoencoder gives back of a real recording: its errors
are the floor under those of the cohort. FID and discriminator of reconstructions stand beside the cohort's own, in
`tasks.evaluation.rows.fidelity`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from models.ecg.measurements import measure
from models.ecg.r_peaks import locate_r_peaks
from models.evaluation import metrics
from models.evaluation.metrics import Estimate
from models.leads import INDEPENDENT_LEADS
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.intervals import INTERVALS
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row
from tasks.settings import EvaluationSettings
from warehouse.schema import R_PEAK_COLUMN
from warehouse.storage.waveforms import to_measured_columns, to_r_peak_column

AT_ONCE = 64
"""Recordings encoded at once: bounds memory."""
SUBJECT = "reconstruction"
MEASURED = {column: INTERVALS[column] for column in ("pr_ms", "qrs_ms", "qt_ms", "heart_rate_bpm")}
"""Measured feature to its name and unit."""


def has_autoencoder(folder: Path) -> bool:
    """Whether a model has an autoencoder, whose losses can be told."""
    from models.architecture import GeneratorConfig
    from tasks.training.model_folder import load_config

    return isinstance(load_config(folder).generator, GeneratorConfig)


def reconstructed(folder: Path, ecgs: EcgSet, use_gpu: bool = False) -> EcgSet:
    """Recordings encoded and decoded by a model, in whole microvolts as a cohort keeps them, and measured anew.

    Args:
        folder: of the model.
        ecgs: recordings at the model's sampling rate.

    Raises:
        ModelFolderError: the model cannot be read.
    """
    import torch

    from tasks.training.model_folder import load_latent_diffusion

    generator = load_latent_diffusion(folder)
    if use_gpu:
        generator = generator.to("cuda")
    parts = [
        generator.reconstruct(torch.from_numpy(np.ascontiguousarray(ecgs.signal[at : at + AT_ONCE]))).numpy()
        for at in range(0, len(ecgs), AT_ONCE)
    ]
    if not parts:
        return ecgs
    return remeasured(ecgs, np.concatenate(parts), generator.config.sampling_rate_hz)


def remeasured(ecgs: EcgSet, signal: np.ndarray, rate_hz: int) -> EcgSet:
    """The same rows with other waveforms, in whole microvolts as a cohort keeps them, and measured anew.

    Args:
        signal: (n, 8, samples), mV.
    """
    signal = (np.rint(signal * 1000) / 1000).astype(np.float32)
    r_peaks, table = locate_r_peaks(signal, rate_hz), ecgs.table
    measured = to_measured_columns(measure(signal, r_peaks, rate_hz))
    for name, values in {R_PEAK_COLUMN: to_r_peak_column(r_peaks, rate_hz), **measured}.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), values)
    return EcgSet(table, signal, ecgs.patients)


def reconstruction_rows(original: EcgSet, restored: EcgSet, settings: EvaluationSettings) -> Iterator[EvaluationRow]:
    """Errors of waveforms and of the intervals measured on them.

    Args:
        original: recordings of the test split.
        restored: the same recordings, reconstructed.
    """
    seed, samples, patients = settings.seed, settings.bootstrap_samples, original.patients
    error = np.abs(restored.signal - original.signal).mean(axis=2, dtype=np.float64)
    for subject, of_lead in (
        (SUBJECT, error.mean(axis=1)),
        *((f"{SUBJECT}, lead {lead}", error[:, place]) for place, lead in enumerate(INDEPENDENT_LEADS)),
    ):
        found = metrics.mean_estimate(of_lead, patients, samples, seed)
        yield evaluation_row("reconstruction", "reconstruction MAE", subject, found, len(original), seed, "mV")
    for column, (name, unit) in MEASURED.items():
        before, after = original.number(column), restored.number(column)
        measurable, both = np.isfinite(before), np.isfinite(before) & np.isfinite(after)
        changes = np.abs(after - before)[both]
        found = metrics.weighted_median_estimate(changes, patients[both], samples, seed)
        yield evaluation_row(
            "reconstruction", f"{name} median absolute error", SUBJECT, found, int(both.sum()), seed, unit
        )
        lost = metrics.wilson(int((measurable & ~both).sum()), int(measurable.sum()))
        yield evaluation_row(
            "reconstruction", f"{name} no longer measurable", SUBJECT, lost, int(measurable.sum()), seed
        )


def simulator_rows(fit: Mapping[str, Mapping[str, float | None]], seed: int) -> Iterator[EvaluationRow]:
    """R² of the simulator's fit to mean beats, per class and lead, and their median.

    Args:
        fit: class to lead to R², as the facts of a model hold it.
    """
    values = np.array([r2 for of_lead in fit.values() for r2 in of_lead.values()], dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values):
        middle = Estimate(float(np.median(values)), float("nan"), float("nan"))
        yield evaluation_row(
            "simulator", "fit R², median over classes and leads", "simulator", middle, len(values), seed
        )
    for name, of_lead in fit.items():
        for lead, r2 in of_lead.items():
            found = Estimate(float("nan") if r2 is None else r2, float("nan"), float("nan"))
            yield evaluation_row("simulator", "fit R²", f"{name}, lead {lead}", found, None, seed)
