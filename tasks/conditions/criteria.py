"""What is expected of the ECGs of a condition: rules of textbooks, and claims that a knowledge base kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.evaluation.textbook_rules import TEXTBOOK_RULES, TextbookRule
from tasks.conditions.condition import Condition
from tasks.knowledge.claims import STATEMENT_PREFIX, Claim
from tasks.knowledge.demographics import age_band
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

RULES, CLAIMS = "textbook rules", "kept claims"


class Group(Protocol):
    """Whose ECGs something is expected of, for example a `Criterion` or a `models.flow.config.SteeringClaim`."""

    @property
    def statement(self) -> str: ...
    @property
    def sex(self) -> str | None: ...
    @property
    def age_band(self) -> str | None: ...


@dataclass(frozen=True)
class Criterion:
    """What is expected of the ECGs of a condition.

    Attributes:
        kind: `RULES` or `CLAIMS`.
        statement: SCP-ECG code that the ECG holds, first or not.
        words: the expectation in words, with the group it is about where that is not everyone.
        claim: the expectation, or a rule, which has the same fields.
        sex, age_band: of the group; None for all.
    """

    kind: str
    statement: str
    words: str
    claim: Claim | TextbookRule
    sex: str | None = None
    age_band: str | None = None


def textbook_criteria() -> list[Criterion]:
    """The rules of textbooks."""
    return [Criterion(RULES, rule.statement, rule.words, rule) for rule in TEXTBOOK_RULES]


def kept_claims(store: Store, knowledge: Reference) -> list[Criterion]:
    """The kept claims of a knowledge base that are about measurements.

    Those about statements made together are left out: they say what a cohort asks for, not what its ECGs show.
    """
    columns = ["statement", "sex", "age_band", "claims"]
    found = []
    for entry in store.read(knowledge, "knowledge", columns).to_pylist():
        group = ", ".join(filter(None, (entry["sex"], entry["age_band"])))
        for one in entry["claims"] or []:
            if one["verdict"] == "kept" and not one["feature"].startswith(STATEMENT_PREFIX):
                claim = Claim(**{name: one[name] for name in Claim.model_fields})
                words = claim.line({}) + (f" ({group})" if group else "")
                found.append(Criterion(CLAIMS, entry["statement"], words, claim, entry["sex"], entry["age_band"]))
    return list(dict.fromkeys(found))


def expected_of(
    groups: Sequence[Group],
    statements: Sequence[Collection[str]],
    sexes: Sequence[str | None],
    ages_years: Sequence[float | None],
) -> np.ndarray:
    """Which ECGs belong to which groups, (n, groups) bool.

    Args:
        groups: whose statement, sex and age band an ECG must have.
        statements, sexes, ages_years: of n ECGs.
    """
    holds = {
        code: np.array([code in held for held in statements], dtype=bool) for code in {g.statement for g in groups}
    }
    of_sex, of_band = (np.array(one, dtype=object) for one in (list(sexes), [age_band(age) for age in ages_years]))
    found = np.zeros((len(statements), len(groups)), dtype=bool)
    for place, one in enumerate(groups):
        found[:, place] = holds[one.statement]
        if one.sex is not None:
            found[:, place] &= of_sex == one.sex
        if one.age_band is not None:
            found[:, place] &= of_band == one.age_band
    return found


def expected_of_conditions(groups: Sequence[Group], conditions: Sequence[Condition]) -> np.ndarray:
    """Which conditions belong to which groups, (n, groups) bool."""
    return expected_of(
        groups,
        [one.statements for one in conditions],
        [one.sex for one in conditions],
        [one.age_years for one in conditions],
    )
