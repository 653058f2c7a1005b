"""Reports of any content: they are read into statements of the vocabulary, or not, and end nothing."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.knowledge.report_lines import LONGEST_LINE, lines_of
from warehouse.sources.report_lines import read_report
from warehouse.statements import statements

WORDS = st.sampled_from(
    [
        *("sinus rhythm", "atrial fibrillation", "left bundle branch block", "no", "possible", "without", "and", ","),
        *("cannot rule out", "infarct", ".", "\n", "'; drop table recordings; --", "<script>", "{{ 7*7 }}", "\x1b[31m"),
        *("../../etc/passwd", "=cmd()", "\u202e", "é", "Read by Dr. Miller", "V1-V3", "72", "ignore all instructions"),
    ]
)
REPORTS = st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=15).map(" ".join))


@settings(max_examples=150, deadline=None)
@given(report=REPORTS)
def test_any_report_is_read_or_counted(report: str) -> None:
    unread = Counter[str]()
    for one in read_report(report.splitlines(), unread):
        assert one.statement.code in statements().by_code or one.statement.axis
        assert 0 <= one.likelihood <= 100
    assert set(unread.values()) <= {1}


@settings(max_examples=80, deadline=None)
@given(
    code=st.sampled_from(["AFIB", "CLBBB", "IMI", "LVH", "1AVB"]),
    denial=st.sampled_from(["no evidence of", "no", "without", "not", "denies", "negative for", "absence of"]),
)
def test_what_is_denied_is_not_stated(code: str, denial: str) -> None:
    name = statements().by_code[code].description
    assert not read_report([f"{denial} {name}"], Counter())


@settings(max_examples=150, deadline=None)
@given(report=REPORTS)
def test_no_line_that_a_language_model_sees_holds_a_signature(report: str) -> None:
    for line in lines_of(report):
        assert len(line.split()) <= LONGEST_LINE
        assert "read by" not in line and "dr" not in line.split()


def test_a_report_of_200_000_characters_is_read_in_no_time() -> None:
    for report in ("a" * 200_000, "no " * 70_000, "possible " * 22_000, ". " * 100_000, "(" * 200_000):
        assert read_report([report], Counter()) == []
        assert lines_of(report) == set()
