"""A clinical knowledge base, written by a language model and audited against the recordings."""

from __future__ import annotations

from prefect import flow

from flows.ingest import ingest_dataset
from tasks.knowledge.task import build_knowledge
from tasks.settings import Settings
from warehouse.storage.reference import Reference


@flow(name="build-knowledge-base")
def build_knowledge_base(settings: Settings, recordings: Reference | None = None) -> Reference:
    """Measure each condition on the training split, have it described, and keep what the evidence supports."""
    recordings = recordings or ingest_dataset(settings)
    return build_knowledge(settings.knowledge, recordings, settings.warehouse.uri)
