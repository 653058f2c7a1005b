from __future__ import annotations

import numpy as np
import pytest

from tasks.knowledge.report_lines import ReportLines, Verbatim, lines_of


@pytest.mark.parametrize(
    "sentence",
    [
        "compared with tracing of 9:9:91",
        "seen by dr miller on the ward",
        "reported to Miller at once",
        "discharged 2004-03-11 in good health",
        "call 555 0100 about results",
        "write to jane@clinic.example today",
        "signed by the head of department",
        "read by the cardiologist on call",
        "befundet von der abteilung",
        "rate 72 per minute",
        "unconfirmed report",
        "one two three four five six seven eight nine ten eleven twelve thirteen",
    ],
)
def test_what_may_identify_is_no_line(sentence: str) -> None:
    assert lines_of(f"Sinus rhythm. {sentence}.") == {"sinus rhythm"}


def test_leads_are_not_taken_for_numbers() -> None:
    assert lines_of("T waves are flat in v5,6 and aVL. 1st degree AV block.") == {
        "t waves are flat in v5,6 and avl",
        "1st degree av block",
    }


def test_only_what_enough_patients_share_is_kept() -> None:
    reports = ["Sinus rhythm. The goldfish sang."] * 4 + ["Sinus rhythm."] * 4
    one_patient_often = ReportLines(reports, np.array([0, 0, 0, 0, 1, 2, 3, 4]), min_patients=2)
    assert [line for line, _ in one_patient_often.distinctive(np.array([0]), 5, by=-1)] == ["sinus rhythm"]


def test_distinctive_lines_are_those_that_others_lack() -> None:
    reports = ["Sinus rhythm. Left axis deviation."] * 10 + ["Sinus rhythm."] * 10 + [""] * 5
    lines = ReportLines(reports, np.arange(25), min_patients=5)
    assert lines.distinctive(np.arange(8), most=3) == [("left axis deviation", 1.0)]
    assert lines.distinctive(np.arange(20, 25), most=3) == []


def test_seven_words_in_a_row_of_a_report_are_found() -> None:
    verbatim = Verbatim(["The old man from the harbour fainted twice, he says."], ["man from the harbour"])
    assert verbatim.repeated("As noted, the old man from the harbour fainted twice!") is None  # six words and a phrase
    assert verbatim.repeated("the OLD man from the harbour fainted twice; he says") == "the old … fainted twice he says"
    assert Verbatim(["a b c d e f g"]).repeated("x a b c d e f") is None
    assert Verbatim(["a b c d e f g"]).repeated("x a b c d e f g") == "a b c d e f g"
