"""What a recording is asked for with: as many of its traits as enough patients share.

All superclasses are kept, always: a label that lacks one would be false of the recordings shown under it. Of what is
left, statements count more than sex, sex more than the age band, and this more than coded views, likelihoods and
findings of reports. Where patients are too few,

1. findings of reports, likelihoods, heart axis, infarction stage, extra beats and pacemaker go first,
2. then the age band, then the sex (the age comes back where only the sex is in the way),
3. then statements, the least informative first: of the sets of statements that enough patients share, the one with
   the most information Σ log(n / n_s) is kept, n_s of n recordings having the statement s. So sinus rhythm goes first,
   and a rare statement stays where it can. A superclass none of whose statements is left is asked for itself
   ("myocardial infarction").

A recording fits no group only where too few patients share its set of superclasses, or it has none and no statement
that enough patients share.

On the training folds of PTB-XL with 10 patients a group, keeping as many statements as possible, or diagnoses and
rhythms before forms, leaves too few groups that hold a rare form: inverted T waves (INVT) are then asked for clearly
less often than they are there, here 0.98 times as often. Without superclasses that are asked for
themselves, 634 of 14,962 recordings would fit no group, with them 7.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from math import log
from typing import Final

from tasks.conditions.condition import StatementFacts, superclasses_of
from tasks.conditions.patient_groups import (
    AGE,
    FINDING,
    LIKELIHOOD,
    SEX,
    STATEMENT,
    SUPERCLASSES_TRAIT,
    VIEWS,
    PatientGroups,
    Traits,
    statements_of,
)

MOST_STATEMENTS: Final = 12
"""Of a recording with more, only the most frequent are looked at, since all their subsets are."""


class BackOff:
    """Finds the traits that stand for a recording.

    Args:
        people: the training recordings.
        statement_facts: superclass of each statement; a statement that has one is a diagnosis.
        min_patients: how many patients make a group.
    """

    def __init__(self, people: PatientGroups, statement_facts: StatementFacts, min_patients: int) -> None:
        self.people, self.statement_facts, self.min_patients = people, statement_facts, min_patients
        self._stated: dict[frozenset[str], frozenset[str] | None] = {}
        self._found: dict[Traits, Traits | None] = {}

    def group(self, own: Traits) -> Traits | None:
        """The traits that stand for recordings like this; None where too few patients share any that would do."""
        if own not in self._found:
            self._found[own] = self._back_off(own)
        return self._found[own]

    def given_up(self, own: Traits, kept: Traits) -> set[str]:
        """Kinds of what a recording has and its group does not ask for."""
        kinds = {kind for kind, _ in own - kept} - {STATEMENT}
        return kinds | {self.kind(code) for code in statements_of(own - kept)}

    def kind(self, code: str) -> str:
        """Kind of a statement: diagnosis, rhythm or form."""
        facts = self.statement_facts.get(code, {})
        return "diagnosis" if facts.get("superclass") else str(facts.get("kind") or "form")

    def _back_off(self, own: Traits) -> Traits | None:
        stated = statements_of(own)
        if stated not in self._stated:
            self._stated[stated] = self._statements(stated)
        statements = self._stated[stated]
        if statements is None:
            return None
        kept = {trait for trait in own if trait[0] == SUPERCLASSES_TRAIT} | {(STATEMENT, code) for code in statements}
        fits = self.people.holders(kept)
        person = [trait for kind in (SEX, AGE) for trait in own if trait[0] == kind]
        for traits in (person, *([one] for one in person), []):
            if self.people.at_least(among := self.people.holders(traits, fits), self.min_patients):
                kept, fits = kept | set(traits), among
                break
        for kind in (*VIEWS, LIKELIHOOD, FINDING):
            for trait in sorted(own):
                about_a_statement_given_up = kind == LIKELIHOOD and trait[1].split(" ", 1)[-1] not in statements
                if trait[0] != kind or about_a_statement_given_up:
                    continue
                if self.people.at_least(among := self.people.holders([trait], fits), self.min_patients):
                    kept, fits = kept | {trait}, among
        return frozenset(kept)

    def _statements(self, own: frozenset[str]) -> frozenset[str] | None:
        """The statements of a recording that enough patients share who have its superclasses."""
        superclasses = "+".join(superclasses_of(own, self.statement_facts))
        known = sorted(own & self.people.frequency.keys(), key=lambda code: (-self.people.frequency[code], code))
        fits = self.people.holders([(SUPERCLASSES_TRAIT, superclasses)])
        if not self.people.at_least(fits, self.min_patients):
            return None
        # Nothing but superclasses may be asked for, but not nothing at all.
        most, best = 0.0, frozenset[str]() if superclasses else None
        for count in range(min(len(known), MOST_STATEMENTS), 0, -1):
            for some in combinations(known[:MOST_STATEMENTS], count):
                information = self._information(some)
                if information <= most:
                    continue
                among = self.people.holders([(STATEMENT, code) for code in some], fits)
                if self.people.at_least(among, self.min_patients):
                    most, best = information, frozenset(some)
        return best

    def _information(self, statements: Iterable[str]) -> float:
        recordings = len(self.people.traits)
        # Every statement says something, also one that every recording has.
        return sum(log((recordings + 1) / self.people.frequency[code]) for code in statements)
