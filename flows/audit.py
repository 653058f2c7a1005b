"""Could a cohort betray the patients it was learned from?"""

from __future__ import annotations

from prefect import flow

from flows.generate import generate_cohort
from flows.ingest import ingest_dataset
from tasks.evaluation.networks.classifier import reference_classifier
from tasks.privacy.task import audit_ecgs
from tasks.settings import Settings
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store


@flow(name="audit-privacy")
def audit_privacy(
    settings: Settings, recordings: Reference | None = None, cohort: Reference | None = None
) -> Reference:
    """Attack the cohort as an adversary would, and hold the outcome against the release thresholds."""
    recordings = recordings or ingest_dataset(settings)
    cohort = cohort or generate_cohort(settings, recordings)
    store = Store(settings.warehouse.uri)
    classifier = reference_classifier(settings.evaluation, recordings, settings.compute, store)
    return audit_ecgs(settings.privacy, cohort, recordings, settings.compute, settings.warehouse.uri, classifier)
