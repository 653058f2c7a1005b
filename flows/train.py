"""The generator: diffusion in the latent of an autoencoder, or one transformer."""

from __future__ import annotations

from prefect import flow

from flows.ingest import ingest_dataset
from flows.knowledge import build_knowledge_base
from tasks.settings import Settings
from tasks.training.autoencoder_task import train_autoencoder
from tasks.training.task import train_generator
from warehouse.storage.reference import Reference


@flow(name="train-model")
def train_model(
    settings: Settings, recordings: Reference | None = None, knowledge: Reference | None = None
) -> Reference:
    """Train the generator on the training split, with the knowledge base as experience."""
    recordings = recordings or ingest_dataset(settings)
    knowledge = knowledge or build_knowledge_base(settings, recordings)
    uri = settings.warehouse.uri
    autoencoder = None
    if settings.training.generator != "flow":
        autoencoder = train_autoencoder(settings.training, recordings, settings.compute, uri)
    return train_generator(
        settings.training, recordings, autoencoder, knowledge, settings.retrieval, settings.compute, uri
    )
