"""Real (or simulated) recordings into the warehouse."""

from __future__ import annotations

from prefect import flow

from tasks.ingestion.task import ingest_recordings, reference_source
from tasks.settings import Settings
from tasks.simulation.task import simulate_dataset
from warehouse.storage.reference import Reference


@flow(name="ingest-dataset")
def ingest_dataset(settings: Settings) -> Reference:
    """Read every recording of the source, quarantine what is broken, split by patient, commit the rest."""
    uri = settings.warehouse.uri
    if settings.source.kind == "simulated":
        source = simulate_dataset(settings.source.simulation, uri)
    else:
        source = reference_source(settings.source, uri)
    return ingest_recordings(
        settings.ingestion, settings.source.kind, source, settings.compute, uri, settings.source.name
    )
