"""Does a request in free words find the right condition, and how fast are many found?

`python -m benchmarks.retrieval [--quick] [--profile P] [--data PATH]` takes the 200 requests of
`retrieval_requests.json`, paraphrases of PTB-XL's statement descriptions written without sight of the system, and
counts how often the condition meant is the first entry found, or among the first three. Compared are the scores in
force, the embedding alone and the overlap of statements alone, the statements being those that the system itself reads
in the request. Then entries are retrieved for 100,000 requests (`--quick`: 10,000): conditions of training recordings
in random order with random ages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from benchmarks.record import Check, arguments, publish
from flows.ingest import ingest_dataset
from flows.knowledge import build_knowledge_base
from flows.profiles import load_settings
from models.evaluation.metrics import wilson
from tasks.conditions.condition import Condition, ConditionEmbedder, StatementFacts, conditions_of
from tasks.conditions.reading.reader import StatementReader
from tasks.knowledge.embeddings import local_embeddings
from tasks.settings import RetrievalSettings, RetrievalWeights
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.store import Store

REQUESTS: Final = Path(__file__).parent / "retrieval_requests.json"
TARGET: Final = 0.95
WEIGHTS: Final = {
    "embedding only": RetrievalWeights(embedding=1, statements=0, demographics=0),
    "statements only (Jaccard)": RetrievalWeights(embedding=0, statements=1, demographics=0),
}
MANY: Final = 100_000
"""Requests of the speed check."""


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    given = arguments(__doc__.splitlines()[0]).parse_args(words)
    settings = load_settings(given.profile, given.set, given.data)
    started = time.monotonic()
    recordings = ingest_dataset(settings)
    reference = build_knowledge_base(settings, recordings)
    store = Store(settings.warehouse.uri)
    table, facts = store.read(reference, "knowledge"), store.facts(recordings, RecordingsFacts).statements
    reader = StatementReader(facts)
    written = json.loads(REQUESTS.read_text(encoding="utf-8"))
    conditions = [
        Condition(one["text"], reader.read(one["text"]).asked, one["age_years"], one["sex"], None) for one in written
    ]
    known = set(table["statement"].to_pylist())
    checks = []
    for name, weights in {"all weights in force": settings.retrieval.weights, **WEIGHTS}.items():
        found = _found(conditions, table, facts, settings.retrieval.model_copy(update={"weights": weights}))
        for top in (1, 3):
            hits = sum(one["statement"] in row[:top] for one, row in zip(written, found, strict=True))
            share = wilson(hits, len(written))
            target = TARGET if name.startswith("all") and top == 3 else None
            checks.append(
                Check(
                    name=f"recall@{top}, {name}",
                    value=share.value,
                    low=share.low,
                    high=share.high,
                    target=target,
                    n=len(written),
                )
            )
    many = MANY // 10 if given.quick else MANY
    seconds = _many(store.read(recordings, "recordings"), table, facts, settings.retrieval, many)
    checks.append(
        Check(name=f"retrieval for {many:,} requests", value=seconds, unit="s", target=60.0, comparison="<=", n=many)
    )
    missing = sorted({one["statement"] for one in written} - known)
    publish(
        "retrieval",
        checks,
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={"profile": given.profile, **settings.retrieval.weights.model_dump()},
        details={"entries": table.num_rows, "conditions": len(known), "requested_without_an_entry": missing},
    )


def _found(
    conditions: list[Condition], table: pa.Table, facts: StatementFacts, retrieval: RetrievalSettings
) -> list[list[str]]:
    """Statements of the entries found for each request, best first."""
    embedder = ConditionEmbedder(local_embeddings(), table, facts, 4, 3, retrieval)
    statements = table["statement"].to_pylist()
    return [[statements[entry] for entry in row] for row in embedder.retrieve(conditions)]


def _many(
    recordings: pa.Table, table: pa.Table, facts: StatementFacts, retrieval: RetrievalSettings, many: int
) -> float:
    """Seconds to retrieve entries for many requests, embedding their texts included."""
    conditions = conditions_of(recordings, facts)
    rng = np.random.default_rng(1)
    requests = [
        Condition(one.text, one.statements, float(rng.uniform(18, 90)), one.sex, one.heart_rate_bpm)
        for one in (conditions[row] for row in rng.integers(len(conditions), size=many))
    ]
    embedder = ConditionEmbedder(local_embeddings(), table, facts, 4, 3, retrieval)
    started = time.perf_counter()
    embedder.retrieve(requests)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
