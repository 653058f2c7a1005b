"""Publish a cohort: the gate, the release folder, the catalog, and what Prefect shows about it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext, TaskRunContext

from tasks.settings import ReleaseSettings
from tasks.stage import Stage, run_logger, stage_id
from warehouse.catalog.catalog import rebuild_catalog
from warehouse.errors import ReleaseError
from warehouse.release.content import ReleaseDescription, ReleaseInputs, gather, metric_rows, recordings_behind
from warehouse.release.gate import require_releasable
from warehouse.release.leaks import Forbidden, find_leaks, forbidden_of
from warehouse.release.releases import publish, read_release_manifest
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

STAGE = Stage("publish release", "release", code_version=5)


@task(name="publish release", cache_policy=NO_CACHE)  # the warehouse itself knows what was published
def publish_release(
    settings: ReleaseSettings, cohort: Reference, evaluation: Reference, audit: Reference, model: Reference, uri: str
) -> Reference:
    """Publish a cohort as the next version of a release, if its privacy audit passed.

    The same settings and inputs are published once: asked again, the version there is returned.

    Args:
        uri: the warehouse.

    Raises:
        ReleaseError: the audit failed, the evidence belongs to another cohort, or the folder would not verify. Nothing
            is visible then, and `current` stays where it was.
    """
    store = Store(uri)
    inputs = ReleaseInputs(cohort, evaluation, audit, model)
    require_releasable(store, inputs)
    release = _publish(store, settings, inputs)
    rebuild_catalog(store)
    if FlowRunContext.get() or TaskRunContext.get():
        show_release(store, release, inputs)
    return release


def _publish(store: Store, settings: ReleaseSettings, inputs: ReleaseInputs) -> Reference:
    logger = run_logger()
    identifier = stage_id(STAGE, settings.for_digest(), inputs.all())
    description = ReleaseDescription(
        settings.name,
        settings.title,
        settings.license,
        settings.creator,
        settings.citation,
        settings.smallest_cell,
        settings.steward,
    )

    def write(folder: Path, version: str) -> None:
        # Drawing and Croissant load slowly; a run that finds its release published needs neither.
        from tasks.release.report import render_report
        from warehouse.release.files import write_release_files

        logger.info("%s: making %s %s", STAGE.name, settings.name, version)
        content = gather(store, description, inputs, version, identifier, datetime.now(UTC))
        write_release_files(folder, content, render_report(store, content))

    def verify(folder: Path) -> None:
        from warehouse.release.verification import require_sound

        require_no_leaks(folder, forbidden_of(store, recordings_behind(store, inputs)))
        require_sound(folder)

    def waiting() -> None:
        logger.info("%s: another run is publishing %s; waiting", STAGE.name, settings.name)

    release, made = publish(store, settings.name, identifier, write, verify, waiting)
    version = Path(release.uri).name
    logger.info(
        "%s: %s %s %s", STAGE.name, "published" if made else "skipped, it is already there:", settings.name, version
    )
    return release


def require_no_leaks(folder: Path, forbidden: Forbidden) -> None:
    """Refuse a release folder that identifies a person, a record or a place.

    Raises:
        ReleaseError: names each file and what it gives away.
    """
    if leaks := find_leaks(folder, forbidden):
        listed = "; ".join(str(leak) for leak in leaks[:10])
        more = f" and {len(leaks) - 10} more" if len(leaks) > 10 else ""
        raise ReleaseError(f"release refused, nothing was published: it would give away {listed}{more}")


def show_release(store: Store, release: Reference, inputs: ReleaseInputs) -> None:
    """Make Prefect artifacts of a release: a summary with links, and its metrics as a table. Call inside a run."""
    folder = Path(release.uri)
    manifest = read_release_manifest(folder)
    badge = (
        "\n\n> **SIMULATED SOURCE**: the model learned from simulated recordings." if manifest.simulated_source else ""
    )
    create_markdown_artifact(
        key=f"release-{manifest.name}",
        description=f"{manifest.name} {manifest.version}",
        markdown=(
            f"# {manifest.title}\n\n{manifest.name} {manifest.version}: {manifest.rows:,} synthetic ECGs of "
            f"{manifest.samples / manifest.sampling_rate_hz:g} s at {manifest.sampling_rate_hz} Hz. "
            f"The privacy audit passed.{badge}\n\n"
            f"- report: [{folder / 'report.html'}]({(folder / 'report.html').as_uri()})\n"
            f"- dataset card: `{folder / 'README.md'}`\n"
            f"- verify it: `einthoven verify {manifest.name}/{manifest.version}`\n"
        ),
    )
    evaluation = metric_rows(store.read(inputs.evaluation, "evaluations"))
    audit = metric_rows(store.read(inputs.audit, "audits"))
    create_table_artifact(
        key=f"release-{manifest.name}-metrics",
        description=f"Quality and privacy of {manifest.name} {manifest.version}",
        table=[
            {"of": row["aspect"], "metric": row["metric"], "subject": row["subject"], **_measured(row), "bound": None}
            for row in evaluation
        ]
        + [
            {
                "of": "privacy",
                "metric": row["metric"],
                "subject": row["attack"],
                **_measured(row),
                "bound": row["threshold"],
            }
            for row in audit
        ],
    )


def _measured(row: dict[str, object]) -> dict[str, object]:
    return {name: row[name] for name in ("value", "low", "high", "reference", "unit", "n")}
