"""Builds the knowledge table: evidence, writing, audit, embedding."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from langchain_core.embeddings import Embeddings

from tasks.knowledge.asking import Respondent
from tasks.knowledge.audit import Verdict
from tasks.knowledge.embeddings import EMBEDDING_MODEL
from tasks.knowledge.evidence import Evidence, TrainingRecordings
from tasks.knowledge.prompts import PROMPT_VERSION
from tasks.knowledge.writing import Entry, write_entry
from tasks.settings import KnowledgeSettings
from tasks.stage import run_logger
from warehouse.reference import digest
from warehouse.schema import knowledge

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
    entries: list[Entry] = []
    reported = time.monotonic()
    for group, _ in groups:
        entries.append(write_entry(Evidence(group, training), respondent, names, settings))
        if time.monotonic() - reported > LOG_EVERY_S:
            reported = time.monotonic()
            logger.info("knowledge: %d of %d entries", len(entries), len(groups))
    return entries


def knowledge_table(entries: list[Entry], model: str, embeddings: Embeddings) -> pa.Table:
    """Entries as rows of the `knowledge` table."""
    vectors = embeddings.embed_documents([entry.narrative for entry in entries]) if entries else []
    rows = [_row(entry, model, vector) for entry, vector in zip(entries, vectors, strict=True)]
    return pa.Table.from_pylist(rows, schema=knowledge())


def facts(entries: list[Entry], respondent: Respondent, seconds: float) -> dict[str, Any]:
    """The audit in numbers, for the manifest; the claims counted are the language model's."""
    return {
        "entries": len(entries),
        "proposed": sum(_count(entry, kept) for entry in entries for kept in (True, False)),
        "kept": sum(_count(entry, True) for entry in entries),
        "refuted": sum(_count(entry, False) for entry in entries),
        "rendered": sum(entry.rendered for entry in entries),
        "model": respondent.identity,
        "asked": respondent.asked,
        "cached": respondent.cached,
        "failed": respondent.failed,
        "seconds": round(seconds, 1),
    }


def _count(entry: Entry, kept: bool) -> int:
    return sum(verdict.author == "model" and verdict.kept == kept for verdict in entry.verdicts)


def _row(entry: Entry, model: str, vector: list[float]) -> dict[str, Any]:
    group = entry.evidence.group
    claims = [_claim(verdict) for verdict in entry.verdicts]
    kept, refuted = _count(entry, True), _count(entry, False)
    about = (group.statement, group.sex, group.age_band)
    return {
        "entry_id": digest(about, entry.narrative, claims, model, PROMPT_VERSION, EMBEDDING_MODEL),
        "statement": group.statement,
        "condition": entry.condition,
        "sex": group.sex,
        "age_band": group.age_band,
        "narrative": entry.narrative,
        "claims": claims,
        "patients": entry.evidence.patients,
        "recordings": entry.evidence.recordings,
        "claims_proposed": kept + refuted,
        "claims_kept": kept,
        "claims_refuted": refuted,
        "attempts": entry.attempts,
        "rendered": entry.rendered,
        "model": model,
        "prompt_version": PROMPT_VERSION,
        "embedding_model": EMBEDDING_MODEL,
        "embedding": vector,
    }


def _claim(verdict: Verdict) -> dict[str, Any]:
    return verdict.claim.model_dump() | {
        "support": verdict.support,
        "verdict": "kept" if verdict.kept else "refuted",
        "author": verdict.author,
    }
