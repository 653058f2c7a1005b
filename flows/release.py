"""The main job: from recordings to a published synthetic release."""

from __future__ import annotations

from prefect import flow

from flows.audit import audit_privacy
from flows.evaluate import evaluate_cohort
from flows.generate import generate_cohort
from flows.ingest import ingest_dataset
from flows.knowledge import build_knowledge_base
from flows.train import train_model
from tasks.release.task import publish_release
from tasks.settings import Settings
from warehouse.storage.reference import Reference


@flow(name="release-cohort")
def release_cohort(settings: Settings) -> Reference:
    """Ingest, learn, generate, evaluate and audit; publish a release if the privacy gate passes."""
    recordings = ingest_dataset(settings)
    knowledge = build_knowledge_base(settings, recordings)
    model = train_model(settings, recordings, knowledge)
    cohort = generate_cohort(settings, recordings, knowledge, model)
    evaluation = evaluate_cohort(settings, recordings, cohort)
    audit = audit_privacy(settings, recordings, cohort)
    return publish_release(settings.release, cohort, evaluation, audit, model, settings.warehouse.uri)
