"""Evaluation of a cohort: does it look real, does it show what was asked for, does it help a classifier."""

from __future__ import annotations

from prefect import task

from tasks.settings import ComputeSettings, EvaluationSettings
from tasks.stage import RUN_BY_PREFECT, Result, Stage, commit_once
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

STAGE = Stage("evaluate cohort", "evaluation", code_version=8)


@task(name="evaluate ECGs", **RUN_BY_PREFECT)
def evaluate_ecgs(
    settings: EvaluationSettings, cohort: Reference, recordings: Reference, compute: ComputeSettings, uri: str
) -> Reference:
    """Evaluate a cohort against real recordings, or find its evaluation.

    Args:
        settings: classifiers, bootstraps.
        cohort: what to evaluate.
        recordings: the recordings that the cohort's model learned from, with their held-out splits.
        compute: how Ray is used.
        uri: the warehouse.

    Returns:
        The reference of an `evaluations` dataset. A metric that this data cannot give is a row with a null value; the
        facts and the log name it.

    Raises:
        EvaluationError: no training recording has a diagnostic superclass.
    """
    store = Store(uri)

    def build(staging: Staging) -> Result:
        from tasks.evaluation.comparison import measure_cohort

        return measure_cohort(staging, settings, cohort, recordings, compute)

    return commit_once(STAGE, settings, [cohort, recordings], store, build)
