"""What the ECGs of each condition look like: written by a language model, audited against the training recordings."""

from __future__ import annotations

import time

from prefect import task

from tasks.settings import KnowledgeSettings
from tasks.stage import RUN_BY_PREFECT, Result, Stage, commit_once, in_run, run_logger
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

KNOWLEDGE = Stage("build knowledge", makes="knowledge", code_version=6)


@task(name="build knowledge", **RUN_BY_PREFECT)
def build_knowledge(settings: KnowledgeSettings, recordings: Reference, uri: str) -> Reference:
    """Write, audit and store an entry for every condition that enough training patients support.

    Args:
        settings: which model, how much evidence, how strict an audit.
        recordings: what `ingest_recordings` returned.
        uri: the warehouse.

    Returns:
        A reference of kind "knowledge" with the table `knowledge`, which is empty when no condition has enough
        patients. Facts of its manifest: `entries`, `proposed`, `kept`, `refuted`, `rendered`, `model`, `asked`,
        `cached`, `failed`, `seconds`.

    Raises:
        KnowledgeError: the model or the embedding model cannot be loaded, or is remote and that is not allowed.
    """
    store = Store(uri)

    def build(staging: Staging) -> Result:
        from tasks.knowledge.asking import Respondent
        from tasks.knowledge.audit_artifact import publish_audit
        from tasks.knowledge.building import facts, knowledge_table, write_knowledge
        from tasks.knowledge.embeddings import local_embeddings
        from tasks.knowledge.evidence import COLUMNS
        from tasks.knowledge.language_models import chat_model, model_identity

        started = time.monotonic()
        model, embeddings = chat_model(settings), local_embeddings()
        respondent = Respondent(model, model_identity(model, settings), settings, store.root / "_cache" / "knowledge")
        statements = store.facts(recordings, RecordingsFacts).statements
        names = {code: about["description"] or code for code, about in statements.items()}
        entries = write_knowledge(store.read(recordings, "recordings", COLUMNS), names, respondent, settings)
        table = knowledge_table(entries, names, respondent.identity, embeddings)
        staging.write_table("knowledge", 0, table)
        found = facts(entries, respondent, time.monotonic() - started)
        if in_run():
            publish_audit(table, found)
        run_logger().info(
            "knowledge: %(entries)d entries; of %(proposed)d claims by %(model)s %(kept)d kept, %(refuted)d refuted; "
            "%(rendered)d entries rendered from evidence; %(asked)d questions asked, %(cached)d answers reused",
            found.model_dump(),
        )
        return Result(rows=len(entries), facts=found)

    return commit_once(KNOWLEDGE, settings, [recordings], store, build)
