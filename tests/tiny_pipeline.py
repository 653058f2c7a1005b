"""A tiny committed pipeline, recordings to audit, with schema-true tables and seeded sinus-like waves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from tests.facts import alignment_facts, audit_facts, evaluation_facts, model_facts, recordings_facts
from warehouse import schema
from warehouse.release.content import ReleaseDescription, ReleaseInputs, gather
from warehouse.release.files import write_release_files
from warehouse.release.releases import publish
from warehouse.release.verification import require_sound
from warehouse.storage.facts import Facts
from warehouse.storage.manifest import Lineage
from warehouse.storage.reference import Kind, Reference, digest
from warehouse.storage.store import Store
from warehouse.storage.waveforms import to_lead_columns, to_measured_columns

SAMPLES = 250
RATE_HZ = 100
LEAD_GAIN = np.array([0.6, 0.9, -0.5, 0.4, 0.8, 1.2, 1.1, 0.8], dtype=np.float32)
CONDITIONS = {
    "SR": ("sinus rhythm", "NORM", 70.0),
    "STACH": ("sinus tachycardia", "NORM", 120.0),
    "CLBBB": ("complete left bundle branch block", "CD", 80.0),
}
STATEMENTS = {
    code: {"description": words, "superclass": superclass, "kind": "diagnostic"}
    for code, (words, superclass, _) in CONDITIONS.items()
}
BOUND = 0.6
CANARIES = (("own beats throughout", 1.0), ("shifted recordings", 1.0))
"""Kinds of canary of the two bounds, and the power against them."""
AUDIT_SETTINGS = {"seed": 1, "max_membership_auc": BOUND, "max_near_copy_share": 0.0, "min_power": 0.95}


def sinus_waves(rates_bpm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian P, QRS and T bumps at a steady rate: (rows, 8, SAMPLES) float32 mV."""
    seconds = np.arange(SAMPLES) / RATE_HZ
    phase = (seconds[None] * rates_bpm[:, None] / 60 + rng.uniform(0, 1, (len(rates_bpm), 1))) % 1.0
    beat = sum(
        height * np.exp(-0.5 * ((phase - centre) / width) ** 2)
        for height, centre, width in ((0.15, 0.3, 0.03), (-0.1, 0.46, 0.012), (1.0, 0.5, 0.014), (0.3, 0.75, 0.05))
    )
    noise = rng.normal(0, 0.01, (len(rates_bpm), 8, SAMPLES))
    return (beat[:, None] * LEAD_GAIN[None, :, None] + noise).astype(np.float32)


