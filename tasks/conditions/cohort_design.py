"""Which conditions a cohort asks for: the training split's joint distribution, seen through groups of patients.

A group is (statements, sex, age band) and is asked for only if at least `min_patients` training patients fit it: they
have all its statements, its sex and their age in its band. A recording whose own group is smaller backs off, and gives
up first what counts least: statements that name neither a diagnosis nor a rhythm, then diagnoses beside another one,
then the age, the sex, the rhythm (`tasks.conditions.condition.RHYTHM_STATEMENTS`) and at the end the last diagnosis; of
each kind the rarest first. What was given up comes back where something that counts more has to go. So no combination
that singles out a few patients is ever asked for. Heart rates are drawn from the law of a group
(`tasks.conditions.heart_rate_law`) and ages from its band, never copied from a patient, and the report is written from
the statements.

The condition and the seed of a row depend on the cohort seed, the row number and the training split only: a larger
cohort begins with the rows of a smaller one, and neither workers nor batches nor pseudonyms change them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import Final

import numpy as np
import pyarrow as pa

from tasks.conditions.condition import (
    OLDEST_AGE,
    RHYTHM_STATEMENTS,
    Condition,
    StatementFacts,
    by_importance,
    conditions_of,
    report_text,
    rhythm_of,
)
from tasks.conditions.heart_rate_law import HeartRateLaw, heart_rate_law
from tasks.knowledge.demographics import AGE_BANDS, age_band
from tasks.settings import CohortSettings
from warehouse.storage.facts import DesignFacts

STRIDE: Final = (5**0.5 - 1) / 2
"""Multiples of the golden ratio, modulo 1, fall into an interval as often as its length says, up to a few: a Kronecker
sequence (Niederreiter, Random Number Generation and Quasi-Monte Carlo Methods, 1992, ch. 3)."""

Choice = tuple[tuple[str, ...], str | None, str | None]
"""Statements, sex and age band; an open sex or band is None."""


@dataclass(frozen=True)
class Group:
    """Training patients who share what may be asked for; `recordings` backed off to it and are its weight."""

    statements: tuple[str, ...]
    sex: str | None
    age_band: str | None
    patients: int
    recordings: int
    heart_rates: HeartRateLaw | None


@dataclass(frozen=True)
class CohortDesign:
    """The groups to draw from, and what became of the training recordings.

    Attributes:
        groups: sorted, so that draws do not depend on the order of recordings; those of one rhythm are neighbours.
        recordings: training recordings looked at.
        backed_off: of these, recordings asked for with less than they hold.
        left_out: of these, recordings that fit no group that is large enough.
    """

    groups: tuple[Group, ...]
    recordings: int
    backed_off: int
    left_out: int

    @cached_property
    def cumulative(self) -> np.ndarray:
        """Share of recordings up to and including each group."""
        weights = np.array([group.recordings for group in self.groups], dtype=np.float64)
        return np.cumsum(weights) / weights.sum()

    @property
    def facts(self) -> DesignFacts:
        """What the manifest of a cohort says of its design."""
        return DesignFacts(
            groups=len(self.groups),
            training_recordings=self.recordings,
            backed_off=self.backed_off,
            backed_off_share=self.backed_off / self.recordings,
            left_out=self.left_out,
        )

    def ask(self, seed: int, row: int, statement_facts: StatementFacts) -> Condition:
        """The condition of a row of the cohort with this seed."""
        of_group = (row_seed(seed, 0) / 2**63 + row * STRIDE) % 1.0
        of_age, of_rate = np.random.default_rng([seed, row]).random(2)
        group = self.groups[int(np.searchsorted(self.cumulative[:-1], of_group, side="right"))]
        return Condition(
            text=report_text(group.statements, statement_facts),
            statements=by_importance(group.statements, statement_facts),
            age_years=draw_age(group.age_band, of_age) if group.age_band else None,
            sex=group.sex,
            heart_rate_bpm=group.heart_rates.draw(of_rate) if group.heart_rates else None,
        )


def row_seed(seed: int, row: int) -> int:
    """The seed of a row, 63 bits: a pure function of cohort seed and row number."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{row}".encode()).digest()[:8]) >> 1


