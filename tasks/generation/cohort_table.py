"""The `cohorts` table: generated waveforms with their conditions and what was measured on them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from models.ecg.measurements import measure
from models.ecg.quality_flags import quality_flags
from models.ecg.r_peaks import locate_r_peaks
from models.leads import einthoven_residual, to_twelve_leads
from models.superclasses import SUPERCLASSES
from tasks.conditions.condition import Condition, StatementFacts, describe
from warehouse import schema
from warehouse.storage.waveforms import from_lead_columns, to_lead_columns, to_measured_columns, to_r_peak_column


def cohort_table(
    cohort: str,
    numbers: range,
    seeds: list[int],
    conditions: list[Condition],
    entries: list[list[str]],
    signal_mv: np.ndarray,
    rate_hz: int,
    model_id: str,
    simulated: bool,
    statement_facts: StatementFacts,
) -> pa.Table:
    """Rows of `cohorts`. Features and flags are measured on the waveform as stored, in whole µV.

    Args:
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
        "condition": [describe(one.statements[0], statement_facts) for one in conditions],
        "text": [one.text for one in conditions],
        "statements": [list(one.statements) for one in conditions],
        "superclasses": [superclasses_of(one.statements, statement_facts) for one in conditions],
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


def superclasses_of(statements: tuple[str, ...], statement_facts: StatementFacts) -> list[str]:
    """Diagnostic superclasses of statements, without repeats, in the order of `SUPERCLASSES`."""
    held = {statement_facts.get(code, {}).get("superclass") for code in statements}
    return [name for name in SUPERCLASSES if name in held]


def summarise(folder: Path) -> dict[str, Any]:
    """What is worth knowing of a cohort without reading it; one part in memory at a time."""
    flags: Counter[str] = Counter()
    flagged = measured = 0
    error = residual = 0.0
    for path in sorted(folder.glob("part-*.parquet")):
        table = pq.read_table(path)
        of_rows = table.column("quality_flags").to_pylist()
        flags.update(flag for row in of_rows for flag in row)
        flagged += sum(bool(row) for row in of_rows)
        asked, found = (
            table.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
            for name in ("target_heart_rate_bpm", "heart_rate_bpm")
        )
        difference = np.abs(found - asked)
        measured += int(np.isfinite(difference).sum())
        error += float(np.nansum(difference))
        residual = max(residual, einthoven_residual(to_twelve_leads(from_lead_columns(table).astype(np.float64))))
    return {
        "quality_flags": dict(flags.most_common()),
        "flagged": flagged,
        "heart_rate_mae_bpm": round(error / measured, 3) if measured else None,
        "heart_rate_measured": measured,
        "einthoven_residual_mv": residual,
    }
