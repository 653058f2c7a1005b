"""The main job: from recordings to a published synthetic release."""

from __future__ import annotations

import re
from datetime import datetime

from prefect import flow, runtime

from flows.audit import audit_privacy
from flows.evaluate import evaluate_cohort
from flows.generate import generate_cohort
from flows.ingest import ingest_dataset
from flows.knowledge import build_knowledge_base
from flows.profiles import SettingsError
from flows.train import train_model
from tasks.release.task import publish_release
from tasks.settings import Settings
from warehouse.storage.reference import Reference, digest

SCHEDULED = "scheduled"


@flow(name="release-cohort")
def release_cohort(settings: Settings, month: str | None = None) -> Reference:
    """Ingest, learn, generate, evaluate and audit; publish a release if the privacy gate passes.

    Args:
        month: YYYY-MM for the release of a month: its cohort has a seed of its own, so that it is a new version, of the
            same model unless the data changed. "scheduled" for the month that the run was scheduled in, so that a run
            that is late, or repeated, still makes that month's release. None for the cohort of the settings.
    """
    if month is not None:
        settings = of_month(settings, _scheduled_month() if month == SCHEDULED else month)
    recordings = ingest_dataset(settings)
    knowledge = build_knowledge_base(settings, recordings)
    model = train_model(settings, recordings, knowledge)
    cohort = generate_cohort(settings, recordings, knowledge, model)
    evaluation = evaluate_cohort(settings, recordings, cohort)
    audit = audit_privacy(settings, recordings, cohort)
    return publish_release(settings.release, cohort, evaluation, audit, model, settings.warehouse.uri)


def of_month(settings: Settings, month: str) -> Settings:
    """Settings whose cohort seed derives from their own and a month.

    Raises:
        SettingsError: the month is not written as YYYY-MM.
    """
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise SettingsError(f"month {month!r}: write it as YYYY-MM, or {SCHEDULED!r} for the month of the schedule")
    seed = int(digest("cohort of a month", settings.cohort.seed, month), 16) % 2**31
    return settings.model_copy(update={"cohort": settings.cohort.model_copy(update={"seed": seed})})


def _scheduled_month() -> str:
    planned: datetime = runtime.flow_run.scheduled_start_time
    return planned.strftime("%Y-%m")
