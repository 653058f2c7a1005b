"""The privacy audit of a cohort: attacks on what would be released, and the bounds that gate a release."""

from __future__ import annotations

import time

import pyarrow as pa
from prefect import task

from tasks.settings import ComputeSettings, PrivacySettings
from tasks.stage import RUN_BY_PREFECT, Result, Stage, commit_once, run_logger
from warehouse import schema
from warehouse.errors import EinthovenError
from warehouse.storage.facts import AuditFacts, RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

STAGE = Stage("audit cohort", "audit", code_version=4)
FEWEST_NON_MEMBERS = 10


class PrivacyError(EinthovenError):
    """A cohort cannot be audited with the recordings at hand."""


@task(name="audit ECGs", **RUN_BY_PREFECT)
def audit_ecgs(
    settings: PrivacySettings, cohort: Reference, recordings: Reference, compute: ComputeSettings, uri: str
) -> Reference:
    """Audit a cohort against the recordings that its model learned from, or find its audit.

    Args:
        settings: the bounds.
        cohort: what would be released.
        recordings: training recordings are members; validation and test recordings, of other patients, are not.
        compute: how Ray is used; the audit itself runs in this process.
        uri: the warehouse.

    Returns:
        The reference of an `audits` dataset; its facts say whether every bound was kept, and which were not.

    Raises:
        PrivacyError: validation or test split are too small to audit against.
    """
    store = Store(uri)

    def build(staging: Staging) -> Result:
        return _audit(staging, settings, cohort, recordings)

    return commit_once(STAGE, settings, [cohort, recordings], store, build)


def _audit(staging: Staging, settings: PrivacySettings, cohort: Reference, recordings: Reference) -> Result:
    from tasks.ecg_sets import concatenate, read_cohort, read_recordings, read_reported
    from tasks.privacy.attacks.disclosure import disclosure_rows
    from tasks.privacy.attacks.membership import membership_rows
    from tasks.privacy.attacks.near_copies import near_copy_rows

    logger, store, started = run_logger(), staging.store, time.monotonic()
    facts = store.facts(recordings, RecordingsFacts)
    members = read_recordings(store, recordings, "train")
    validation, test = (read_reported(store, recordings, split) for split in ("validation", "test"))
    if min(len(validation), len(test)) < FEWEST_NON_MEMBERS or len(members) == 0:
        raise PrivacyError(
            f"{recordings}: a privacy audit needs training recordings and at least {FEWEST_NON_MEMBERS} each for "
            f"validation and test, got {len(members)}, {len(validation)} and {len(test)}; ingest more or change folds"
        )
    synthetic = read_cohort(store, cohort)
    held_out = concatenate([validation, test])
    rows: list[dict[str, object]] = []
    for found in (
        membership_rows(synthetic, members, validation, test, facts.sampling_rate_hz, settings),
        near_copy_rows(synthetic, members, held_out, facts.sampling_rate_hz, settings),
        disclosure_rows(synthetic, members, concatenate([members, held_out]), facts.statements, settings),
    ):
        rows += found
        logger.info("audit cohort: %d measurements after %.0f s", len(rows), time.monotonic() - started)
    failed = [f"{one['attack']}: {one['metric']}" for one in rows if one["passed"] is False]
    for one in failed:
        logger.warning("audit cohort: %s is beyond its bound", one)
    staging.write_table("audits", 0, pa.Table.from_pylist(rows, schema=schema.audits()))
    return Result(rows=len(rows), facts=AuditFacts(passed=not failed, failed=failed))
