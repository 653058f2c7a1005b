"""Requests in words against the tables of right answers: understood, or refused in one line."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from tasks.conditions.reading.numbers import Rate
from tasks.conditions.reading.reader import StatementReader
from tasks.conditions.request import ConditionError, UnderstoodRequest, understand
from tasks.knowledge.vocabulary import Concept, vocabulary
from tests.tasks.conditions.request_tables import ANSWER, FACTS, REFUSALS, REQUESTS, statements

READER = StatementReader(FACTS)


def understood(entry: dict[str, Any]) -> UnderstoodRequest:
    options = entry.get("options", {})
    return understand(entry["text"], options.get("age"), options.get("sex"), options.get("heart_rate"), READER, FACTS)


def test_the_tables_are_large_and_hold_nothing_that_is_not_tested() -> None:
    assert len(REQUESTS) >= 150
    for entry in REQUESTS:
        fields = {"text", "options", "refused", "words"} if "refused" in entry else ANSWER
        assert entry.keys() <= fields, entry


@pytest.mark.parametrize("entry", [one for one in REQUESTS if "refused" in one], ids=lambda one: one["text"])
def test_what_cannot_be_followed_is_refused_in_one_line(entry: dict[str, Any]) -> None:
    with pytest.raises(REFUSALS[entry["refused"]]) as refusal:
        understood(entry)
    assert entry.get("words", "").lower() in str(refusal.value).lower()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("entry", [one for one in REQUESTS if "may_refuse" in one], ids=lambda one: one["text"])
def test_what_may_be_refused_is_never_turned_round(entry: dict[str, Any]) -> None:
    try:
        request = understood(entry)
    except ConditionError as refusal:
        assert "\n" not in str(refusal)
        return
    reading, shown = request.reading, set(request.condition.statements)
    assert statements(entry, "asked") <= shown and not statements(entry, "excluded") & shown
    assert shown - statements(entry, "asked") - statements(entry, "probable") <= set(request.added)
    assert not statements(entry, "asked") & set(reading.excluded)
    assert (request.condition.age_years, request.condition.sex) == (entry.get("age"), entry.get("sex"))


@pytest.mark.parametrize(
    "entry", [one for one in REQUESTS if not {"refused", "may_refuse"} & one.keys()], ids=lambda one: one["text"]
)
def test_a_request_is_understood_as_a_careful_reader_does(entry: dict[str, Any]) -> None:
    request = understood(entry)
    reading, condition = request.reading, request.condition
    assert set(reading.asked) == statements(entry, "asked")
    assert set(reading.probable) == statements(entry, "probable")
    assert set(reading.excluded) == statements(entry, "excluded")
    assert set(reading.history) == statements(entry, "history")
    assert not set(condition.statements) & set(reading.excluded), "the condition never holds what is excluded"
    assert set(reading.asked) | set(reading.probable) <= set(condition.statements)
    assert list(reading.axes) == ([entry["axis"]] if "axis" in entry else [])
    assert set(reading.stages.values()) == ({entry["stage"]} if "stage" in entry else set())
    assert (condition.age_years, condition.sex) == (entry.get("age"), entry.get("sex"))
    if "rate" in entry:
        rate = Rate.of(str(entry["rate"]))
        assert condition.heart_rate_bpm is not None and rate & Rate(condition.heart_rate_bpm, condition.heart_rate_bpm)
        assert rate.low != rate.high or condition.heart_rate_bpm == rate.low
    else:
        assert condition.heart_rate_bpm is None


def test_precision_and_recall_of_statements_and_no_negation_error() -> None:
    right = wrong = missed = turned = 0
    for entry in REQUESTS:
        if "may_refuse" in entry:
            continue
        asked, excluded = statements(entry, "asked") | statements(entry, "probable"), statements(entry, "excluded")
        try:
            reading = understood(entry).reading
        except ConditionError:
            missed += len(asked)
            continue
        read = {*reading.asked, *reading.probable}
        right, wrong, missed = right + len(read & asked), wrong + len(read - asked), missed + len(asked - read)
        turned += len(read & excluded) + len(asked & set(reading.excluded))
    assert (wrong, missed, turned) == (0, 0, 0) and right > 200


NEGATIONS = ("no {}", "without {}", "{} is absent", "rule out {}", "neither {} nor {}", "{} not seen", "no longer {}")


@pytest.mark.parametrize("form", NEGATIONS)
def test_no_name_of_a_statement_is_asked_for_by_its_negation(form: str) -> None:
    excluded = 0
    for code, facts in FACTS.items():
        for name in (code, str(facts["description"])):
            try:
                request = understand(form.format(name, name), None, None, None, READER, FACTS)
            except ConditionError:
                continue
            assert code not in {*request.reading.asked, *request.reading.probable, *request.condition.statements}, name
            excluded += code in request.reading.excluded
    assert excluded > len(FACTS)


SENTENCES = (
    "{+}, no {-}",
    "{+} without {-}",
    "no {-} but {+}",
    "no {-}, no {-}; {+}",
    "{+} with {+}, no {-}",
    "{-} is absent, {+} is present",
    "neither {-} nor {-}, but {+}",
    "no evidence of {-}; {+}",
    "possible {+}, no {-}",
    "no longer {-}, now {+}",
    "{+} (no {-})",
    "{-}: absent; {+}: present",
    "{-} ruled out, {+} suspected",
    "without {-} and {-}, but with {+}",
    "not without {+}, no {-}",
    "{+} rather than {-}; also {+}",
    "{+} suggestive of {+}, no {-}",
    "72F with {+}; denies {-}; {+}",
)
"""A statement that is asked for at each plus, one that is excluded at each minus."""


@pytest.mark.parametrize("sentence", SENTENCES)
def test_whatever_the_statements_a_sentence_never_turns_one_of_them_round(sentence: str) -> None:
    rng = random.Random(sentence)
    concepts = {one.asks: one for _, one in vocabulary().wordings if one.asks and one.excludes and not one.otherwise}
    followed = 0
    for _ in range(25):
        wanted: list[Concept] = []
        unwanted: list[Concept] = []
        text, taken = sentence, set[str]()
        for sign in re.findall(r"\{([+-])\}", sentence):
            free = [one for one in concepts.values() if not {"NORM", *taken} & {*one.asks, *one.excludes}]
            concept = rng.choice(free)
            taken |= {*concept.asks, *concept.excludes}
            text = text.replace(f"{{{sign}}}", concept.name, 1)
            (wanted if sign == "+" else unwanted).append(concept)
        try:
            request = understand(text, None, None, None, READER, FACTS)
        except ConditionError:
            continue
        followed += 1
        shown = {*request.reading.asked, *request.reading.probable}
        for concept in wanted:
            kept = set(concept.asks) <= shown or (concept.with_rhythm and request.reading.rates)
            assert kept and not set(concept.asks) & set(request.reading.excluded), text
        for concept in unwanted:
            assert not set(concept.asks) & {*shown, *request.condition.statements}, text
    assert followed >= 15, "most sentences are followed"


ELLIPSES = (
    "{} is not excluded, {} is",
    "{} is not excluded, {} is not",
    "{} is excluded, so is {}",
    "{} is absent. So is {}",
    "{} is excluded, as is {}",
    "{} is absent. {} also",
    "{} was ruled out, {} was as well",
    "{} is absent, {} may be",
    "{} isn't present, but {} is",
)
"""The second statement repeats a verb of the first: there or not, a reader must find out which."""


@pytest.mark.parametrize("sentence", ELLIPSES)
def test_a_clause_that_borrows_its_verb_is_refused(sentence: str) -> None:
    for first, second in (("atrial fibrillation", "left bundle branch block"), ("LVH", "PVCs")):
        with pytest.raises(ConditionError):
            understand(sentence.format(first, second), None, None, None, READER, FACTS)
