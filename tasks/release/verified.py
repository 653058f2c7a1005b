"""Verification of all current releases, for a schedule."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from tasks.stage import in_run, run_logger
from warehouse.errors import ReleaseError
from warehouse.release.verification import verify_release
from warehouse.release.withdrawal import current_versions
from warehouse.storage.store import Store

ARTIFACT = "verified-releases"


@task(name="verify current releases", cache_policy=NO_CACHE)
def verify_current_releases(uri: str) -> int:
    """Check every release that a pointer `current` names; one that is damaged does not hide the others.

    Args:
        uri: the warehouse.

    Returns:
        How many were checked.

    Raises:
        ReleaseError: names each release that does not verify, and what is wrong with it.
    """
    logger, failed, table = run_logger(), [], []
    for name, folder in current_versions(Store(uri)).items():
        findings = verify_release(folder)
        wrong = [f"{finding.name}: {finding.detail}" for finding in findings if not finding.ok]
        failed += [f"{name} {folder.name}: {'; '.join(wrong)}"] if wrong else []
        table.append({"release": name, "version": folder.name, "checks": len(findings), "wrong": "; ".join(wrong)})
        logger.info("verify: %s %s %s", name, folder.name, "does not verify" if wrong else "verifies")
    if in_run():
        create_table_artifact(key=ARTIFACT, description="Current releases, checked", table=table)
    if failed:
        raise ReleaseError(f"{len(failed)} of {len(table)} current releases do not verify: {' | '.join(failed)}")
    return len(table)
