"""Every statement of the vocabulary, whichever source makes it, can be asked for in words, and is not when negated."""

from __future__ import annotations

import re

import pytest

from tasks.conditions.condition import rhythm_of
from tasks.conditions.reading.reader import StatementReader
from tasks.conditions.request import ConditionError, NotUnderstoodError, understand
from tasks.conditions.stated_rhythm import stated_rhythm
from tasks.knowledge.vocabulary import vocabulary
from tests.tasks.conditions.request_tables import FACTS
from warehouse.statements import statements

ALL = {
    code: {"description": one.description, "superclass": one.superclass, "kind": one.kind}
    for code, one in statements().by_code.items()
}
READER = StatementReader(ALL)
NEGATIONS = ("no {}", "{} is absent", "rule out {}", "sinus rhythm, {} not seen")


def test_every_statement_is_asked_for_by_its_description_and_its_spellings() -> None:
    asked = 0
    for code, facts in ALL.items():
        for wording in {str(facts["description"]), *vocabulary().of_sources.get(code, ())}:
            request = understand(wording, None, None, None, READER, ALL)
            assert request.reading.asked == (code,) and code in request.condition.statements, wording
            asked += 1
    assert asked > 2 * len(ALL)


@pytest.mark.parametrize("form", NEGATIONS)
def test_none_is_asked_for_by_its_negation(form: str) -> None:
    excluded = 0
    for code in ALL:
        for wording in vocabulary().of_sources.get(code, ()):
            try:
                request = understand(form.format(wording), None, None, None, READER, ALL)
            except ConditionError:
                continue
            shown = {*request.reading.asked, *request.reading.probable, *request.condition.statements}
            assert code not in shown and code in request.reading.excluded, wording
            excluded += 1
    assert excluded > len(vocabulary().of_sources)


@pytest.mark.parametrize(
    ("text", "asked", "excluded"),
    [
        ("Wenckebach, no 3rd degree AV block", {"MOBITZI"}, {"3AVB"}),
        ("sinus rhythm, no second degree AV block", {"SR"}, {"2AVB", "MOBITZI", "MOBITZII", "AVB21", "HAVB"}),
        ("sinus rhythm, no AF", {"SR"}, {"AFIB", "AFAFL", "PAF", "RAF", "CAF"}),
        ("VT", {"VTACH"}, set()),
        ("paced rhythm, no ventricular tachycardia", {"PACE"}, {"VTACH", "PVT", "PVTACH"}),
        ("junctional rhythm with bradycardia", {"AVJR"}, set()),
    ],
)
def test_what_is_broader_is_excluded_with_what_is_narrower(text: str, asked: set[str], excluded: set[str]) -> None:
    reading = understand(text, None, None, None, READER, ALL).reading
    assert ({*reading.asked}, {*reading.excluded}) == (asked, excluded)


@pytest.mark.parametrize("text", ["AVNRT, no SVT", "Mobitz II, no AV block", "paroxysmal AF, sinus rhythm"])
def test_what_contradicts_a_broader_statement_is_refused(text: str) -> None:
    with pytest.raises(ConditionError, match="contradictory"):
        understand(text, None, None, None, READER, ALL)


def test_what_recordings_lack_is_refused() -> None:
    for text in ("ventricular tachycardia", "Brugada pattern"):
        with pytest.raises(NotUnderstoodError, match="cannot be asked for"):
            understand(text, None, None, None, StatementReader(FACTS), FACTS)


def test_narrower_statements_imply_the_rhythm_of_broader_ones() -> None:
    for narrow, broad in (("PAF", "AFIB"), ("VBIG", "BIGU"), ("JTACH", "SVTAC"), ("VPP", "PACE")):
        assert (rhythm_of([narrow]), stated_rhythm([narrow])) == (rhythm_of([broad]), stated_rhythm([broad]))
        assert re.fullmatch(r"\w+", narrow) and broad in statements().with_broader([narrow])
    assert {more for one in statements().by_code.values() for more in one.broader} <= statements().by_code.keys()
