"""Counting of statements read against statements given, where the truth is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.reports import checks, count
from warehouse.sources.record import SourceRecord

BLANK = SourceRecord("1", "1", None, None, "", (), (), 10)


def test_precision_and_recall_count_statements_and_leave_out_codes_that_annotators_added() -> None:
    counts = count(
        [
            replace(BLANK, text="Sinus rhythm. Possible LVH. EDIT: AMI 100", statements=(("SR", 0.0), ("LVH", 50.0))),
            replace(BLANK, text="Vorhofflimmern", statements=(("AFIB", 0.0), ("NDT", 100.0))),
            replace(BLANK, text="Sinus tachycardia", statements=(("SR", 0.0),)),
            BLANK,
        ]
    )
    found = {check.name: check.value for check in checks(counts)}
    assert counts.reports == 3
    assert found["all statements: precision"] == pytest.approx(3 / 4)
    assert found["all statements: recall"] == pytest.approx(3 / 5)
    assert found["rhythms: precision"] == pytest.approx(2 / 3)
    assert found["statements a report doubts that PTB-XL doubts too"] == 1.0
