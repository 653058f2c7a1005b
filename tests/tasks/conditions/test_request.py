"""A request: its ranges, what is added to it, what is printed, and the text that the model reads."""

from __future__ import annotations

import math

import pytest

from models.rhythm.drawn import FASTEST_BPM, SLOWEST_BPM
from tasks.conditions.coded_views import HEART_AXES, INFARCTION_STAGES
from tasks.conditions.condition import Condition
from tasks.conditions.contradictions import RATES
from tasks.conditions.reading.reader import StatementReader
from tasks.conditions.request import RATE_BPM, ConditionError, UnderstoodRequest, understand
from tests.tasks.conditions.request_tables import FACTS

READER = StatementReader(FACTS)


def ask(text: str, age: float | None = None, sex: str | None = None, rate: float | None = None) -> UnderstoodRequest:
    return understand(text, age, sex, rate, READER, FACTS)


def test_options_and_words_make_one_condition() -> None:
    condition = ask("AF at 80 bpm", 104, "Female", 80).condition
    assert (condition.statements, condition.heart_rate_bpm, condition.sex) == (("AFIB",), 80, "female")
    assert condition.age_years == 90, "ages above 89 are one"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"age": 121}, "age 121 is not between 0 and 120 years"),
        ({"age": -1}, "age -1 is not between"),
        ({"age": math.nan}, "age nan is not between"),
        ({"sex": "F"}, "sex 'f' is neither 'female' nor 'male'"),
        ({"rate": 0}, "heart rate 0 is not between 20 and 250"),
        ({"rate": 250}, "a heart rate of 250 bpm and .*30 to 220 bpm"),
        ({"text": "atrial flutter at 260 bpm"}, "a heart rate of 260 bpm and atrial flutter .25 to 250 bpm."),
        ({"text": "  "}, "the text of the request is empty"),
        ({"text": "AF " * 200}, "600 characters; say it in at most 500"),
        ({"text": "..."}, "says nothing of an ECG"),
        ({"text": "acute inferior infarction, old anterior infarction"}, "one infarction stage"),
    ],
)
def test_impossible_requests_get_one_clear_line(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ConditionError, match=says):
        ask(**({"text": "sinus rhythm"} | arguments))  # type: ignore[arg-type]


def test_every_heart_rate_that_can_be_asked_for_can_be_drawn() -> None:
    assert RATE_BPM == (SLOWEST_BPM, FASTEST_BPM)
    assert all(rate.low >= SLOWEST_BPM and rate.high <= FASTEST_BPM for rate in RATES.values())


def test_a_request_that_only_excludes_gets_a_normal_ecg_and_says_so() -> None:
    request = ask("no ST elevation, without left bundle branch block")
    assert request.condition.statements == request.added == ("NORM", "SR")
    assert request.lines(FACTS) == [
        "asked: nothing by name",
        "excluded: ST elevation, left bundle branch block (STE_, ANEUR, CLBBB, ILBBB)",
        "added: normal tracing (NORM), regular sinus rhythm (SR): so that nothing excluded is shown",
    ]


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("rate 45", ("NORM", "SBRAD")),
        ("heart rate 120", ("NORM", "STACH")),
        ("sinus rhythm without ST elevation", ("NORM",)),
        ("LBBB without ST elevation", ()),
        ("sinus rhythm, not normal", ()),
    ],
)
def test_only_what_normal_ecgs_may_show_becomes_a_normal_ecg(text: str, added: tuple[str, ...]) -> None:
    assert ask(text).added == added


def test_the_text_that_the_model_reads_is_written_from_what_was_understood() -> None:
    request = ask("72F, AF w/ RVR, probable old inferior infarct, frequent PVCs, LAD, no LBBB")
    assert request.condition == Condition(
        text=request.condition.text,
        statements=request.condition.statements,
        age_years=72,
        sex="female",
        heart_rate_bpm=120,
        likelihoods=request.condition.likelihoods,
        heart_axis="LAD",
        infarction_stage="Stadium III",
        extra_beats="ventricular",
    )
    assert dict(zip(request.condition.statements, request.condition.likelihoods, strict=True)) == {
        "AFIB": None,
        "PVC": None,
        "IMI": 50.0,
    }
    assert "bundle" not in request.condition.text and "probable inferior infarct" in request.condition.text
    assert "not drawn: 'frequent' (statements have no degrees)" in request.lines(FACTS)


def test_an_axis_that_is_excluded_is_not_left_open() -> None:
    request = ask("LVH, no left axis deviation")
    assert request.condition.heart_axis == "MID"
    assert request.lines(FACTS)[1:] == ["excluded: left axis", "numbers: normal heart axis"]
    with pytest.raises(ConditionError, match="not to be normal"):
        ask("LVH, no normal axis")


def test_every_written_condition_reads_back() -> None:
    for code in FACTS:
        for likelihood in (None, 15.0, 50.0):
            text = Condition("", (code,), None, None, None, (likelihood,)).written(FACTS).text
            reading = READER.read(text)
            assert (reading.probable if likelihood else reading.asked) == (code,), text
            assert not (reading.not_understood or reading.ambiguous), text
    for axis in HEART_AXES:
        assert READER.read(Condition("", ("IMI",), None, None, None, heart_axis=axis).written(FACTS).text).axes == (
            axis,
        )
    for stage in INFARCTION_STAGES:
        written = Condition("", ("IMI", "SR"), None, None, None, infarction_stage=stage).written(FACTS)
        assert READER.read(written.text).stages == {"IMI": stage}


def test_statements_that_the_model_does_not_know_are_refused() -> None:
    known = {code: FACTS[code] for code in ("SR", "NORM", "AFIB")}
    with pytest.raises(ConditionError, match="'LBBB'; the model's recordings do not hold it"):
        understand("AF with LBBB", None, None, None, StatementReader(known), known)
    assert understand("AF without LBBB", None, None, None, StatementReader(known), known).condition.statements == (
        "AFIB",
    )
