"""Rows of the `evaluations` table about the simulator's equation: how far the beats of a cohort are from obeying it.

Of every ECG, the beat around its first R peak that lies whole inside it, on a grid of 500 Hz, is held against
the equation that training fitted for its class: the root mean square of (h_{l+1} − h_l)/Δt − f_z in mV/s. The
inter-lead residual is that of III, aVR, aVL and aVF, whose equation combines those of I and II. Real beats do not obey
the equation of their class's mean beat either, so the value of held-out recordings stands beside it: a cohort far below
it shows the simulator's beats rather than people's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from models.ecg.beats import beats_on_grid, first_whole_beat
from models.ecg.r_peaks import in_samples
from models.evaluation import metrics
from models.leads import INDEPENDENT_LEADS, LIMB_LEAD_IDENTITIES
from models.simulator.beat_equation import BeatEquation, angular_rate
from tasks.conditions.condition import StatementFacts
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row
from tasks.settings import EvaluationSettings
from tasks.training.data.simulator_classes import known_wave_classes

METRIC, INTER_LEAD = "ODE residual", "inter-lead ODE residual"
UNIT = "mV/s"
AT_ONCE = 256
"""ECGs looked at together: bounds memory."""


@dataclass(frozen=True)
class FittedEquation:
    """The simulator's equation as the training of a model fitted it.

    Attributes:
        equation: of every class.
        classes: names, in the order of the equation's parameters.
        statements: statement facts, which say what an ECG's class is.
    """

    equation: BeatEquation
    classes: list[str]
    statements: StatementFacts

    @torch.inference_mode()
    def residual(self, ecgs: EcgSet, rate_hz: int) -> np.ndarray:
        """Root mean square over the samples of a beat, per ECG and lead.

        The class is that of the ECG's statements, asked for or made by a doctor, ω that of its measured heart rate.

        Returns:
            (n, 12) float64 mV/s, the independent leads, then III, aVR, aVL and aVF; NaN for an ECG without a whole beat
            or a heart rate.
        """
        found = np.full((len(ecgs), len(INDEPENDENT_LEADS) + len(LIMB_LEAD_IDENTITIES)), np.nan)
        classes = torch.from_numpy(known_wave_classes(ecgs.table, self.classes, self.statements))
        omega = angular_rate(torch.from_numpy(ecgs.number("heart_rate_bpm")).float())
        for at in range(0, len(ecgs), AT_ONCE):
            signal = ecgs.signal[at : at + AT_ONCE]
            r_peaks = [torch.from_numpy(one) for one in in_samples(ecgs.r_peaks_s[at : at + AT_ONCE], rate_hz)]
            padded = F.pad(pad_sequence(r_peaks, batch_first=True, padding_value=torch.nan), (0, 1), value=torch.nan)
            first = first_whole_beat(padded, 0, signal.shape[2], rate_hz)
            kept = torch.nonzero(first.isfinite() & torch.isfinite(omega[at : at + AT_ONCE]))[:, 0]
            if not len(kept):
                continue
            beats = beats_on_grid(torch.from_numpy(signal[kept.numpy()]), first[kept], rate_hz)
            away = self.equation.residual(beats, classes[at + kept], omega[at + kept])
            away = torch.cat([away, self.equation.limb_leads @ away], dim=1)
            found[at + kept.numpy()] = away.double().square().mean(dim=2).sqrt().numpy()
        return found


def load_equation(folder: Path) -> FittedEquation | None:
    """The equation in a model folder; None where training fitted no class.

    Raises:
        ModelFolderError: the folder is incomplete or damaged.
    """
    from tasks.training.model_folder import load_config, load_fit

    config = load_config(folder)
    if not config.wave_classes:
        return None
    return FittedEquation(BeatEquation(load_fit(folder)), config.wave_classes, config.statements)


def ode_residual_rows(compared: Compared, folder: Path) -> Iterator[EvaluationRow]:
    """Rows of the cohort over all leads and per lead, and of training recordings through the autoencoder.

    Args:
        folder: of the model behind the cohort.
    """
    fitted = load_equation(folder)
    if fitted is None:
        for metric in (METRIC, INTER_LEAD):
            yield evaluation_row("physics", metric, "synthetic", metrics.UNKNOWN, 0, compared.seed, UNIT)
        return
    real = fitted.residual(compared.held_out, compared.rate_hz)
    yield from residual_rows(
        "synthetic",
        fitted.residual(compared.synthetic, compared.rate_hz),
        compared.synthetic.patients,
        real,
        compared.settings,
        leads=True,
    )
    if compared.reconstructed is not None:
        restored = fitted.residual(compared.reconstructed, compared.rate_hz)
        yield from residual_rows(
            "reconstruction", restored, compared.reconstructed.patients, real, compared.settings, leads=False
        )


def residual_rows(
    subject: str, found: np.ndarray, patients: np.ndarray, real: np.ndarray, settings: EvaluationSettings, leads: bool
) -> Iterator[EvaluationRow]:
    """The mean over ECGs of their root mean square: over the independent leads, over the derived ones, and per lead.

    Args:
        found: (n, 12) of the subject, as `FittedEquation.residual` gives them.
        patients: (n,) of the subject.
        real: (m, 12) of held-out recordings.
        leads: also a row per independent lead.
    """
    seed, samples = settings.seed, settings.bootstrap_samples
    independent = len(INDEPENDENT_LEADS)
    parts = [(METRIC, subject, slice(independent)), (INTER_LEAD, subject, slice(independent, None))]
    if leads:
        parts += [(METRIC, f"{subject}, lead {lead}", slice(at, at + 1)) for at, lead in enumerate(INDEPENDENT_LEADS)]
    for metric, name, columns in parts:
        of_ecgs, of_real = (np.sqrt(np.square(each[:, columns]).mean(axis=1)) for each in (found, real))
        known = of_real[np.isfinite(of_real)]
        yield evaluation_row(
            "physics",
            metric,
            name,
            metrics.mean_estimate(of_ecgs, patients, samples, seed),
            int(np.isfinite(of_ecgs).sum()),
            seed,
            UNIT,
            float(known.mean()) if len(known) else None,
        )


def residual_with(
    fitted: FittedEquation, synthetic: EcgSet, held_out: EcgSet, rate_hz: int, settings: EvaluationSettings
) -> EvaluationRow:
    """The row over all leads of a cohort that no model is behind, by the equation of some model."""
    found, real = (fitted.residual(each, rate_hz) for each in (synthetic, held_out))
    return next(residual_rows("synthetic", found, synthetic.patients, real, settings, leads=False))
