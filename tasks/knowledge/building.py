"""Builds the knowledge table: evidence, writing, audit, embedding."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pyarrow as pa
from langchain_core.embeddings import Embeddings

from tasks.knowledge.asking import Respondent
from tasks.knowledge.audit import Verdict
from tasks.knowledge.embeddings import EMBEDDING_MODEL
from tasks.knowledge.evidence import Evidence, TrainingRecordings
from tasks.knowledge.vocabulary import names_of
from tasks.knowledge.writing import Author, Entry
from tasks.settings import KnowledgeSettings
from tasks.stage import run_logger
from warehouse.schema import knowledge
from warehouse.storage.facts import KnowledgeFacts
from warehouse.storage.reference import digest

LOG_EVERY_S = 10.0


def write_knowledge(
    recordings: pa.Table, names: Mapping[str, str], respondent: Respondent, settings: KnowledgeSettings
) -> list[Entry]:
    """An entry per group of training recordings that enough patients support, best supported first.

    Args:
        recordings: needs the columns `tasks.knowledge.evidence.COLUMNS`; only rows of the training split are used.
        names: statement code to its description.
    """
    logger = run_logger()
    training = TrainingRecordings(recordings)
    groups = training.groups(settings.min_patients, settings.by_sex_and_age)[: settings.max_conditions]
    if not groups:
        logger.warning(
            "no condition has %d training patients (knowledge.min_patients), so the knowledge base stays empty and "
            "nothing will be retrieved",
            settings.min_patients,
        )
    author = Author(respondent, names, training, settings)
    reported = time.monotonic()
    with ThreadPoolExecutor(1 if respondent.local else settings.concurrency) as pool:
        # Each thread gets the context, in which the run's logger is found.
        written = [
            pool.submit(contextvars.copy_context().run, author.write, Evidence(group, training)) for group, _ in groups
        ]
        try:
            for done, one in enumerate(as_completed(written), start=1):
                one.result()
                if time.monotonic() - reported > LOG_EVERY_S:
                    reported = time.monotonic()
                    logger.info("knowledge: %d of %d entries", done, len(groups))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [one.result() for one in written]


def knowledge_table(entries: list[Entry], names: Mapping[str, str], model: str, embeddings: Embeddings) -> pa.Table:
    """Entries as rows of the `knowledge` table.

    Args:
        entries: as written.
        names: statement code to its description.
        model: the language model that wrote them.
        embeddings: embeds narratives and names.
    """
    vectors = embeddings.embed_documents([entry.narrative for entry in entries]) if entries else []
    rows = [_row(entry, model, vector) for entry, vector in zip(entries, vectors, strict=True)]
    called = {row["statement"]: names_of(row["statement"], names.get(row["statement"], "")) for row in rows}
    embedded = {code: embeddings.embed_documents(all_names) for code, all_names in called.items()}
    for row in rows:
        row |= {"names": called[row["statement"]], "name_embeddings": embedded[row["statement"]]}
    return pa.Table.from_pylist(rows, schema=knowledge())


def facts(entries: list[Entry], respondent: Respondent, seconds: float) -> KnowledgeFacts:
    """The audit in numbers, for the manifest; the claims counted are the language model's."""
    return KnowledgeFacts(
        entries=len(entries),
        proposed=sum(_count(entry, kept) for entry in entries for kept in (True, False)),
        kept=sum(_count(entry, True) for entry in entries),
        refuted=sum(_count(entry, False) for entry in entries),
        rendered=sum(entry.rendered for entry in entries),
        model=respondent.identity,
        asked=respondent.asked,
        cached=respondent.cached,
        failed=respondent.failed,
        seconds=round(seconds, 1),
    )


def _count(entry: Entry, kept: bool) -> int:
    return sum(verdict.author == "model" and verdict.kept == kept for verdict in entry.verdicts)


def _row(entry: Entry, model: str, vector: list[float]) -> dict[str, Any]:
    group = entry.evidence.group
    claims = [_claim(verdict) for verdict in entry.verdicts]
    kept, refuted = _count(entry, True), _count(entry, False)
    about = (group.statement, group.sex, group.age_band)
    return {
        "entry_id": digest(about, entry.narrative, claims, model, entry.prompt, EMBEDDING_MODEL),
        "statement": group.statement,
        "condition": entry.condition,
        "sex": group.sex,
        "age_band": group.age_band,
        "narrative": entry.narrative,
        "claims": claims,
        "coded_views": [{"view": view, "codes": codes} for view, codes in entry.evidence.admissions.items()],
        "quartiles": [
            {"feature": one.feature, "lead": one.lead, "patients": one.patients}
            | dict(zip(("low", "median", "high"), one.quartiles, strict=True))
            for one in entry.quartiles
        ],
        "patients": entry.evidence.patients,
        "recordings": entry.evidence.recordings,
        "claims_proposed": kept + refuted,
        "claims_kept": kept,
        "claims_refuted": refuted,
        "sentences_proposed": entry.sentences_proposed,
        "sentences_kept": entry.sentences_kept,
        "attempts": entry.attempts,
        "rendered": entry.rendered,
        "model": model,
        "prompt_version": entry.prompt,
        "embedding_model": EMBEDDING_MODEL,
        "embedding": vector,
    }


def _claim(verdict: Verdict) -> dict[str, Any]:
    return verdict.claim.model_dump() | {
        "support": verdict.support,
        "support_low": verdict.support_low,
        "elsewhere": verdict.elsewhere,
        "verdict": "kept" if verdict.kept else "refuted",
        "author": verdict.author,
    }
