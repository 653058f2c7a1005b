"""Rows of the `evaluations` table about condition delivery: are a condition's criteria met as often as by real ECGs?

Criteria are the rules of textbooks and the claims that the knowledge base kept. One row per criterion for the cohort
and one for held-out recordings; before them, per kind of criterion, how far the two are apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from models.ecg.qrs_shape import qrs_shapes
from models.evaluation.delivery import FAR_OFF, LEAST_PATIENTS, Outcomes, delivery_distance, satisfied
from models.evaluation.textbook_rules import feature_values
from tasks.conditions.criteria import CLAIMS, RULES, Criterion, expected_of, textbook_criteria
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row
from warehouse.schema import MEASURED_FEATURES

DISTANCE: Final = "delivery distance"


def measured_features(ecgs: EcgSet, rate_hz: float) -> dict[str, np.ndarray]:
    """Feature to (n,) or (n, 12) values: those stored with the ECGs, and the shape of their QRS complexes."""
    values = {}
    for name in MEASURED_FEATURES:
        stored = ecgs.table.column(name)
        if pa.types.is_fixed_size_list(stored.type):
            width = stored.type.list_size
            rows = [row or [None] * width for row in stored.to_pylist()]
            values[name] = np.array(rows, dtype=np.float64).reshape(-1, width)
        else:
            values[name] = ecgs.number(name)
    return values | qrs_shapes(ecgs.signal, [peaks * rate_hz for peaks in ecgs.r_peaks_s], rate_hz)


def outcomes(ecgs: EcgSet, measured: Mapping[str, np.ndarray], criteria: Sequence[Criterion]) -> Outcomes:
    """Which ECGs each criterion is about and which of them satisfy it.

    Args:
        measured: as `measured_features` gives them.
    """
    people = (ecgs.table[name].to_pylist() for name in ("sex", "age_years"))
    met = np.zeros((len(ecgs), len(criteria)), dtype=bool)
    for place, one in enumerate(criteria):
        values = feature_values(measured, one.claim.feature, one.claim.lead)
        met[:, place] = satisfied(values, one.claim.comparison, one.claim.value, one.claim.upper)
    return Outcomes(expected_of(criteria, ecgs.statements, *people), met, ecgs.patients)


def delivery_rows(compared: Compared, claims: Sequence[Criterion]) -> Iterator[EvaluationRow]:
    """Shares of every criterion, and the distance between cohort and held-out recordings per kind of criterion.

    Args:
        claims: of the knowledge base behind the cohort; none where it is not known.
    """
    measured = {
        name: measured_features(ecgs, compared.rate_hz)
        for name, ecgs in (("synthetic", compared.synthetic), ("real", compared.held_out), ("train", compared.train))
    }
    for kind, criteria in ((RULES, textbook_criteria()), (CLAIMS, list(claims))):
        if not criteria:
            continue
        synthetic = outcomes(compared.synthetic, measured["synthetic"], criteria)
        real = outcomes(compared.held_out, measured["real"], criteria)
        train = outcomes(compared.train, measured["train"], criteria)
        yield from _distance_rows(compared, kind, synthetic, real, train)
        yield from _criterion_rows(compared, criteria, synthetic, real)


def _distance_rows(
    compared: Compared, kind: str, synthetic: Outcomes, real: Outcomes, train: Outcomes
) -> Iterator[EvaluationRow]:
    found = delivery_distance(synthetic, real, train, compared.samples, compared.seed)
    subject = f"synthetic, {kind}"
    for metric, estimate, reference in (
        (DISTANCE, found.mean, found.among_real),
        (f"{DISTANCE}, RMS without sampling noise", found.rms, 0.0),
        (f"criteria off by more than {FAR_OFF:g}", found.far_off, found.far_off_among_real),
    ):
        yield evaluation_row(
            "delivery",
            metric,
            subject,
            estimate,
            found.criteria,
            compared.seed,
            "share",
            reference if found.criteria else None,
        )


def _criterion_rows(
    compared: Compared, criteria: Sequence[Criterion], synthetic: Outcomes, real: Outcomes
) -> Iterator[EvaluationRow]:
    """Two rows per criterion of which the cohort holds an ECG.

    There is no row of real recordings where they are of few patients: their share would say something of each of them.
    """
    few_real = real.patient_counts < LEAST_PATIENTS
    few = synthetic.patient_counts < LEAST_PATIENTS
    shares = zip(criteria, synthetic.share_estimates(), real.share_estimates(), strict=True)
    for place, (one, share, of_real) in enumerate(shares):
        asked, found = (int(outcome.asked[:, place].sum()) for outcome in (synthetic, real))
        if not asked:
            continue
        about: dict[str, Any] = {"seed": compared.seed, "unit": "share", "condition": one.statement}
        flag = "too few rows" if few[place] else "too few real recordings" if few_real[place] else None
        reference = None if few_real[place] else of_real.value
        subject = f"synthetic, {one.kind}"
        yield evaluation_row("delivery", one.words, subject, share, asked, reference=reference, flag=flag, **about)
        if not few_real[place]:
            yield evaluation_row("delivery", one.words, f"real, {one.kind}", of_real, found, **about)
