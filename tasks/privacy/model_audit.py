"""The privacy audit of a model: attacks that need the model itself. No release of data depends on it."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
from prefect import task

from tasks.privacy.task import PrivacyError
from tasks.settings import ComputeSettings, ModelAuditSettings, PrivacySettings
from tasks.stage import RUN_BY_PREFECT, Result, Stage, commit_once, run_logger
from warehouse import schema
from warehouse.storage.facts import ModelAuditFacts, RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

STAGE = Stage("audit model", "model_audit", code_version=2)


@task(name="audit model", **RUN_BY_PREFECT)
def audit_model(
    settings: ModelAuditSettings,
    privacy: PrivacySettings,
    model: Reference,
    recordings: Reference,
    compute: ComputeSettings,
    uri: str,
) -> Reference:
    """Attack a model with the recordings that it learned from, or find its audit.

    Args:
        settings: how much is tried.
        privacy: seed, resamples and bounds.
        model: a trained generator with a prior of beats.
        recordings: training recordings are members, test recordings non-members; those of validation and test are
            the people that keyed extraction compares with.
        compute: how Ray is used; every shadow is a task.
        uri: the warehouse.

    Returns:
        The reference of a `model_audits` dataset.

    Raises:
        PrivacyError: the model draws no beats.
    """
    store = Store(uri)
    sections = {"model_audit": settings, "privacy": privacy}
    return commit_once(
        STAGE,
        sections,
        [model, recordings],
        store,
        lambda staging: _audit(staging, settings, privacy, model, recordings, compute),
    )


def _audit(
    staging: Staging,
    settings: ModelAuditSettings,
    privacy: PrivacySettings,
    model: Reference,
    recordings: Reference,
    compute: ComputeSettings,
) -> Result:
    from models.privacy.shadows import training_sets
    from tasks.ecg_sets import read_recordings, read_reported
    from tasks.privacy.attacks.keyed_extraction import keyed_extraction_rows
    from tasks.privacy.attacks.shadows import shadow_rows
    from tasks.privacy.white_box.attacked import attacked
    from tasks.privacy.white_box.recorded import learned_from
    from tasks.privacy.white_box.shadow_training import train_shadows
    from tasks.settings import TrainingSettings
    from tasks.training.model_folder import condition_embedder, load_config, load_generator

    logger, store, started = run_logger(), staging.store, time.monotonic()
    config, generator = load_config(store.path(model)), load_generator(store.path(model))
    lineage = store.manifest(model).lineage
    training = TrainingSettings.model_validate(lineage.settings.get("training", {}))
    (knowledge,) = [one for one in lineage.inputs if one.kind == "knowledge"]
    embedder = condition_embedder(config, store.read(knowledge, "knowledge") if knowledge.rows else None)
    sides = {
        "members": learned_from(read_recordings(store, recordings, "train")),
        "reference": learned_from(read_reported(store, recordings, "validation")),
        "non-members": learned_from(read_reported(store, recordings, "test")),
    }
    statements = store.facts(recordings, RecordingsFacts).statements
    target = attacked(generator, sides, embedder, statements, config.findings, training)
    if target is None:
        raise PrivacyError(
            f"{model} draws no beats, so there is no prior to attack; audit one that was trained with one"
        )
    members, non_members = len(sides["members"]), len(sides["non-members"])
    logger.info("audit model: beats of %d recordings found", sum(map(len, sides.values())))
    keyed = target.keyed
    held_out = [keyed["reference"], keyed["non-members"]]
    rows = list(keyed_extraction_rows(target.draw, keyed["members"], held_out, settings, privacy))
    logger.info("audit model: own conditions asked for")
    member, patients = np.repeat([True, False], [members, non_members]), target.patients
    learner, losses = target.prior()
    inside = training_sets(patients, settings.shadow_priors, privacy.seed)
    shadows = train_shadows("prior", learner, inside, privacy.seed + 1, staging.path, compute)
    rows += shadow_rows("prior", losses, shadows, member, patients, privacy)
    if settings.shadow_denoisers:
        few = _few(member, settings.denoiser_recordings, privacy.seed)
        learner, losses = target.denoiser(few)
        inside = training_sets(patients[few], settings.shadow_denoisers, privacy.seed)
        shadows = train_shadows("denoiser", learner, inside, privacy.seed + 1, staging.path, compute)
        rows += shadow_rows("denoiser", losses, shadows, member[few], patients[few], privacy)
    failed = [f"{row['attack']}: {row['metric']}" for row in rows if row["passed"] is False]
    for one in failed:
        logger.warning("audit model: %s is beyond its bound", one)
    logger.info("audit model: %d measurements after %.0f s", len(rows), time.monotonic() - started)
    staging.write_table("model_audits", 0, pa.Table.from_pylist(rows, schema=schema.model_audits()))
    facts = ModelAuditFacts(
        failed=failed,
        members=members,
        non_members=non_members,
        shadows={"prior": settings.shadow_priors, "denoiser": settings.shadow_denoisers},
    )
    return Result(rows=len(rows), facts=facts)


def _few(member: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of so many recordings, half of them of members, or as many as there are."""
    rng = np.random.default_rng(seed)
    sides = (np.flatnonzero(member), np.flatnonzero(~member))
    return np.sort(np.concatenate([rng.permutation(side)[: count // 2] for side in sides]))
