"""What every stage shares: a digest for an id, nothing done twice, a commit, and a fresh catalog."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import get_run_context
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

from tasks.settings.settings_section import Section
from warehouse.catalog.catalog import rebuild_catalog, refresh_catalog
from warehouse.errors import TRANSIENT_ERRORS
from warehouse.storage.facts import Facts
from warehouse.storage.reference import Kind, Reference, digest
from warehouse.storage.store import Lineage, Staging, Store


@dataclass(frozen=True)
class Stage:
    """A kind of work. Raise `code_version` when the same settings and inputs would now give another result."""

    name: str
    makes: Kind
    code_version: int


@dataclass(frozen=True)
class Result:
    """What a stage built in its staging folder."""

    rows: int
    facts: Facts


def stage_id(stage: Stage, settings: dict[str, Any], inputs: list[Reference]) -> str:
    """The id of a stage's output: a digest of its settings, its inputs and its code version."""
    return digest(stage.name, stage.code_version, settings, [(one.kind, one.id) for one in inputs])


def commit_once(
    stage: Stage,
    settings: Section | Mapping[str, Section],
    inputs: list[Reference],
    store: Store,
    build: Callable[[Staging], Result],
    shaping: dict[str, Any] | None = None,
) -> Reference:
    """Build a stage's output unless it is already committed.

    Args:
        settings: the stage's settings, one section or several by name; the manifest keeps them whole.
        inputs: references the output is made from.
        build: writes the output into a staging folder; called only when there is work to do, and again after a kill
            with whatever the earlier try left there.
        shaping: what of the settings shapes the result and so goes into the id, as JSON values; None for all but the
            operational ones.

    Returns:
        The reference of the committed output.
    """
    logger = run_logger()
    if shaping is None:
        shaping = _of_each(settings, lambda section: section.for_digest())
    identifier = stage_id(stage, shaping, inputs)
    if found := store.find(stage.makes, identifier):
        logger.info("%s: skipped, %s is already there", stage.name, found)
        # A run that was killed between the commit and the catalog left the catalog behind.
        refresh_catalog(store)
        return found
    waiting = lambda: logger.info("%s: another run is building %s; waiting", stage.name, identifier)  # noqa: E731
    with store.stage(stage.makes, identifier, waiting) as staging:
        if found := store.find(stage.makes, identifier):
            logger.info("%s: skipped, another run has just made %s", stage.name, found)
            staging.discard_if_empty()
            return found
        logger.info("%s: %s %s %s", stage.name, "continuing" if staging.resumed else "making", stage.makes, identifier)
        started = time.monotonic()
        result = build(staging)
        lineage = Lineage(
            stage=stage.name,
            code_version=stage.code_version,
            settings=_of_each(settings, lambda section: section.model_dump(mode="json")),
            shaping=shaping,
            inputs=inputs,
        )
        reference = staging.commit(result.rows, lineage, result.facts)
    rebuild_catalog(store)
    logger.info("%s: committed %s in %.0f s", stage.name, reference, time.monotonic() - started)
    return reference


def _of_each(settings: Section | Mapping[str, Section], values: Callable[[Section], dict[str, Any]]) -> dict[str, Any]:
    """The values of one section, or those of several by name."""
    if isinstance(settings, Section):
        return values(settings)
    return {name: values(section) for name, section in settings.items()}


def retry_if_transient(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """For `retry_condition_fn`: retry only input and output that failed for a reason that may be gone in a moment."""
    error = state.data
    while isinstance(error, BaseException):
        if isinstance(error, OSError) and error.errno in TRANSIENT_ERRORS:
            return True
        # Ray keeps the worker's exception in `cause`.
        error = getattr(error, "cause", None) or error.__cause__
    return False


RUN_BY_PREFECT: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": 5,
    "retry_condition_fn": retry_if_transient,
    # What is made once is kept by the store, which also notices when it is gone.
    "cache_policy": NO_CACHE,
}
"""How Prefect runs a stage: `@task(name="…", **RUN_BY_PREFECT)`."""


def in_run() -> bool:
    """Whether a Prefect run is going on, so that artifacts can be made."""
    try:
        get_run_context()
    except MissingContextError:
        return False
    return True


def run_logger() -> logging.Logger | logging.LoggerAdapter[Any]:
    """Prefect's logger inside a run, a plain one outside (unit tests, notebooks)."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("einthoven")
