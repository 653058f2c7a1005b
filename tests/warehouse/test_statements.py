"""The vocabulary: each code of a source means one statement, and lines of machines are read with their doubt."""

from __future__ import annotations

from collections import Counter

import pytest

from models.simulator.rhythm_series import RHYTHMS
from models.superclasses import SUPERCLASSES
from warehouse.statements import Statement, normalised, statements, superclasses_of

VOCABULARY = statements()
EVERYTHING = [*VOCABULARY.by_code.values(), *VOCABULARY.axes.values()]


@pytest.mark.parametrize("codes", ["snomed", "aha", "aecg"])
def test_a_code_means_one_statement(codes: str) -> None:
    counts = Counter(code for one in EVERYTHING for code in getattr(one, codes))
    assert len(counts) > 20
    assert [code for code, count in counts.items() if count > 1] == []


def test_a_phrase_means_one_statement() -> None:
    meant = Counter(phrase for one in EVERYTHING for phrase in {*map(normalised, (one.description, *one.phrases))})
    assert [phrase for phrase, count in meant.items() if count > 1] == []
    for one in EVERYTHING:
        for phrase in (one.description, *one.phrases):
            assert VOCABULARY.of_phrase(phrase.upper()) is one


def test_statements_are_of_a_kind() -> None:
    for one in VOCABULARY.by_code.values():
        assert one.kind in ("diagnostic", "form", "rhythm", "technical"), one
        assert one.superclass in ("", *SUPERCLASSES), one
        assert one.kind == "diagnostic" or not one.superclass, one
        assert one.rhythm in ("", *RHYTHMS), one
        assert one.description and one.code not in VOCABULARY.axes


def test_one_diagnosis_in_every_vocabulary() -> None:
    block = VOCABULARY.by_code["CRBBB"]
    found: list[Statement | None] = [
        VOCABULARY.of_snomed("713427006"),
        VOCABULARY.of_snomed("59118001"),
        VOCABULARY.of_aecg("MDC_ECG_BEAT_RBB_BLK_COMP"),
        VOCABULARY.of_phrase("right-bundle branch BLOCK"),
        VOCABULARY.of_label(" CRBBB"),
        VOCABULARY.of_label("713427006"),
    ]
    assert found == [block] * len(found)
    stated = VOCABULARY.of_aha("106")
    assert stated and (stated.statement, stated.likelihood) == (block, 100.0)
    assert VOCABULARY.of_snomed("1") is VOCABULARY.of_aha("9999") is VOCABULARY.of_phrase("") is None


@pytest.mark.parametrize(
    ("code", "statement", "likelihood"),
    [
        ("60", "PVC", 100.0),
        ("60+310", "PVC", 100.0),
        ("60+341", "VBIG", 100.0),
        ("145+362", "STD_", 100.0),
        ("145+363+312", "STE_", 15.0),
        ("142+315", "LVH", 50.0),
        ("148+301", "LNGQT", 15.0),
    ],
)
def test_modifiers_of_aha_codes(code: str, statement: str, likelihood: float) -> None:
    stated = VOCABULARY.of_aha(code)
    assert stated and (stated.statement.code, stated.likelihood) == (statement, likelihood)


@pytest.mark.parametrize(
    ("line", "stated", "whole"),
    [
        ("Sinus rhythm", {"SR": 100}, True),
        ("SINUS RHYTHM.", {"SR": 100}, True),
        ("Sinus rhythm with PAC(s)", {"SR": 100, "PAC": 100}, True),
        ("Sinus rhythm with 1st degree A-V block", {"SR": 100, "1AVB": 100}, True),
        ("RBBB with left anterior fascicular block", {"CRBBB": 100, "LAFB": 100}, True),
        ("Possible left atrial abnormality", {"LAO/LAE": 15}, True),
        ("Probable left ventricular hypertrophy", {"LVH": 50}, True),
        ("Possible left ventricular hypertrophy and left atrial enlargement", {"LVH": 15, "LAO/LAE": 15}, True),
        ("Sinus rhythm with possible anterior infarct", {"SR": 100, "AMI": 15}, True),
        ("Consider inferior infarct", {"IMI": 15}, True),
        ("Cannot rule out anterior infarct - age undetermined", {"AMI": 15}, True),
        ("Inferior infarct, old", {"IMI": 100}, True),
        ("Left axis deviation", {"LAD": 100}, True),
        ("Atrial fibrillation with something unheard of", {"AFIB": 100}, False),
        ("No evidence of atrial fibrillation", {}, False),
        ("Sinus rhythm without left bundle branch block", {}, False),
        ("Sinus rhythm has replaced atrial fibrillation", {}, False),
        ("Left bundle branch block is no longer present", {}, False),
        ("Compared to prior, atrial fibrillation is not present", {}, False),
        ("Unlikely atrial flutter", {}, False),
        ("x" * 10_000, {}, False),
        ("", {}, False),
    ],
)
def test_lines_of_machines(line: str, stated: dict[str, float], whole: bool) -> None:
    found, understood = VOCABULARY.read_line(line)
    assert ({one.statement.code: one.likelihood for one in found}, understood) == (stated, whole)


def test_superclasses_are_in_their_order_and_named_once() -> None:
    assert superclasses_of(["LVH", "IMI", "AMI", "AFIB", "XYZ"]) == ("MI", "HYP")
