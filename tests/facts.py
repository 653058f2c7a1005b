"""Facts of made-up datasets, valid but for what a test changes."""

from __future__ import annotations

from typing import Any

from warehouse.storage.facts import (
    AlignmentFacts,
    AuditFacts,
    CohortFacts,
    DesignFacts,
    EvaluationFacts,
    ModelFacts,
    Prevalence,
    RecordingsFacts,
)

STATEMENT = {"description": "normal ECG", "superclass": "NORM", "kind": "diagnostic"}


def recordings_facts(**changes: Any) -> RecordingsFacts:
    usual: dict[str, Any] = {
        "statements": {"NORM": STATEMENT},
        "listed": 0,
        "read": 0,
        "splits": {},
        "quarantined": {},
        "source": "test",
        "simulated": True,
        "samples": 1000,
        "sampling_rate_hz": 100,
    }
    return RecordingsFacts(**{**usual, **changes})


def cohort_facts(**changes: Any) -> CohortFacts:
    usual: dict[str, Any] = {
        "name": "test",
        "simulated": True,
        "sampling_rate_hz": 100,
        "samples": 1000,
        "design": DesignFacts(
            groups=1,
            training_recordings=10,
            backed_off=0,
            backed_off_share=0.0,
            left_out=0,
            given_up={},
            lost_positives={"NORM": 0.0},
            several_superclasses=Prevalence(real=0.0, asked=0.0),
            statements={"NORM": Prevalence(real=1.0, asked=1.0)},
        ),
        "quality_flags": {},
        "flagged": 0,
        "heart_rate_mae_bpm": 0.5,
        "heart_rate_measured": 10,
        "einthoven_residual_mv": 0.0,
    }
    return CohortFacts(**{**usual, **changes})


def model_facts(**changes: Any) -> ModelFacts:
    usual: dict[str, Any] = {
        "sampling_rate_hz": 100,
        "samples": 1000,
        "simulated": True,
        "lead_scale_mv": [0.3] * 8,
        "recordings": {},
        "excluded": {},
        "reconstruction_mae_mv": {},
        "parameters": {},
        "simulator_fit": {},
        "losses": {},
        "history": [],
    }
    return ModelFacts(**{**usual, **changes})


def evaluation_facts(**changes: Any) -> EvaluationFacts:
    nothing = {"classifier": None, "alignment": None, "missing": [], "missing_in_conditions": 0}
    return EvaluationFacts(**{**nothing, **changes})


def audit_facts(**changes: Any) -> AuditFacts:
    usual = {"verdict": "passed", "failed": [], "powerless": [], "widened": [], "power": [], "beat_encoder": None}
    return AuditFacts(**{**usual, **changes})


def alignment_facts(**changes: Any) -> AlignmentFacts:
    usual = {"pairs": {}, "texts": {}, "kept_step": 1, "validation": 1.0, "temperature": 0.07, "seconds": 1.0}
    return AlignmentFacts(**{**usual, "history": [], **changes})
