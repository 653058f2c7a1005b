"""Could the model itself betray the patients it was learned from?"""

from __future__ import annotations

from prefect import flow

from flows.ingest import ingest_dataset
from flows.train import train_model
from tasks.privacy.model_audit import audit_model as attack_model
from tasks.settings import Settings
from warehouse.storage.reference import Reference


@flow(name="audit-model")
def audit_model(settings: Settings, recordings: Reference | None = None, model: Reference | None = None) -> Reference:
    """Attack the model as somebody who holds it would. No release of data needs this, and no other flow runs it."""
    recordings = recordings or ingest_dataset(settings)
    model = model or train_model(settings, recordings)
    uri = settings.warehouse.uri
    return attack_model(settings.model_audit, settings.privacy, model, recordings, settings.compute, uri)