def draw_age(band: str, share: float) -> float:
    """An age in whole years, uniform in its band; 90 stands for every age above 89."""
    youngest, beyond = AGE_BANDS[band]
    oldest = min(beyond - 1, OLDEST_AGE)
    return float(youngest + int(share * (oldest - youngest + 1)))


class PatientGroups:
    """Counts the distinct patients that fit a combination of statements, sex and age band.

    A patient fits when one of their recordings holds all the statements (and perhaps more) and matches sex and band;
    an open sex or band matches everybody.
    """

    def __init__(self, recordings: pa.Table, patients: np.ndarray) -> None:
        """Index recordings.

        Args:
            recordings: rows of the `recordings` table; columns statements, sex, age_years.
            patients: (rows,) patient of each.
        """
        self.statements = [
            frozenset(each["code"] for each in found or []) for found in recordings.column("statements").to_pylist()
        ]
        self.sex = recordings.column("sex").to_pylist()
        self.bands = [age_band(age) for age in recordings.column("age_years").to_pylist()]
        self.frequency = Counter(code for found in self.statements for code in found)
        self.patient = np.unique(patients, return_inverse=True)[1]
        self._holds = {code: np.array([code in found for found in self.statements]) for code in self.frequency}
        self._of_sex = {sex: np.array([each == sex for each in self.sex]) for sex in set(self.sex)}
        self._of_band = {band: np.array([each == band for each in self.bands]) for band in set(self.bands)}

    def rows(self, statements: tuple[str, ...], sex: str | None, band: str | None) -> np.ndarray:
        """Row numbers that fit."""
        fits = np.ones(len(self.statements), bool)
        nobody = np.zeros(len(self.statements), bool)
        for code in statements:
            fits &= self._holds.get(code, nobody)
        if sex is not None:
            fits &= self._of_sex.get(sex, nobody)
        if band is not None:
            fits &= self._of_band.get(band, nobody)
        return np.flatnonzero(fits)

    def patients(self, rows: np.ndarray) -> int:
        """Distinct patients of some rows."""
        return int(np.count_nonzero(np.bincount(self.patient[rows])))

    def rarest_first(self, statements: frozenset[str]) -> tuple[str, ...]:
        """Statements from the most specific to the most common, ties by code."""
        return tuple(sorted(statements, key=lambda code: (self.frequency[code], code)))


class BackOff:
    """Finds the group that stands for a recording: the best of its candidates with enough patients.

    Args:
        people: the training recordings.
        statement_facts: superclass of each statement; a statement that has one is a diagnosis.
        min_patients: how many patients make a group.
    """

    def __init__(self, people: PatientGroups, statement_facts: StatementFacts, min_patients: int) -> None:
        self.people, self.min_patients = people, min_patients
        self.diagnoses = {code for code, facts in statement_facts.items() if facts.get("superclass")}
        self._patients: dict[Choice, int] = {}
        self._found: dict[tuple[frozenset[str], str | None, str | None], Choice | None] = {}

    def own(self, statements: frozenset[str], sex: str | None, band: str | None) -> Choice:
        """The group of a recording that does not back off."""
        return self.people.rarest_first(statements), sex, band

    def group(self, statements: frozenset[str], sex: str | None, band: str | None) -> Choice | None:
        """The group that stands for recordings like this; None where none is large enough."""
        key = (statements, sex, band)
        if key not in self._found:
            candidates = back_off(*self.own(*key), self.diagnoses)
            self._found[key] = next((one for one in candidates if self._patients_of(one) >= self.min_patients), None)
        return self._found[key]

    def _patients_of(self, choice: Choice) -> int:
        if choice not in self._patients:
            self._patients[choice] = self.people.patients(self.people.rows(*choice))
        return self._patients[choice]


