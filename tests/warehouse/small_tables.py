"""Committed datasets of a few rows, with every column of the schemas filled."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from models.leads import INDEPENDENT_LEADS
from tests.facts import audit_facts, evaluation_facts, recordings_facts
from warehouse.schema import MEASURED_FEATURES, TABLES, audits, cohorts, evaluations, knowledge, quarantine, recordings
from warehouse.storage.facts import Facts
from warehouse.storage.manifest import Lineage
from warehouse.storage.reference import Kind, Reference
from warehouse.storage.store import Store
from warehouse.storage.waveforms import to_lead_columns, to_measured_columns


def waveforms(rows: int, samples: int) -> np.ndarray:
    """(rows, 8, samples) float32 mV, whole microvolts."""
    random = np.random.default_rng(rows)
    return (random.integers(-2000, 2000, (rows, len(INDEPENDENT_LEADS), samples)) / 1000).astype(np.float32)


def measured(rows: int) -> dict[str, np.ndarray]:
    """Features as `models.ecg.measurements.measure` returns them."""
    features: dict[str, np.ndarray] = {name: 80.0 + np.arange(rows) for name in MEASURED_FEATURES}
    features["p_present"] = np.ones(rows, dtype=bool)
    for name in ("st_level_mv", "t_amplitude_mv", "r_amplitude_mv"):
        features[name] = np.zeros((rows, 12))
    return features


def commit_table(
    store: Store,
    kind: Kind,
    identifier: str,
    tables: dict[str, pa.Table],
    inputs: list[Reference],
    facts: Facts | None = None,
) -> Reference:
    """Commit tables as one dataset; its rows are those of the first table."""
    with store.stage(kind, identifier) as staging:
        for name, table in tables.items():
            staging.write_table(name, 0, table)
        lineage = Lineage(stage=f"make {kind}", code_version=1, settings={}, inputs=inputs)
        return staging.commit(next(iter(tables.values())).num_rows, lineage, facts)


def commit_recordings(
    store: Store, identifier: str, rows: int, samples: int = 100, rate_hz: int = 100, simulated: bool = False
) -> Reference:
    """Recordings, two thirds of them of atrial fibrillation."""
    columns = {
        "recording_id": [f"{identifier}-{row}" for row in range(rows)],
        "patient_key": [f"patient-{row}" for row in range(rows)],
        "source": ["test"] * rows,
        "simulated": [simulated] * rows,
        "window_start_s": [0.0] * rows,
        "strat_fold": [1] * rows,
        "split": ["train"] * rows,
        "age_years": [60.0] * rows,
        "sex": ["female"] * rows,
        "text": [""] * rows,
        "statements": [[{"code": "AFIB" if row % 3 else "NORM", "likelihood": 100.0}] for row in range(rows)],
        "superclasses": [[] if row % 3 else ["NORM"] for row in range(rows)],
        "coded_views": [[]] * rows,
        "quality_flags": [["noisy"] if row % 2 else [] for row in range(rows)],
        "r_peak_s": [[0.25, 0.75]] * rows,
        **to_measured_columns(measured(rows)),
        **to_lead_columns(waveforms(rows, samples)),
    }
    refused = [{"source": "test", "record": "x", "reason": "checksum", "detail": "lead I"}]
    tables = {
        "recordings": pa.table(columns, schema=recordings(samples, rate_hz)),
        "quarantine": pa.Table.from_pylist(refused, schema=quarantine()),
    }
    return commit_table(store, "recordings", identifier, tables, [], recordings_facts(simulated=simulated))


def commit_cohort(store: Store, identifier: str, source: Reference, rows: int, samples: int = 100) -> Reference:
    """A cohort generated from recordings."""
    columns = {
        "ecg_id": [f"{identifier}-{row}" for row in range(rows)],
        "row_number": list(range(rows)),
        "row_seed": list(range(rows)),
        "model_id": ["m1"] * rows,
        "simulated_source": [False] * rows,
        "condition": ["atrial fibrillation" if row % 2 else "normal ECG" for row in range(rows)],
        "text": ["atrial fibrillation"] * rows,
        "statements": [["AFIB"] if row % 2 else ["NORM"] for row in range(rows)],
        "likelihoods": [[None]] * rows,
        "given_up": [["age"] if row % 2 else [] for row in range(rows)],
        **dict.fromkeys(("heart_axis", "infarction_stage", "extra_beats", "pacemaker", "findings"), [None] * rows),
        "superclasses": [[] if row % 2 else ["NORM"] for row in range(rows)],
        "age_years": [60.0] * rows,
        "sex": ["male"] * rows,
        "target_heart_rate_bpm": [82.0] * rows,
        "knowledge_entries": [[] for _ in range(rows)],
        "quality_flags": [[] for _ in range(rows)],
        "r_peak_s": [[0.25, 0.75]] * rows,
        **to_measured_columns(measured(rows)),
        **to_lead_columns(waveforms(rows, samples)),
    }
    return commit_table(store, "cohort", identifier, {"cohorts": pa.table(columns, schema=cohorts(samples))}, [source])


def commit_knowledge(store: Store, identifier: str, source: Reference) -> Reference:
    """One entry with two claims."""
    claim = {"lead": None, "upper": None, "unit": "", "author": "model"}
    claim |= dict.fromkeys(("support", "support_low", "elsewhere"), 0.5)
    entry = {
        "entry_id": "e1",
        "statement": "AFIB",
        "condition": "atrial fibrillation",
        "narrative": "no P wave",
        "claims": [
            {"feature": "p_present", "comparison": "absent", "value": None, "verdict": "kept", **claim},
            {"feature": "rr_irregularity", "comparison": "above", "value": 0.1, "verdict": "refuted", **claim},
        ],
        **dict.fromkeys(("patients", "recordings", "claims_proposed", "claims_kept", "claims_refuted", "attempts"), 1),
        **dict.fromkeys(("sentences_proposed", "sentences_kept"), 0),
        "rendered": False,
        **dict.fromkeys(("model", "prompt_version", "embedding_model"), "test"),
        "embedding": [1.0] * knowledge().field("embedding").type.list_size,
    }
    return commit_table(
        store, "knowledge", identifier, {"knowledge": pa.Table.from_pylist([entry], schema=knowledge())}, [source]
    )


def commit_metrics(store: Store, cohort: Reference) -> None:
    """One evaluation and one audit of a cohort."""
    metric = {"value": 0.5, "low": 0.4, "high": 0.6, "reference": 0.5, "unit": "", "n": 10, "seed": 1}
    evaluation = {"aspect": "fidelity", "metric": "FID", "subject": "synthetic", **metric}
    audit = {"attack": "membership", "metric": "AUC", **metric, "threshold": 0.6, "passed": True}
    for table, row, schema, facts in (
        ("evaluations", evaluation, evaluations(), evaluation_facts()),
        ("audits", audit, audits(), audit_facts()),
    ):
        assert table in TABLES
        rows = pa.Table.from_pylist([row], schema=schema)
        commit_table(store, facts.kind, f"{facts.kind}1", {table: rows}, [cohort], facts)
