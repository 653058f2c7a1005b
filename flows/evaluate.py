"""Does the cohort look right, and does it help a downstream classifier?"""

from __future__ import annotations

from prefect import flow

from flows.generate import generate_cohort
from flows.ingest import ingest_dataset
from tasks.evaluation.task import evaluate_ecgs
from tasks.settings import Settings
from warehouse.storage.reference import Reference


@flow(name="evaluate-cohort")
def evaluate_cohort(
    settings: Settings, recordings: Reference | None = None, cohort: Reference | None = None
) -> Reference:
    """Measure fidelity, condition delivery and downstream worth against held-out real recordings."""
    recordings = recordings or ingest_dataset(settings)
    cohort = cohort or generate_cohort(settings, recordings)
    return evaluate_ecgs(settings.evaluation, cohort, recordings, settings.compute, settings.warehouse.uri)
