"""The privacy audit of a cohort: attacks on what would be released, and the bounds that gate a release."""

from __future__ import annotations

import json
import time

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from tasks.settings import ComputeSettings, PrivacySettings
from tasks.stage import RUN_BY_PREFECT, Result, Stage, commit_once, run_logger
from warehouse import schema
from warehouse.errors import EinthovenError
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store
from warehouse.storage.whole_files import write_text

STAGE = Stage("audit cohort", "audit", code_version=7)
FEWEST_NON_MEMBERS = 10
AT_RISK_FILE = "records_at_risk.json"


class PrivacyError(EinthovenError):
    """A cohort cannot be audited with the recordings at hand."""


@task(name="audit ECGs", **RUN_BY_PREFECT)
def audit_ecgs(
    settings: PrivacySettings,
    cohort: Reference,
    recordings: Reference,
    compute: ComputeSettings,
    uri: str,
    classifier: Reference | None = None,
) -> Reference:
    """Audit a cohort against the recordings that its model learned from, or find its audit.

    Args:
        settings: the bounds.
        cohort: what would be released.
        recordings: training recordings are members, test recordings non-members; an adversary has the validation
            recordings as reference data.
        compute: how Ray is used; the audit itself runs in this process.
        uri: the warehouse.
        classifier: the reference classifier, whose features are one of the spaces attacked; None leaves it out.

    Returns:
        The reference of an `audits` dataset; its facts hold the verdict. `records_at_risk.json` beside the table lists
        the training recordings that attacks suspect most, for the steward; no release has it.

    Raises:
        PrivacyError: validation or test split are too small to audit against.
    """
    from tasks.privacy.beat_encoder import beat_encoder

    store = Store(uri)
    encoder = beat_encoder(settings, recordings, store)
    inputs = [cohort, recordings, encoder, *([classifier] if classifier else [])]
    return commit_once(
        STAGE,
        settings,
        inputs,
        store,
        lambda staging: _audit(staging, settings, cohort, recordings, encoder, classifier),
    )


def _audit(
    staging: Staging,
    settings: PrivacySettings,
    cohort: Reference,
    recordings: Reference,
    encoder: Reference,
    classifier: Reference | None,
) -> Result:
    from tasks.ecg_sets import read_cohort, read_recordings, read_reported
    from tasks.evaluation.networks.classifier import load_classifier
    from tasks.privacy.audit import Attacks, audit
    from tasks.privacy.audited import Audited
    from tasks.privacy.beat_encoder import load_encoder

    logger, store, started = run_logger(), staging.store, time.monotonic()
    about = store.facts(recordings, RecordingsFacts)
    members = read_recordings(store, recordings, "train")
    validation, test = (read_reported(store, recordings, split) for split in ("validation", "test"))
    if min(len(validation), len(test)) < FEWEST_NON_MEMBERS or len(members) == 0:
        raise PrivacyError(
            f"{recordings}: a privacy audit needs training recordings and at least {FEWEST_NON_MEMBERS} each for "
            f"validation and test, got {len(members)}, {len(validation)} and {len(test)}; ingest more or change folds"
        )
    audited = Audited(
        synthetic=read_cohort(store, cohort),
        members=members,
        reference=validation,
        non_members=test,
        rate_hz=about.sampling_rate_hz,
        encoder=load_encoder(store.path(encoder)),
        classifier=load_classifier(store.path(classifier)) if classifier else None,
        seed=settings.seed,
    )
    found = audit(audited, Attacks.on(audited, settings), about.statements, settings, logger, encoder.id)
    for what, names in (("is beyond its bound", found.facts.failed), ("proves nothing", found.facts.powerless)):
        for one in names:
            logger.warning("audit cohort: %s %s", one, what)
    logger.info(
        "audit cohort: %s, %d measurements after %.0f s",
        found.facts.verdict,
        len(found.rows),
        time.monotonic() - started,
    )
    staging.write_table("audits", 0, pa.Table.from_pylist(found.rows, schema=schema.audits()))
    write_text(staging.path / AT_RISK_FILE, json.dumps(_at_risk(store, recordings, found.at_risk), indent=1))
    return Result(rows=len(found.rows), facts=found.facts)


def _at_risk(store: Store, recordings: Reference, rows: list[int]) -> list[dict[str, object]]:
    """Pseudonyms and statements of training recordings, given by their position in the split, most at risk first."""
    table = store.read(recordings, "recordings", ["recording_id", "patient_key", "split", "statements"])
    members = table.filter(pc.equal(table["split"], "train")).drop_columns(["split"])
    return members.take(pa.array(rows, pa.int64())).to_pylist()
