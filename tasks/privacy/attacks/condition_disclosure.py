"""What the words and numbers of a cohort's conditions give away about training patients."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tasks.conditions.condition import StatementFacts, conditions_asked, conditions_of
from tasks.conditions.patient_groups import PatientGroups, traits_of
from tasks.ecg_sets import EcgSet
from tasks.knowledge.demographics import age_band
from tasks.settings import PrivacySettings

PASSAGE_WORDS = 7
"""A run of this many words of a report is a passage that may be somebody's."""
IDENTIFYING = {
    "numbers like dates or ids": re.compile(r"\b\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b|\d{5,}"),
    "names of people": re.compile(
        r"\b(?i:dr|prof|mr|mrs|ms|herrn?|frau)\b\.?\s+[A-Z]\w+|\b(?i:name|patient)\s*:\s*\w+"
    ),
    "names of devices": re.compile(
        r"\b(?:CS|AT|MAC|ELI)[- ]?\d+\w*|\b(?i:cardiovit|pagewriter|schiller|philips|mortara)\b"
    ),
    "names of sites": re.compile(r"\b(?i:hospital|clinic|klinik|krankenhaus|ward|station|praxis)\b"),
}
"""What a text may not hold to the pattern that finds it; names are found by what stands before them."""


def group_sizes(synthetic: EcgSet, members: EcgSet, statement_facts: StatementFacts) -> list[int]:
    """k-anonymity (Sweeney 2002): the training patients who fit all that each synthetic ECG was asked to show.

    A patient fits if one of their recordings has the same superclasses and all the statements, perhaps among others,
    with their likelihoods and coded views; an open age, sex or view fits all.
    """
    people = PatientGroups(conditions_of(members.table, statement_facts), members.patients, statement_facts)
    asked = [traits_of(one, statement_facts) for one in conditions_asked(synthetic.table, statement_facts)]
    size = {one: people.patients(people.holders(one)) for one in set(asked)}
    return [size[one] for one in asked]


def statement_diversity(synthetic: EcgSet) -> int:
    """Distinct l-diversity (Machanavajjhala et al. 2007): the fewest statement sets that any (age band, sex) has."""
    sets = defaultdict(set)
    ages, sexes = (synthetic.table.column(name).to_pylist() for name in ("age_years", "sex"))
    for age, sex, statements in zip(ages, sexes, synthetic.statements, strict=True):
        sets[age_band(age), sex].add(statements)
    return min(map(len, sets.values()), default=0)


def copied_texts(
    synthetic: EcgSet, real: Sequence[EcgSet], statement_facts: StatementFacts, settings: PrivacySettings
) -> int:
    """Synthetic ECGs whose text repeats a passage of real reports that fewer than `min_group_patients` patients share.

    A text that is the rendering of its own condition says no more than that does, and it is bounded by k.
    """
    written = synthetic.table.column("text").to_pylist()
    own = [
        text
        for text, condition in zip(written, conditions_asked(synthetic.table, statement_facts), strict=True)
        if text != condition.written(statement_facts).text
    ]
    if not own:
        return 0
    patients: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for ecgs in real:
        for text, patient in zip(ecgs.table.column("text").to_pylist(), ecgs.patients, strict=True):
            for passage in _passages(text):
                patients[passage].add(patient)
    personal = {passage for passage, of in patients.items() if len(of) < settings.min_group_patients}
    return sum(any(passage in personal for passage in _passages(text)) for text in own)


def identifying_texts(synthetic: EcgSet) -> dict[str, int]:
    """What could identify somebody, a key of `IDENTIFYING`, to the number of synthetic ECGs whose text holds it."""
    texts = synthetic.table.column("text").to_pylist()
    return {what: sum(bool(pattern.search(text)) for text in texts) for what, pattern in IDENTIFYING.items()}


def _passages(text: str) -> Iterator[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return (tuple(words[at : at + PASSAGE_WORDS]) for at in range(len(words) - PASSAGE_WORDS + 1))
