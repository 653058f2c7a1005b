"""A synthetic cohort in bulk."""

from __future__ import annotations

from prefect import flow

from flows.ingest import ingest_dataset
from flows.knowledge import build_knowledge_base
from flows.train import train_model
from tasks.generation.task import generate_ecgs
from tasks.settings import Settings
from warehouse.storage.reference import Reference


@flow(name="generate-cohort")
def generate_cohort(
    settings: Settings,
    recordings: Reference | None = None,
    knowledge: Reference | None = None,
    model: Reference | None = None,
) -> Reference:
    """Design the cohort's conditions and generate one ECG for each."""
    recordings = recordings or ingest_dataset(settings)
    knowledge = knowledge or build_knowledge_base(settings, recordings)
    model = model or train_model(settings, recordings, knowledge)
    return generate_ecgs(settings.cohort, model, knowledge, recordings, settings.compute, settings.warehouse.uri)
