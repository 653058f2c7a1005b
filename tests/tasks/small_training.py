"""A training so small that it takes seconds: recordings, settings, and how tests run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.ecg.r_peaks import locate_r_peaks
from tasks.settings import ComputeSettings, RetrievalSettings
from tasks.settings.training import TrainingSettings
from tasks.training.autoencoder_task import train_autoencoder
from tasks.training.task import train_generator
from tests.facts import recordings_facts
from tests.models.latent_diffusion.test_autoencoder import beating
from tests.tasks.knowledge.entries import entries
from warehouse import schema
from warehouse.storage.reference import Reference
from warehouse.storage.store import Lineage, Store
from warehouse.storage.waveforms import to_lead_columns, to_r_peak_column

SAMPLES = 400


STATEMENTS = {
    "NORM": {"description": "normal ECG", "superclass": "NORM", "kind": "diagnostic"},
    "CLBBB": {"description": "complete left bundle branch block", "superclass": "CD", "kind": "diagnostic"},
}


SMALL: dict[str, Any] = {
    "precision": "fp32",
    "report_every_steps": 1,
    "checkpoint_every_steps": 20,
    "autoencoder": {"architecture": {"width": 8}, "beat_decoder": {"width": 8}, "steps": 100, "batch_size": 8},
    "diffusion": {
        "architecture": {"width": 16, "token_width": 16, "blocks": 1, "multipliers": [1, 2]},
        "steps": 100,
        "batch_size": 8,
    },
    "prior": {
        "architecture": {"components": 8, "width": 16, "blocks": 1, "token_width": 16},
        "steps": 100,
        "batch_size": 8,
        "learning_rate": 0.01,
    },
    "detail": {"architecture": {"width": 16, "blocks": 2}, "steps": 100, "batch_size": 8},
}
SMALL_FLOW: dict[str, Any] = {
    "architecture": {"width": 16, "depth": 1, "heads": 2},
    "beats": {
        "architecture": {
            "components": 8,
            "ectopic_components": 4,
            "width": 16,
            "blocks": 1,
            "token_width": 16,
            "queries": 2,
        },
        "steps": 4,
        "batch_size": 8,
    },
    "batch_size": 8,
}
TRAINED = ("autoencoder", "detail", "prior", "denoiser")


def small(**changes: Any) -> TrainingSettings:
    return TrainingSettings.model_validate({**SMALL, **changes})


def recordings_table(rows: int = 60, samples: int = SAMPLES, rate_hz: int = 100) -> pa.Table:
    """Beating signals; every fifth for validation, the first with a flat lead."""
    signal, peaks = beating(rows, samples, rate_hz)
    codes = ["NORM" if row % 2 else "CLBBB" for row in range(rows)]
    columns: dict[str, Any] = {
        "recording_id": [f"r{row}" for row in range(rows)],
        "patient_key": [f"p{row}" for row in range(rows)],
        "source": ["test"] * rows,
        "simulated": [True] * rows,
        "window_start_s": [0.0] * rows,
        "strat_fold": [9 if row % 5 == 4 else 1 for row in range(rows)],
        "split": ["validation" if row % 5 == 4 else "train" for row in range(rows)],
        "age_years": [50.0 + row % 30 for row in range(rows)],
        "sex": ["female" if row % 3 else "male" for row in range(rows)],
        "text": [""] * rows,
        "statements": [[{"code": code, "likelihood": 100.0}] for code in codes],
        "superclasses": [[STATEMENTS[code]["superclass"]] for code in codes],
        "quality_flags": [["flat_lead_v1"] if row == 0 else ["noisy"] if row == 1 else [] for row in range(rows)],
        "heart_rate_bpm": [60.0 * rate_hz / np.diff(found).mean() for found in peaks],
    }
    columns["r_peak_s"] = to_r_peak_column(locate_r_peaks(0.2 * signal.numpy(), rate_hz), rate_hz)
    columns |= to_lead_columns(0.2 * signal.numpy())
    wanted = schema.recordings(samples, rate_hz)
    missing = [field for field in wanted if field.name not in columns]
    columns |= {field.name: pa.nulls(rows, field.type) for field in missing}
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in wanted}, schema=wanted)


def commit_inputs(store: Store, table: pa.Table | None = None) -> tuple[Reference, Reference]:
    """Recordings and a knowledge base, with the same ids in every store."""
    lineage = Lineage(stage="test", code_version=1, settings={}, inputs=[])
    table = recordings_table() if table is None else table
    shape = {name: int(table.schema.metadata[name.encode()]) for name in ("samples", "sampling_rate_hz")}
    facts = recordings_facts(statements=STATEMENTS, **shape)
    with store.stage("recordings", "tiny") as staging:
        staging.write_table("recordings", 0, table.slice(0, 35))
        staging.write_table("recordings", 1, table.slice(35))
        recordings = staging.commit(table.num_rows, lineage, facts)
    with store.stage("knowledge", "tiny") as staging:
        staging.write_table("knowledge", 0, entries(STATEMENTS))
        knowledge = staging.commit(len(STATEMENTS), lineage)
    return recordings, knowledge


def train(root: Path, settings: TrainingSettings, table: pa.Table | None = None) -> tuple[Store, Reference]:
    store = Store(str(root))
    recordings, knowledge = commit_inputs(store, table)
    autoencoder = train_autoencoder.fn(settings, recordings, ComputeSettings(), str(root))
    arguments = (settings, recordings, autoencoder, knowledge, RetrievalSettings(), ComputeSettings(), str(root))
    return store, train_generator.fn(*arguments)


def autoencoder_of(store: Store, model: Reference) -> Reference:
    """The autoencoder that a model was trained on."""
    (named,) = [one for one in store.manifest(model).lineage.inputs if one.kind == "autoencoder"]
    return named
