"""Which conditions a cohort asks for: the training split's joint distribution, seen through groups of patients.

A group is a combination of traits (`tasks.conditions.patient_groups`) and is asked for only if at least `min_patients`
training patients share it: all its statements, its sex, their age in its band, its coded views, and no diagnostic
superclass beside those asked for. A recording whose own traits too few patients share backs off to fewer
(`tasks.conditions.back_off`), and never gives up a superclass, so that a label is complete: no training recording of a
group has a superclass that the label denies. Recordings that fit no group are left out and counted; groups of the same
superclasses, where there are any, are asked for in their place. Groups that ask for a statement are asked for as often
as the statement is there (`tasks.conditions.label_weights`). So no combination that singles out a few patients is ever
asked for. Heart rates are drawn from the law of a group (`tasks.conditions.heart_rate_law`) and ages from its band,
never copied from a patient, and the report is written from the condition.

Measured on the training folds of PTB-XL (14,962 recordings; `python -m benchmarks.labels`), with 5 and 10 patients a
group: 5 and 7 recordings are left out, no superclass of the others is lost, 22.7 % have several superclasses and are
asked for as often, and of 71 statements all but 4 and 13, the rarest, are asked for, the others with at least 30
recordings 0.98 to 1.00 times as often as they are there, but BIGU (0.41) and RAO/RAE (0.69) with 10 patients. The price
is the age, which 70 and 58 % of the rows have, and the sex, which 84 and 79 % have.

The condition and the seed of a row depend on the cohort seed, the row number and the training split only: a larger
cohort begins with the rows of a smaller one, and neither workers nor batches nor pseudonyms change them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa

from tasks.conditions.back_off import BackOff
from tasks.conditions.condition import (
    OLDEST_AGE,
    Condition,
    StatementFacts,
    conditions_of,
    rhythm_of,
)
from tasks.conditions.heart_rate_law import HeartRateLaw, heart_rate_law
from tasks.conditions.label_weights import calibrated
from tasks.conditions.patient_groups import (
    AGE,
    STATEMENT,
    SUPERCLASSES_TRAIT,
    PatientGroups,
    Traits,
    condition_with,
    statements_of,
    superclasses_in,
    traits_of,
)
from tasks.knowledge.demographics import AGE_BANDS
from tasks.settings import CohortSettings
from warehouse.storage.facts import DesignFacts, Prevalence

STRIDE: Final = (5**0.5 - 1) / 2
"""Multiples of the golden ratio, modulo 1, fall into an interval as often as its length says, up to a few: a Kronecker
sequence (Niederreiter, Random Number Generation and Quasi-Monte Carlo Methods, 1992, ch. 3)."""
MENTIONED: Final = 0.1
"""Share of a group's recordings that have something which the group gave up, from which its rows say so."""


@dataclass(frozen=True)
class Group:
    """Training patients who share what may be asked for.

    Attributes:
        traits: what they share.
        patients: how many they are.
        recordings: training recordings that the group stands for.
        weight: how often it is asked for, in recordings.
        given_up: kinds of what more than `MENTIONED` of these recordings have beyond it.
        heart_rates: law of their heart rates; None where too few are known.
    """

    traits: Traits
    patients: int
    recordings: int
    weight: float
    given_up: tuple[str, ...]
    heart_rates: HeartRateLaw | None

    @cached_property
    def statements(self) -> frozenset[str]:
        """Statements asked for."""
        return statements_of(self.traits)

    @cached_property
    def age_band(self) -> str | None:
        """Age band asked for."""
        return dict(sorted(self.traits)).get(AGE)


@dataclass(frozen=True)
class CohortDesign:
    """The groups to draw from, and what became of the training recordings.

    Attributes:
        groups: sorted, so that draws do not depend on the order of recordings; those of one rhythm are neighbours.
        facts: what the manifest of a cohort says of its design.
    """

    groups: tuple[Group, ...]
    facts: DesignFacts

    @cached_property
    def cumulative(self) -> np.ndarray:
        """Share of the cohort up to and including each group."""
        weights = np.array([group.weight for group in self.groups])
        return np.cumsum(weights) / weights.sum()

    def group(self, seed: int, row: int) -> Group:
        """The group that a row of the cohort with this seed asks for."""
        at = (row_seed(seed, 0) / 2**63 + row * STRIDE) % 1.0
        return self.groups[int(np.searchsorted(self.cumulative[:-1], at, side="right"))]

    def ask(self, seed: int, row: int, statement_facts: StatementFacts) -> Condition:
        """The condition of a row of the cohort with this seed."""
        group = self.group(seed, row)
        of_age, of_rate = np.random.default_rng([seed, row]).random(2)
        age = draw_age(group.age_band, of_age) if group.age_band else None
        return condition_with(
            group.traits, age, group.heart_rates.draw(of_rate) if group.heart_rates else None, statement_facts
        )


