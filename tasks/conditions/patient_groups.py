"""Traits of recordings, and how many patients share a combination of them.

A trait is what a condition may ask for: one statement, the exact set of diagnostic superclasses, sex, age band, how
likely a statement is, a coded view, a finding of a report. A patient fits a combination of traits when one of their
recordings has all of them, and perhaps more: further statements, but no further superclass, since the set of
superclasses is one trait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, Final

import numpy as np

from tasks.conditions.coded_views import LIKELY_PERCENT, certainty
from tasks.conditions.condition import SEX_NUMBER, Condition, StatementFacts, by_importance, without_statement
from tasks.conditions.report_findings import in_order
from tasks.knowledge.demographics import age_band

Trait = tuple[str, str]
"""Kind and value. Kinds: superclasses, statement, sex, age, `LIKELIHOOD`, `FINDING` and those of `VIEWS`."""
Traits = frozenset[Trait]

SUPERCLASSES_TRAIT, STATEMENT, SEX, AGE = "superclasses", "statement", "sex", "age"
LIKELIHOOD, FINDING = "likelihood", "finding"
VIEWS: Final = {
    "pacemaker": "pacemaker",
    "extra beats": "extra_beats",
    "infarction stage": "infarction_stage",
    "heart axis": "heart_axis",
}
"""Kind of trait to the field of `Condition` that it is about, what says most of an ECG first."""


def traits_of(condition: Condition, statement_facts: StatementFacts) -> Traits:
    """The traits of a condition; its heart rate is none, since cohorts draw it from a law of the group."""
    found = {(SUPERCLASSES_TRAIT, "+".join(condition.all_superclasses(statement_facts)))}
    found |= {(STATEMENT, code) for code in condition.statements} | {(FINDING, one) for one in condition.findings}
    if condition.sex in SEX_NUMBER:
        found.add((SEX, condition.sex))
    if band := age_band(condition.age_years):
        found.add((AGE, band))
    for code, likelihood in zip(condition.statements, condition.likelihoods, strict=bool(condition.likelihoods)):
        if word := certainty(likelihood):
            found.add((LIKELIHOOD, f"{word} {code}"))
    fields = asdict(condition)
    return frozenset(found | {(kind, str(fields[name])) for kind, name in VIEWS.items() if fields[name] is not None})


def condition_with(
    traits: Traits, age_years: float | None, heart_rate_bpm: float | None, statement_facts: StatementFacts
) -> Condition:
    """The condition that asks for traits, with a text that says no more than they do.

    Args:
        age_years: an age in the band of the traits; not used where they have none.
    """
    value = dict(sorted(traits))
    codes = by_importance(sorted(statements_of(traits)), statement_facts)
    words = {code: word for kind, text in traits if kind == LIKELIHOOD for word, code in [text.split(" ", 1)]}
    return Condition(
        text="",
        statements=codes,
        age_years=age_years if AGE in value else None,
        sex=value.get(SEX),
        heart_rate_bpm=heart_rate_bpm,
        likelihoods=tuple(LIKELY_PERCENT.get(words.get(code, "")) for code in codes),
        heart_axis=value.get("heart axis"),
        infarction_stage=value.get("infarction stage"),
        extra_beats=value.get("extra beats"),
        pacemaker=True if "pacemaker" in value else None,
        superclasses=without_statement(superclasses_in(traits), codes, statement_facts),
        findings=in_order(text for kind, text in traits if kind == FINDING),
    ).written(statement_facts)


def statements_of(traits: Traits) -> frozenset[str]:
    """The statements among traits."""
    return frozenset(value for kind, value in traits if kind == STATEMENT)


def superclasses_in(traits: Traits) -> list[str]:
    """The superclasses among traits."""
    return [name for kind, value in traits if kind == SUPERCLASSES_TRAIT for name in value.split("+") if name]


def shared_findings(conditions: Sequence[Condition], patients: np.ndarray, min_patients: int) -> tuple[str, ...]:
    """Findings of reports that enough patients share, each with how likely it is, in the order of their table.

    Args:
        conditions: of each recording, as it is coded.
        patients: (recordings,) patient of each.
        min_patients: how many are enough.
    """
    of: dict[str, set[Any]] = {}
    for condition, patient in zip(conditions, patients.tolist(), strict=True):
        for finding in condition.findings:
            of.setdefault(finding, set()).add(patient)
    return in_order(sorted(finding for finding, held in of.items() if len(held) >= min_patients))


class PatientGroups:
    """Counts the distinct patients that share traits.

    Args:
        conditions: of each recording, as it is coded.
        patients: (recordings,) patient of each.
        statement_facts: superclass of each statement.

    Attributes:
        traits: of each recording.
        patient: (recordings,) number of its patient.
        frequency: statement to the number of recordings that have it.
    """

    def __init__(self, conditions: Sequence[Condition], patients: np.ndarray, statement_facts: StatementFacts) -> None:
        self.traits = [traits_of(one, statement_facts) for one in conditions]
        self.patient = np.unique(patients, return_inverse=True)[1]
        # A bit per recording: sets of recordings meet in one operation on whole numbers of any length.
        holders: dict[Trait, list[int]] = {}
        for row, traits in enumerate(self.traits):
            for trait in traits:
                holders.setdefault(trait, []).append(row)
        self._holders = {trait: self._bits(rows) for trait, rows in holders.items()}
        self.frequency = {value: len(rows) for (kind, value), rows in holders.items() if kind == STATEMENT}

    def _bits(self, rows: Iterable[int]) -> int:
        held = np.zeros(len(self.traits), np.uint8)
        held[list(rows)] = 1
        return int.from_bytes(np.packbits(held, bitorder="little").tobytes(), "little")

    @cached_property
    def everyone(self) -> int:
        """The bits of all recordings."""
        return self._bits(range(len(self.traits)))

    def holders(self, traits: Iterable[Trait], among: int | None = None) -> int:
        """The bits of the recordings that have all these traits."""
        found = self.everyone if among is None else among
        for trait in traits:
            found &= self._holders.get(trait, 0)
        return found

    def rows(self, bits: int) -> np.ndarray:
        """Row numbers of recordings, ascending."""
        size = -(-len(self.traits) // 8)
        return np.flatnonzero(np.unpackbits(np.frombuffer(bits.to_bytes(size, "little"), np.uint8), bitorder="little"))

    def patients(self, bits: int) -> int:
        """Distinct patients of some recordings."""
        return len(np.unique(self.patient[self.rows(bits)]))

    def at_least(self, bits: int, patients: int) -> bool:
        """Whether some recordings are of that many distinct patients; quick, since it is asked often."""
        if bits.bit_count() < patients:
            return False
        seen: set[int] = set()
        while bits and len(seen) < patients:
            lowest = bits & -bits
            seen.add(int(self.patient[lowest.bit_length() - 1]))
            bits ^= lowest
        return len(seen) >= patients
