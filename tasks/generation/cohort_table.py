"""The `cohorts` table: generated waveforms with their conditions and what was measured on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from models.ecg.measurements import measure
from models.ecg.quality_flags import quality_flags
from models.ecg.r_peaks import locate_r_peaks
from models.leads import einthoven_residual, to_twelve_leads
from tasks.conditions.condition import SUPERCLASS_WORDS, Condition, StatementFacts, describe
from tasks.conditions.patient_groups import VIEWS
from warehouse import schema
from warehouse.storage.facts import BeatRejectionFacts
from warehouse.storage.waveforms import from_lead_columns, to_lead_columns, to_measured_columns, to_r_peak_column


def cohort_table(
    cohort: str,
    numbers: Sequence[int],
    seeds: list[int],
    conditions: list[Condition],
    given_up: list[tuple[str, ...]],
    entries: list[list[str]],
    signal_mv: np.ndarray,
    rate_hz: int,
    model_id: str,
    simulated: bool,
    statement_facts: StatementFacts,
) -> pa.Table:
    """Rows of `cohorts`. Features and flags are measured on the waveform as stored, in whole µV.

    Args:
        given_up: what each condition leaves out of what the recordings that it stands for have.
        signal_mv: (rows, 8, samples), mV; everything else has one value per row.
    """
    leads = to_lead_columns(signal_mv)
    stored = from_lead_columns(pa.table(leads))
    # One thread: with more, matrix products round differently, and a row must not depend on the number of workers.
    with threadpool_limits(1):
        r_peaks = locate_r_peaks(stored, rate_hz)
        measured, flags = measure(stored, r_peaks, rate_hz), quality_flags(stored, r_peaks, rate_hz)
    columns: dict[str, Any] = {
        "ecg_id": [f"{cohort}-{row:07d}" for row in numbers],
        "row_number": list(numbers),
        "row_seed": seeds,
        "model_id": [model_id] * len(numbers),
        "simulated_source": [simulated] * len(numbers),
        "condition": ["; ".join(_in_words(one, statement_facts)) for one in conditions],
        "text": [one.text for one in conditions],
        "statements": [list(one.statements) for one in conditions],
        "likelihoods": [list(one.likelihoods or [None] * len(one.statements)) for one in conditions],
        "superclasses": [one.all_superclasses(statement_facts) for one in conditions],
        "given_up": [list(kinds) for kinds in given_up],
        **{name: [getattr(one, name) for one in conditions] for name in VIEWS.values()},
        "age_years": [one.age_years for one in conditions],
        "sex": [one.sex for one in conditions],
        "target_heart_rate_bpm": [one.heart_rate_bpm for one in conditions],
        "knowledge_entries": entries,
        "quality_flags": flags,
        "r_peak_s": to_r_peak_column(r_peaks, rate_hz),
        **to_measured_columns(measured),
        **leads,
    }
    return pa.table(columns, schema=schema.cohorts(signal_mv.shape[2], rate_hz))


def _in_words(condition: Condition, statement_facts: StatementFacts) -> list[str]:
    stated = [describe(code, statement_facts) for code in condition.statements]
    return [SUPERCLASS_WORDS[name] for name in condition.superclasses] + stated


def part_note(table: pa.Table, beat_rejection: BeatRejectionFacts | None = None) -> dict[str, Any]:
    """What `summarise` needs to know of one part of a cohort, as JSON values.

    Args:
        table: rows of the part.
        beat_rejection: of the rows asked for; None where the model rejects no beats.
    """
    flags = table.column("quality_flags").to_pylist()
    asked, found = (
        table.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
        for name in ("target_heart_rate_bpm", "heart_rate_bpm")
    )
    difference = np.abs(found - asked)
    return {
        "rows": table.num_rows,
        "beat_rejection": beat_rejection.model_dump() if beat_rejection else None,
        "quality_flags": Counter(flag for row in flags for flag in row),
        "flagged": sum(bool(row) for row in flags),
        "heart_rate_measured": int(np.isfinite(difference).sum()),
        "heart_rate_error_bpm": float(np.nansum(difference)),
        "einthoven_residual_mv": einthoven_residual(to_twelve_leads(from_lead_columns(table).astype(np.float64))),
    }


def summarise(notes: list[dict[str, Any]]) -> dict[str, Any]:
    """What is worth knowing of a cohort without reading it, from the notes of its parts."""
    flags: Counter[str] = Counter()
    for note in notes:
        flags.update(note["quality_flags"])
    measured = sum(note["heart_rate_measured"] for note in notes)
    error = sum(note["heart_rate_error_bpm"] for note in notes)
    rejected = [note["beat_rejection"] for note in notes if note["beat_rejection"]]
    return {
        "beat_rejection": {name: sum(one[name] for one in rejected) for name in rejected[0]} if rejected else None,
        "quality_flags": dict(flags.most_common()),
        "flagged": sum(note["flagged"] for note in notes),
        "heart_rate_mae_bpm": round(error / measured, 3) if measured else None,
        "heart_rate_measured": measured,
        "einthoven_residual_mv": max((note["einthoven_residual_mv"] for note in notes), default=0.0),
    }