def row_seed(seed: int, row: int) -> int:
    """The seed of a row, 63 bits: a pure function of cohort seed and row number."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{row}".encode()).digest()[:8]) >> 1


def draw_age(band: str, share: float) -> float:
    """An age in whole years, uniform in its band; 90 stands for every age above 89."""
    youngest, beyond = AGE_BANDS[band]
    oldest = min(beyond - 1, OLDEST_AGE)
    return float(youngest + int(share * (oldest - youngest + 1)))


def group_conditions(
    recordings: pa.Table,
    training: pa.Table,
    min_patients: int,
    statement_facts: StatementFacts,
    findings: Collection[str] | None = None,
) -> list[Condition]:
    """The condition that a cohort would ask for in place of each recording's own.

    A group has its traits and perhaps more, but no further superclass. So a recording is an example of its group's
    condition as well as of its own, and a model that has seen both keeps under a group's condition what its patients
    have beyond it.

    Args:
        recordings: columns statements, sex, age_years, heart_rate_bpm; coded_views, where there are any.
        training: the training rows that make groups, with the column patient_key too.
        min_patients: how many patients make a group.
        statement_facts: as for `design_cohort`.
        findings: as for `conditions_of`.

    Returns:
        One condition per recording, with its own age, where the group has an age band, and its own heart rate; its own
        condition where no group is large enough.
    """
    groups = BackOff(_people(training, statement_facts), statement_facts, min_patients)
    found = []
    for condition in conditions_of(recordings, statement_facts, findings):
        traits = groups.group(traits_of(condition, statement_facts))
        found.append(
            condition
            if traits is None
            else condition_with(traits, condition.age_years, condition.heart_rate_bpm, statement_facts)
        )
    return found


def design_cohort(training: pa.Table, settings: CohortSettings, statement_facts: StatementFacts) -> CohortDesign:
    """Find the groups that a cohort may ask for.

    Args:
        training: training rows of `recordings`; columns patient_key, statements, sex, age_years, heart_rate_bpm;
            coded_views, where there are any.
        settings: how many patients make a group.
        statement_facts: superclass of each statement; a statement that has one is a diagnosis.

    Returns:
        The design; its groups are empty when no group is large enough.
    """
    people = _people(training, statement_facts)
    back_off = BackOff(people, statement_facts, settings.min_patients)
    rates = training.column("heart_rate_bpm").to_numpy(zero_copy_only=False).astype(np.float64)
    recordings: Counter[Traits] = Counter()
    given_up: dict[Traits, Counter[str]] = {}
    for own, count in Counter(people.traits).items():
        if (kept := back_off.group(own)) is not None:
            recordings[kept] += count
            lost = given_up.setdefault(kept, Counter())
            lost.update(dict.fromkeys(back_off.given_up(own, kept), count))
    # Rows step evenly through the groups, so whatever is neighbours here comes as often as it should: rhythms, and in
    # them the age bands.
    chosen = sorted(recordings, key=_place)
    weights = calibrated(
        np.array([recordings[traits] for traits in chosen]),
        [_superclasses(traits) for traits in chosen],
        [statements_of(traits) for traits in chosen],
        Counter(map(_superclasses, people.traits)),
        people.frequency,
    )
    groups = []
    for traits, weight in zip(chosen, weights.tolist(), strict=True):
        members = people.rows(people.holders(traits))
        groups.append(
            Group(
                traits=traits,
                patients=people.patients(people.holders(traits)),
                recordings=recordings[traits],
                weight=weight,
                given_up=tuple(
                    kind for kind, count in sorted(given_up[traits].items()) if count > MENTIONED * recordings[traits]
                ),
                heart_rates=heart_rate_law(rates[members], people.patient[members], settings.min_patients),
            )
        )
    return CohortDesign(tuple(groups), _facts(people, back_off, groups))


def _people(training: pa.Table, statement_facts: StatementFacts) -> PatientGroups:
    patients = training.column("patient_key").to_numpy(zero_copy_only=False)
    return PatientGroups(conditions_of(training, statement_facts), patients, statement_facts)


def _superclasses(traits: Traits) -> str:
    return dict(sorted(traits))[SUPERCLASSES_TRAIT]


def _place(traits: Traits) -> tuple[object, ...]:
    codes = sorted(statements_of(traits))
    return rhythm_of(codes), dict(sorted(traits)).get(AGE, ""), codes, sorted(traits)


def _facts(people: PatientGroups, back_off: BackOff, groups: list[Group]) -> DesignFacts:
    """What became of the training recordings, and how the labels asked for compare with theirs."""
    facts, lost, held, kinds = back_off.statement_facts, Counter[str](), Counter[str](), Counter[str]()
    backed_off = left_out = 0
    for own, count in Counter(people.traits).items():
        kept = back_off.group(own)
        if kept is None:
            left_out += count
            continue
        backed_off += count * (kept != own)
        kinds.update(dict.fromkeys(back_off.given_up(own, kept), count))
        classes, label = (condition_with(one, None, None, facts).all_superclasses(facts) for one in (own, kept))
        held.update(dict.fromkeys(classes, count))
        lost.update(dict.fromkeys(set(classes) - set(label), count))
    real = [(traits, 1.0) for traits in people.traits]
    asked = [(group.traits, group.weight) for group in groups]
    return DesignFacts(
        groups=len(groups),
        training_recordings=len(real),
        backed_off=backed_off,
        backed_off_share=backed_off / len(real),
        left_out=left_out,
        given_up=dict(sorted(kinds.items())),
        lost_positives={name: lost[name] / count for name, count in sorted(held.items())},
        several_superclasses=_compare(real, asked, lambda traits: len(superclasses_in(traits)) > 1),
        statements={code: _compare(real, asked, _stating(code)) for code in sorted(people.frequency)},
    )


def _stating(code: str) -> Callable[[Traits], bool]:
    return lambda traits: (STATEMENT, code) in traits


def _compare(
    real: list[tuple[Traits, float]], asked: list[tuple[Traits, float]], shown: Callable[[Traits], bool]
) -> Prevalence:
    shares = []
    for rows in (real, asked):
        total = sum(weight for _, weight in rows)
        shares.append(sum(weight for traits, weight in rows if shown(traits)) / total if total else 0.0)
    return Prevalence(real=shares[0], asked=shares[1])