def measured(rates_bpm: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Plausible measured features."""
    rows = len(rates_bpm)
    values: dict[str, np.ndarray] = {
        "heart_rate_bpm": rates_bpm + rng.normal(0, 1, rows),
        "rr_irregularity": rng.uniform(0, 0.05, rows),
        "r_peaks": np.full(rows, 3),
        "pr_ms": rng.normal(160, 20, rows),
        "qrs_ms": rng.normal(95, 10, rows),
        "qt_ms": rng.normal(380, 20, rows),
        "qtc_ms": rng.normal(410, 15, rows),
        "axis_deg": rng.normal(40, 25, rows),
        "p_present": np.ones(rows, dtype=bool),
    }
    for name in ("st_level_mv", "t_amplitude_mv", "r_amplitude_mv"):
        values[name] = rng.normal(0.1, 0.05, (rows, len(STANDARD_LEADS)))
    values["pr_ms"][0] = np.nan
    return values


@dataclass
class TinyPipeline:
    """Commits one dataset per stage into a store; vary an argument to get another pipeline."""

    store: Store
    rows: int = 24
    seed: int = 1
    simulated: bool = True
    membership_auc: float = 0.55
    settings: dict[Kind, dict[str, Any]] = field(default_factory=dict)
    """Extra settings that a stage recorded in its lineage."""
    extra_column: str | None = None
    cohort_text: str | None = None
    powerless: tuple[str, ...] = ()
    """Bounds that the audit could not prove."""

    def commit(self) -> ReleaseInputs:
        """Commit everything; the references of what a release needs."""
        self.rng = np.random.default_rng(self.seed)
        source_id = digest("tiny-source", self.seed)
        source = Reference(kind="source", id=source_id, uri="/data/clinic-7/ptbxl", rows=60, sha256="0" * 64)
        recordings = self._recordings(source)
        knowledge = self._put("knowledge", [recordings], {}, 0)
        facts = model_facts(
            history=HISTORY, simulator_fit={code: dict.fromkeys(INDEPENDENT_LEADS, 0.9) for code in CONDITIONS}
        )
        model = self._put("model", [recordings, knowledge], {}, 3, facts=facts)
        cohort = self._cohort(model, knowledge, recordings)
        evaluation = self._evaluation(cohort, recordings)
        audit = self._audit(cohort, recordings)
        return ReleaseInputs(cohort, evaluation, audit, model)

    def _put(
        self,
        kind: Kind,
        inputs: list[Reference],
        tables: dict[str, pa.Table],
        rows: int,
        settings: dict[str, Any] | None = None,
        facts: Facts | None = None,
    ) -> Reference:
        settings = {**(settings or {}), **self.settings.get(kind, {})}
        content = [self.rows, self.seed, self.membership_auc, self.extra_column, self.cohort_text, *self.powerless]
        identifier = digest(kind, settings, content, [one.id for one in inputs])
        if found := self.store.find(kind, identifier):
            return found
        with self.store.stage(kind, identifier) as staging:
            for name, table in tables.items():
                half = max(1, table.num_rows // 2)
                for part, start in enumerate(range(0, table.num_rows, half)):
                    staging.write_table(name, part, table.slice(start, half))
            lineage = Lineage(stage=f"make_{kind}", code_version=1, settings=settings, inputs=inputs)
            return staging.commit(rows, lineage, facts)

    def _conditions(self, rows: int) -> tuple[list[str], np.ndarray]:
        codes = [list(CONDITIONS)[row % len(CONDITIONS)] for row in range(rows)]
        return codes, np.array([CONDITIONS[code][2] for code in codes])

    def _recordings(self, source: Reference) -> Reference:
        rows = 60
        codes, rates = self._conditions(rows)
        columns: dict[str, Any] = {
            "recording_id": [f"r{digest('recording', row)}" for row in range(rows)],
            "patient_key": [f"p{digest('patient', row // 2)}" for row in range(rows)],
            "source": ["tiny"] * rows,
            "simulated": [self.simulated] * rows,
            "window_start_s": [0.0] * rows,
            "strat_fold": [1 + row % 10 for row in range(rows)],
            "split": [{9: "validation", 10: "test"}.get(1 + row % 10, "train") for row in range(rows)],
            "age_years": self.rng.uniform(20, 89, rows).astype(np.float32),
            "sex": ["female" if row % 2 else "male" for row in range(rows)],
            "text": [f"report {row} of the patient who came in with palpitations at night" for row in range(rows)],
            "statements": [[{"code": code, "likelihood": 100.0}] for code in codes],
            "superclasses": [[CONDITIONS[code][1]] for code in codes],
            "coded_views": [[] for _ in range(rows)],
            "quality_flags": [[] for _ in range(rows)],
        }
        table = self._waveform_table(schema.recordings(SAMPLES, RATE_HZ), columns, rates)
        quarantine = pa.table(
            {
                "source": ["tiny"],
                "record": ["records100/00000/00017_lr"],
                "reason": ["unreadable_header"],
                "detail": ["records100/00000/00017_lr.hea has no signal lines"],
            },
            schema=schema.quarantine(),
        )
        facts = recordings_facts(
            statements=STATEMENTS,
            source="tiny",
            simulated=self.simulated,
            quarantined={"unreadable_header": 1},
            samples=SAMPLES,
            sampling_rate_hz=RATE_HZ,
        )
        return self._put("recordings", [source], {"recordings": table, "quarantine": quarantine}, rows, facts=facts)

    def _cohort(self, model: Reference, knowledge: Reference, recordings: Reference) -> Reference:
        rows = self.rows
        codes, rates = self._conditions(rows)
        columns: dict[str, Any] = {
            "ecg_id": [f"tiny-{row:06d}" for row in range(rows)],
            "row_number": list(range(rows)),
            "row_seed": [1000 + row for row in range(rows)],
            "model_id": [model.id] * rows,
            "simulated_source": [self.simulated] * rows,
            "condition": [CONDITIONS[code][0] for code in codes],
            "text": [self.cohort_text or CONDITIONS[code][0] for code in codes],
            "statements": [[code] for code in codes],
            "likelihoods": [[None] for _ in codes],
            "given_up": [[] for _ in codes],
            **dict.fromkeys(("heart_axis", "infarction_stage", "extra_beats", "pacemaker", "findings"), [None] * rows),
            "superclasses": [[CONDITIONS[code][1]] for code in codes],
            "age_years": self.rng.uniform(20, 89, rows).astype(np.float32),
            "sex": ["female" if row % 2 else "male" for row in range(rows)],
            "target_heart_rate_bpm": rates.astype(np.float32),
            "knowledge_entries": [[] for _ in range(rows)],
            "quality_flags": [[] if row else ["baseline_wander"] for row in range(rows)],
        }
        table = self._waveform_table(schema.cohorts(SAMPLES, RATE_HZ), columns, rates)
        if self.extra_column:
            table = table.append_column(self.extra_column, pa.array(["x"] * rows))
        settings = {"name": "tiny", "size": rows, "seed": self.seed}
        return self._put("cohort", [model, knowledge, recordings], {"cohorts": table}, rows, settings)

    def _waveform_table(self, table_schema: pa.Schema, columns: dict[str, Any], rates: np.ndarray) -> pa.Table:
        columns |= {"r_peak_s": [[0.4, 1.2, 2.0]] * len(rates)} | to_measured_columns(measured(rates, self.rng))
        columns |= to_lead_columns(sinus_waves(rates, self.rng))
        return pa.table(columns, schema=table_schema)

    def _evaluation(self, cohort: Reference, recordings: Reference) -> Reference:
        metrics = [
            ("fidelity", "FID", "synthetic", 4.2, 3.9, 4.6, 1.0, ""),
            ("fidelity", "FID", "reconstruction", 2.1, 1.8, 2.4, 1.0, ""),
            ("alignment", "rCLIP", "synthetic", 0.93, 0.9, 0.96, 1.0, ""),
            ("condition", "heart-rate MAE", "synthetic", 1.4, 1.1, 1.8, None, "bpm"),
            ("delivery", "delivery distance", "synthetic, textbook rules", 0.15, 0.12, 0.18, 0.03, "share"),
            ("downstream", "macro AUC", "real", 0.86, 0.83, 0.89, None, ""),
            ("downstream", "macro AUC", "real + synthetic", 0.87, 0.84, 0.9, 0.86, ""),
            ("downstream", "macro AUC", "synthetic", 0.81, 0.78, 0.84, 0.86, ""),
            ("downstream", "AUC NORM", "real", 0.9, 0.87, 0.92, None, ""),
            ("downstream", "AUC NORM", "real + synthetic", 0.91, 0.88, 0.93, 0.9, ""),
            ("physics", "ODE residual", "synthetic", 0.02, None, float("nan"), 0.018, "mV"),
        ]
        names = ("aspect", "metric", "subject", "value", "low", "high", "reference", "unit")
        rows = [{**dict(zip(names, row, strict=True)), "n": self.rows, "seed": 1} for row in metrics]
        delivered = [
            ("STACH", "heart rate above 100 bpm", 0.88, 0.98, None),
            ("CLBBB", "QRS duration above 119 ms", 0.31, 0.92, None),
            ("SR", "P wave present", 0.2, None, "too few real recordings"),
        ]
        about = {"aspect": "delivery", "subject": "synthetic, textbook rules", "unit": "share", "n": 40, "seed": 1}
        rows += [
            about | {"condition": code, "metric": metric, "value": value, "reference": reference, "flag": flag}
            for code, metric, value, reference, flag in delivered
        ]
        rows += [
            {"aspect": "simulator", "metric": "fit R²", "subject": f"{code}, lead {lead}", "value": 0.9, "seed": 1}
            for code in CONDITIONS
            for lead in STANDARD_LEADS + INDEPENDENT_LEADS
        ]
        table = pa.Table.from_pylist(rows, schema=schema.evaluations())
        encoder = self._put("alignment", [recordings], {}, 1, facts=alignment_facts(history=ALIGNMENT_HISTORY))
        tables, facts = {"evaluations": table}, evaluation_facts(alignment=encoder.id)
        return self._put("evaluation", [cohort, recordings], tables, len(rows), {"seed": 1}, facts)

    def _audit(self, cohort: Reference, recordings: Reference) -> Reference:
        auc = self.membership_auc
        area, copied = ("max_membership_auc", BOUND, *CANARIES[0]), ("max_near_copy_share", 0.0, *CANARIES[1])
        checks = [
            ("membership inference", "AUC by distance", auc, auc - 0.04, auc + 0.04, 0.5, *area),
            ("near copies", "share above correlation 0.98", 0.0, 0.0, 0.02, 0.0, *copied),
            ("nearest neighbour", "distance ratio", 1.02, 0.98, 1.07, 1.0, None, None, None, None),
        ]
        names = ("attack", "metric", "value", "low", "high", "reference", "setting", "threshold", "canary", "power")
        rows = [{**dict(zip(names, row, strict=True)), "n": self.rows, "seed": 1, "unit": ""} for row in checks]
        rows[0]["passed"], rows[1]["passed"] = auc + 0.04 <= BOUND, True
        failed = [f"{row['attack']}: {row['metric']}" for row in rows if row.get("passed") is False]
        power = [
            {"attack": row["attack"], "metric": row["metric"], "canary": row["canary"], "share": share, "rows": size}
            | {"trials": 20, "power": min(1.0, 20 * share * size / self.rows)}
            for row in rows[:2]
            for size in (self.rows // 2, self.rows)
            for share in (0.005, 0.02, 0.05)
        ]
        facts = audit_facts(
            verdict="refused" if failed else "inconclusive" if self.powerless else "passed",
            failed=failed,
            powerless=list(self.powerless),
            power=power,
        )
        tables = {"audits": pa.Table.from_pylist(rows, schema=schema.audits())}
        return self._put("audit", [cohort, recordings], tables, len(rows), AUDIT_SETTINGS, facts)


def with_audit(store: Store, inputs: ReleaseInputs, rows: list[dict[str, Any]], name: str) -> ReleaseInputs:
    """The same cohort with another audit, whose facts say that it passed whatever its rows say.

    Args:
        name: of the audit, for its id.
    """
    before = store.manifest(inputs.audit).lineage
    with store.stage("audit", digest("audit", name)) as staging:
        staging.write_table("audits", 0, pa.Table.from_pylist(rows, schema=schema.audits()))
        audit = staging.commit(len(rows), before, audit_facts())
    return replace(inputs, audit=audit)


def publish_tiny(store: Store, inputs: ReleaseInputs, name: str = "tiny", identifier: str = "0123456789abcdef") -> Path:
    """Publish with a placeholder for the report, as far as the warehouse alone can."""
    description = ReleaseDescription(name, "Tiny cohort", "CC-BY-4.0", "Tests", "Nobody 2026")

    def write(folder: Path, version: str) -> None:
        content = gather(store, description, inputs, version, identifier, datetime.now(UTC))
        write_release_files(folder, content, "<!doctype html><title>Tiny</title>")

    reference, _ = publish(store, name, identifier, write, require_sound)
    return Path(reference.uri)


HISTORY = [
    {
        "stage": stage,
        "step": step,
        "learning_rate": 1e-3,
        "steps_per_s": 5.0,
        "loss": scale / (1 + step),
        "validation": scale / 2,
    }
    for stage, scale in (("autoencoder", 1.0), ("denoiser", 0.5))
    for step in range(0, 100, 10)
]
"""Losses as a model's facts hold them."""
ALIGNMENT_HISTORY = [
    {"stage": "alignment", "step": step, "learning_rate": 1e-3, "steps_per_s": 5.0, "loss": 3.0, "validation": 4.0}
    for step in range(25, 100, 25)
]
"""Losses as an alignment encoder's facts hold them."""