def group_conditions(
    recordings: pa.Table, training: pa.Table, min_patients: int, statement_facts: StatementFacts
) -> list[Condition]:
    """The condition that a cohort would ask for in place of each recording's own.

    A group holds its statements and perhaps more. So a recording is an example of its group's condition as well as of
    its own, and a model that has seen both keeps under a group's condition what its patients have beyond it.

    Args:
        recordings: columns statements, sex, age_years, heart_rate_bpm.
        training: the training rows that make groups, with the column patient_key too.
        min_patients: how many patients make a group.
        statement_facts: as for `design_cohort`.

    Returns:
        One condition per recording, with its own age, where the group has an age band, and its own heart rate. Without
        statements and demographics where no group is large enough.
    """
    people = PatientGroups(training, training.column("patient_key").to_numpy(zero_copy_only=False))
    groups = BackOff(people, statement_facts, min_patients)
    conditions = []
    for condition in conditions_of(recordings, statement_facts):
        choice = groups.group(frozenset(condition.statements), condition.sex, age_band(condition.age_years))
        statements, sex, band = choice or ((), None, None)
        conditions.append(
            Condition(
                text=report_text(statements, statement_facts),
                statements=by_importance(statements, statement_facts),
                age_years=condition.age_years if band else None,
                sex=sex,
                heart_rate_bpm=condition.heart_rate_bpm,
            )
        )
    return conditions


def design_cohort(training: pa.Table, settings: CohortSettings, statement_facts: StatementFacts) -> CohortDesign:
    """Find the groups that a cohort may ask for.

    Args:
        training: training rows of `recordings`; columns patient_key, statements, sex, age_years, heart_rate_bpm.
        settings: how many patients make a group.
        statement_facts: superclass of each statement; a statement that has one is a diagnosis.

    Returns:
        The design; its groups are empty when no group is large enough.
    """
    people = PatientGroups(training, training.column("patient_key").to_numpy(zero_copy_only=False))
    groups_of = BackOff(people, statement_facts, settings.min_patients)
    rates = training.column("heart_rate_bpm").to_numpy(zero_copy_only=False).astype(np.float64)
    weights: Counter[Choice] = Counter()
    backed_off = left_out = 0
    for one, recordings in Counter(zip(people.statements, people.sex, people.bands, strict=True)).items():
        choice = groups_of.group(*one)
        if choice is None:
            left_out += recordings
            continue
        weights[choice] += recordings
        backed_off += recordings if choice != groups_of.own(*one) else 0
    groups = []
    for choice, recordings in weights.items():
        members = people.rows(*choice)
        law = heart_rate_law(rates[members], people.patient[members], settings.min_patients)
        groups.append(Group(*choice, people.patients(members), recordings, law))
    # Rows step evenly through the groups, so whatever is neighbours here comes as often as it should: rhythms, and in
    # them the age bands.
    groups.sort(key=lambda one: (rhythm_of(one.statements), one.age_band or "", one.statements, one.sex or ""))
    return CohortDesign(tuple(groups), training.num_rows, backed_off, left_out)


def back_off(statements: tuple[str, ...], sex: str | None, band: str | None, diagnoses: set[str]) -> Iterator[Choice]:
    """What may stand for a recording, best first; some come more than once.

    Args:
        statements: rarest first.
        diagnoses: statements that have a superclass.
    """
    diagnosed = [code for code in statements if code in diagnoses]
    others = [code for code in statements if code not in diagnoses and code not in RHYTHM_STATEMENTS]
    # The statement that decides on the rhythm is kept longest.
    paced = [code for code in statements if code in RHYTHM_STATEMENTS]
    paced.sort(key=lambda code: RHYTHM_STATEMENTS[code] == rhythm_of(statements))
    # Of as many diagnoses, the most common are kept first.
    some = [kept for count in range(len(diagnosed), 0, -1) for kept in combinations(reversed(diagnosed), count)]
    openness = ((sex, band), (sex, None), (None, band), (None, None))
    for diagnoses_kept in (some, [()]):
        for rhythms, open_, kept, forms in product(shorter(paced), openness, diagnoses_kept, shorter(others)):
            if any((rhythms, kept, forms)):
                yield tuple(code for code in statements if code in {*rhythms, *kept, *forms}), *open_


def shorter(statements: list[str]) -> list[list[str]]:
    """Statements, without the first, without the first two … and none."""
    return [statements[dropped:] for dropped in range(len(statements) + 1)]
