"""Are the knowledge base's claims true of patients that it never saw?

`python -m benchmarks.knowledge [--quick] [--profile P] [--data PATH]` builds the knowledge base of a profile, or finds
it, and checks every claim against the test split. A claim is true of the test split if at least `knowledge.min_support`
of the condition's test recordings satisfy it, the bound that the audit uses; conditions with fewer than ten measured
test recordings are left out and counted. What the model proposed and what the audit kept are compared, so that the
audit's worth shows. `--quick` takes the twelve best supported conditions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.record import Check, arguments, publish
from flows.ingest import ingest_dataset
from flows.knowledge import build_knowledge_base
from flows.profiles import load_settings
from models.evaluation.metrics import wilson
from tasks.knowledge.claims import Claim
from tasks.knowledge.evidence import COLUMNS, Evidence, EvidenceGroup, TrainingRecordings
from warehouse.storage.facts import KnowledgeFacts
from warehouse.storage.store import Store

FEWEST = 10
"""Measured test recordings from which a claim can be checked."""
TARGET = 0.9
QUICK_CONDITIONS = 12


@dataclass(frozen=True)
class Checked:
    """A stored claim and what the test split says of it."""

    author: str
    kept: bool
    share: float
    measured: int


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    given = arguments(__doc__.splitlines()[0]).parse_args(words)
    limit = [f"knowledge.max_conditions={QUICK_CONDITIONS}"] if given.quick else []
    settings = load_settings(given.profile, [*given.set, *limit], given.data)
    started = time.monotonic()
    recordings = ingest_dataset(settings)
    knowledge = build_knowledge_base(settings, recordings)
    store = Store(settings.warehouse.uri)
    test = TrainingRecordings(store.read(recordings, "recordings", COLUMNS), split="test")
    checked = [
        _check(row, claim, test) for row in store.read(knowledge, "knowledge").to_pylist() for claim in row["claims"]
    ]
    facts = store.facts(knowledge, KnowledgeFacts)
    testable = [one for one in checked if one.measured >= FEWEST]
    bound = settings.knowledge.min_support
    groups = {
        "claims stored as true": ([one for one in testable if one.kept], TARGET),
        "… by the language model": ([one for one in testable if one.kept and one.author == "model"], TARGET),
        "… added from the evidence": ([one for one in testable if one.kept and one.author == "evidence"], TARGET),
        "claims the language model proposed": ([one for one in testable if one.author == "model"], None),
        "claims the audit refuted": ([one for one in testable if not one.kept], None),
    }
    checks = []
    for name, (claims, target) in groups.items():
        found = wilson(sum(one.share >= bound for one in claims), len(claims))
        checks.append(
            Check(
                name=f"{name}: share true of the test split",
                value=found.value if claims else None,
                low=found.low if claims else None,
                high=found.high if claims else None,
                target=target,
                n=len(claims),
                seeds=[settings.knowledge.seed],
            )
        )
    checks += [
        Check(name="building", value=facts.seconds, unit="s", target=1800.0, comparison="<=", n=facts.entries),
        Check(name="entries whose model kept too little", value=facts.rendered, n=facts.entries),
        Check(name="claims without enough test recordings", value=len(checked) - len(testable), n=len(checked)),
    ]
    publish(
        "knowledge",
        checks,
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={"profile": given.profile, **settings.knowledge.model_dump(mode="json")},
        details={**facts.model_dump(), "fewest_test_recordings": FEWEST, "bound": bound},
    )


def _check(row: dict[str, Any], claim: dict[str, Any], test: TrainingRecordings) -> Checked:
    made = Claim.model_validate({name: claim[name] for name in Claim.model_fields})
    share = Evidence(EvidenceGroup(row["statement"], row["sex"], row["age_band"]), test).share(made)
    return Checked(claim["author"], claim["verdict"] == "kept", share.share, share.recordings)


if __name__ == "__main__":
    main()
