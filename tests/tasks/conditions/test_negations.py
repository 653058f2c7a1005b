"""Sentences built from what they mean: a negation is understood or refused, and never turned round.

Every form says of two statements X and Y which are shown (+) and which are not (-). The forms are those of English
and of shorthand, not those of the reader. Where careful readers differ on a statement it has no sign (0): then only
the other one is tested.
"""

from __future__ import annotations

import itertools
from functools import cache

import pytest

from tasks.conditions.reading.reader import StatementReader
from tasks.conditions.request import ConditionError, understand
from tests.tasks.conditions.request_tables import FACTS

READER = StatementReader(FACTS)
NAMES = {
    "AFIB": "AFib",
    "CLBBB": "LBBB",
    "RVH": "right ventricular hypertrophy",
    "PVC": "PVCs",
    "STD_": "ST depression",
    "SR": "sinus rhythm",
    "IMI": "inferior MI",
    "LAO/LAE": "LAE",
}
BEFORE = ("no", "not", "without", "no evidence of", "denies", "negative for", "rule out", "r/o", "absent", "never",
          "no sign of", "does not show", "not any", "lack of", "free of", "no longer", "excludes",
          "unlikely")  # fmt: skip
AFTER = ("no", "not", "absent", "negative", "none", "denied", "ruled out", "not seen", "not confirmed", "not proven",
         "never seen", "not present", "lacking", "no longer", "r/o", "excluded", "unlikely", "not on this ECG",
         "not visible at all", "not found", "not noted", "not evident", "has resolved", "is missing")  # fmt: skip
SIGNS = ("-", "(-)", " -", ": -")
STRONG = ("; ", ". ", "\n", "! ")
JOINING = (": ", " - ", " ", " = ", ", ", " (")


def _closed(text: str) -> str:
    return text + ")" * (text.count("(") - text.count(")"))


@cache
def forms() -> tuple[tuple[str, str, str], ...]:
    """Sentence with {X} and {Y}, and what it says of X and of Y: "+", "-" or "0"."""
    made: list[tuple[str, str, str]] = []
    for word, strong in itertools.product(BEFORE, STRONG):
        made += [
            (f"{word} {{X}}{strong}{{Y}}", "-", "+"),
            (f"{{X}}{strong}{word} {{Y}}", "+", "-"),
            (f"{word}: {{X}}{strong}{{Y}}", "-", "+"),
            (f"{word} - {{X}}{strong}{{Y}}", "-", "+"),
            (f"({word} {{X}}){strong}{{Y}}", "-", "+"),
            (f"{word} ({{X}}){strong}{{Y}}", "-", "+"),
        ]
    for word in BEFORE:
        # After a weak separator the second statement is open, but the first is not.
        made += [(f"{word} {{X}}{weak}{{Y}}", "-", "0") for weak in (", ", " and ", " or ", " - ", " / ")]
        made += [
            (f"{{X}}, {word} {{Y}}", "+", "-"),
            (f"{{X}} but {word} {{Y}}", "+", "-"),
            (f"{word} {{X}} but {{Y}}", "-", "+"),
            (f"({word} {{X}}) {{Y}}", "-", "+"),
            (f"{{X}} ({word} {{Y}})", "+", "-"),
            (f"{word} {{X}}, {word} {{Y}}", "-", "-"),
            (f"{word} {{X}} or {{Y}}", "-", "-"),
        ]
    for word, joined, strong in itertools.product(AFTER, JOINING, STRONG):
        if not (joined == ", " and strong == "\n"):
            made.append((_closed(f"{{X}}{joined}{word}") + f"{strong}{{Y}}", "-", "+"))
        made.append((f"{{X}}{strong}" + _closed(f"{{Y}}{joined}{word}"), "+", "-"))
    for word, joined in itertools.product(AFTER, (": ", " - ", " ", " = ", " (")):
        denied_x, denied_y = (_closed(f"{{{one}}}{joined}{word}") for one in "XY")
        apart = joined if joined != " (" else " "
        made += [(f"{denied_x}{strong}{{Y}}{apart}yes", "-", "+") for strong in (", ", "; ", " ")]
        made += [(f"{{X}}{apart}yes{strong}{denied_y}", "+", "-") for strong in (", ", "; ", " ")]
        made += [(f"{{X}}{link}{denied_y}", "0", "-") for link in (", ", " and ", " with ", " - ", " ", " / ")]
        made += [
            (f"{denied_x}, {{Y}}", "-", "+"),
            (f"{denied_x}, {denied_y}", "-", "-"),
            (f"{denied_x} but {{Y}}", "-", "+"),
            (f"{denied_x}, {{Y}}{joined if joined != ' (' else ' '}present", "-", "+"),
            (f"{denied_x} {{Y}}{joined if joined != ' (' else ' '}present", "-", "+"),
            (f"{{X}}{joined if joined != ' (' else ' '}present, {denied_y}", "+", "-"),
            (f"{{X}}{joined if joined != ' (' else ' '}present {denied_y}", "+", "-"),
            (f"{{X}}, {{Y}}{joined}{_closed('(' + word)[1:] if joined == ' (' else word}", "0", "-"),
        ]
    for sign in SIGNS:
        made += [(f"{{X}}{sign}, {{Y}}+", "-", "+"), (f"{{Y}}, {{X}}{sign}", "-", "+")]
    made += [(f"{{X}}{sign} {{Y}}", "-", "+") for sign in ("-", "(-)", " (-)")]
    made += [(f"{sign}{{X}}, {{Y}}", "-", "+") for sign in ("-", "!", "~", "¬", "–")]
    made += [(f"{{Y}}, {{X}} {mark}", "-", "+") for mark in ("(-)", "✗", "(neg)", "0", "n")]
    for word in ("except", "except for", "other than", "but", "apart from"):
        made += [(f"any rhythm {word} {{X}}, {{Y}}", "-", "0"), (f"anything {word} {{X}}; {{Y}}", "-", "+")]
    for bound in ("no more than 100 bpm", "not over 100 bpm", "not male", "not 70 years old", "no QTc above 500 ms"):
        made += [(f"{bound}, {{X}}; {{Y}}", "+", "+"), (f"{{X}}, {bound}, {{Y}}", "+", "+")]
    for degree in ("new", "frequent", "significant", "definite", "typical"):
        made += [(f"{{X}} not {degree}, {{Y}}", "0", "+"), (f"{{X}} is not {degree}; {{Y}}", "0", "+")]
    made += [(f"{{X}} present and {{Y}} {word}", "+", "-") for word in AFTER]
    made += [(f"{{X}} {word} as well as {{Y}}; RBBB", "-", "-") for word in ("excluded", "absent", "ruled out")]
    made += [(f"{{X}} {word} and {{Y}} present", "-", "+") for word in AFTER]
    made += [(f"{{X}} is {word}, {{Y}} is not", "-", "+") for word in ("absent", "excluded", "ruled out")]
    made += [("{X} -; {Y} +", "-", "+"), ("{X} - {Y} +", "-", "+")]
    made += [("{X}: - {Y}: +", "-", "+"), ("{X} was previously present, now {Y}", "-", "+")]
    made += [("{X}? No, {Y}", "-", "+"), ("No, not {X}; {Y}", "-", "+"), ("{X}? no, no {Y}", "-", "-")]
    made += [("not {X}, it's {Y}", "-", "+"), ("instead of {X}, {Y}", "-", "+"), ("{Y} rather than {X}", "-", "+")]
    return tuple(dict.fromkeys(made))


