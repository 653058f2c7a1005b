"""Which conditions a cohort asks for: the training split's joint distribution, seen through groups of patients.

A group is (statements, sex, age band) and is asked for only if at least `min_patients` training patients fit it: they
have all its statements, its sex and their age in its band. A recording whose own group is smaller backs off: its rarest
statement is dropped until the group is large enough. Before the last diagnosis goes, the age and then the sex are left
open: an ECG without a diagnosis teaches less than one without an age. So no combination that singles out a few patients
is ever asked for. Numbers are drawn from a group's summary, never copied from a patient, and the report is written from
the statements.

The condition and the seed of a row depend on the cohort seed, the row number and the training split only: a larger
cohort begins with the rows of a smaller one, and neither workers nor batches nor pseudonyms change them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from scipy.special import ndtr, ndtri

from tasks.conditions import OLDEST_AGE, Condition, StatementFacts, by_importance, conditions_of, report_text
from tasks.knowledge.demographics import AGE_BANDS, age_band
from tasks.settings import CohortSettings

SMALLEST_SPREAD_BPM = 1.0

Choice = tuple[tuple[str, ...], str | None, str | None]
"""Statements, sex and age band; an open sex or band is None."""


@dataclass(frozen=True)
class HeartRates:
    """Heart rate of a group in bpm: median, spread (interquartile range / 1.349) and the 5-95 % range."""

    median: float
    spread: float
    low: float
    high: float

    def draw(self, share: float) -> float:
        """The heart rate below which `share` (0 … 1) of a normal distribution limited to the 5-95 % range lies."""
        low, high = (ndtr((end - self.median) / self.spread) for end in (self.low, self.high))
        return float(self.median + self.spread * ndtri(low + share * (high - low)))


@dataclass(frozen=True)
class Group:
    """Training patients who share what may be asked for; `recordings` backed off to it and are its weight."""

    statements: tuple[str, ...]
    sex: str | None
    age_band: str | None
    patients: int
    recordings: int
    heart_rates: HeartRates | None


@dataclass(frozen=True)
class CohortDesign:
    """The groups to draw from, and what became of the training recordings.

    Attributes:
        groups: sorted, so that draws do not depend on the order of recordings.
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

    def ask(self, seed: int, row: int, statement_facts: StatementFacts) -> Condition:
        """The condition of a row of the cohort with this seed."""
        of_group, of_age, of_rate = np.random.default_rng([seed, row]).random(3)
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
        self._patient = np.unique(recordings.column("patient_key").to_numpy(zero_copy_only=False), return_inverse=True)[
            1
        ]
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
        return len(np.unique(self._patient[rows]))

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
        self.members: dict[Choice, np.ndarray] = {}

    def candidates(self, statements: frozenset[str], sex: str | None, band: str | None) -> list[Choice]:
        """What may stand for a recording, best first."""
        return back_off(self.people.rarest_first(statements), sex, band, self.diagnoses)

    def group(self, statements: frozenset[str], sex: str | None, band: str | None) -> Choice | None:
        """The group that stands for recordings like this; None where none is large enough."""
        for choice in self.candidates(statements, sex, band):
            if choice not in self.members:
                self.members[choice] = self.people.rows(*choice)
            if self.people.patients(self.members[choice]) >= self.min_patients:
                return choice
        return None


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
    known: dict[tuple[frozenset[str], str | None, str | None], Choice | None] = {}
    own = conditions_of(recordings, statement_facts)
    for condition in own:
        key = (frozenset(condition.statements), condition.sex, age_band(condition.age_years))
        if key not in known:
            known[key] = groups.group(*key)
        statements, sex, band = known[key] or ((), None, None)
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
    own = Counter(zip(people.statements, people.sex, people.bands, strict=True))
    for (statements, sex, band), recordings in own.items():
        choice = groups_of.group(statements, sex, band)
        if choice is None:
            left_out += recordings
            continue
        weights[choice] += recordings
        backed_off += recordings if choice != groups_of.candidates(statements, sex, band)[0] else 0
    groups = [
        Group(
            *choice,
            people.patients(groups_of.members[choice]),
            recordings,
            summarise_rates(rates[groups_of.members[choice]], settings.min_patients),
        )
        for choice, recordings in weights.items()
    ]
    groups.sort(key=lambda group: (group.statements, group.sex or "", group.age_band or ""))
    return CohortDesign(tuple(groups), training.num_rows, backed_off, left_out)


def back_off(statements: tuple[str, ...], sex: str | None, band: str | None, diagnoses: set[str]) -> list[Choice]:
    """What may stand for a recording, best first.

    Args:
        statements: rarest first.
        diagnoses: statements that have a superclass.
    """
    shorter = [statements[dropped:] for dropped in range(len(statements))]
    telling = [one for one in shorter if diagnoses.intersection(one)]
    others = [one for one in shorter if not diagnoses.intersection(one)]
    openness = ((sex, band), (sex, None), (None, None))
    ordered = [(one, *open_) for each in (telling, others) for open_ in openness for one in each]
    return list(dict.fromkeys(ordered))


def summarise_rates(rates: np.ndarray, fewest: int) -> HeartRates | None:
    """Heart rates of a group in bpm, or None where fewer than `fewest` are known."""
    known = rates[np.isfinite(rates)]
    if len(known) < max(fewest, 2):
        return None
    low, lower, median, upper, high = np.percentile(known, [5, 25, 50, 75, 95])
    spread = max((upper - lower) / 1.349, SMALLEST_SPREAD_BPM)
    # A group whose rates are all alike still gets a range, so that no single value is given away.
    return HeartRates(median, spread, min(low, median - spread), max(high, median + spread))