def _pairs() -> list[tuple[str, str]]:
    exclusive = ({"AFIB", "SR"},)
    return [pair for pair in itertools.permutations(NAMES, 2) if set(pair) not in exclusive]


def _turned(sentence: str, of_x: str, of_y: str, codes: tuple[str, str]) -> bool | None:
    """Whether a sentence is turned round; None if it is refused."""
    text = sentence.format(X=NAMES[codes[0]], Y=NAMES[codes[1]])
    try:
        request = understand(text, None, None, None, READER, FACTS)
    except ConditionError:
        return None
    shown = set(request.reading.asked) | set(request.reading.probable)
    right = {"+": lambda code: code in shown and code not in request.reading.excluded,
             "-": lambda code: code not in shown and code not in request.condition.statements,
             "0": lambda code: True}  # fmt: skip
    return not (right[of_x](codes[0]) and right[of_y](codes[1]))


def test_a_negation_is_understood_or_refused_and_never_turned_round() -> None:
    pairs, turned, understood, tried = _pairs(), [], 0, 0
    for at, (sentence, of_x, of_y) in enumerate(forms()):
        for step in range(2):
            codes = pairs[(7 * at + 19 * step) % len(pairs)]
            one = _turned(sentence, of_x, of_y, codes)
            tried, understood = tried + 1, understood + (one is False)
            if one:
                turned.append((sentence, codes))
    assert not turned, f"{len(turned)} of {tried}: {turned[:10]}"
    assert understood > tried // 3, "not everything is refused"


@pytest.mark.parametrize(
    "sentence", ["{X}: no, {Y}: no", "no {X}; {Y}", "{X} denied, {Y}", "{X} not confirmed; {Y}", "{X} (absent), {Y}"]
)
def test_plain_forms_are_not_refused(sentence: str) -> None:
    of_y = "-" if sentence.endswith("no") else "+"
    assert _turned(sentence, "-", of_y, ("PVC", "CLBBB")) is False
