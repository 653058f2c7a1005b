"""Reports in the words of a fixed table: English and German, certain, probable, possible and denied."""

from __future__ import annotations

import pytest

from tasks.conditions.report_findings import findings_of, in_order, phrases


@pytest.mark.parametrize(
    ("report", "findings"),
    [
        ("sinus rhythm. normal ecg.", ()),
        ("Inferiorer Infarkt, Alter unbest.", ("changes of uncertain age", "inferior wall")),
        (
            "qrs(t) abnorm    anteroseptaler infarkt     wahrscheinlich alt",
            ("probable old changes", "anteroseptal wall"),
        ),
        ("old inferior infarct cannot be excluded.", ("old changes", "possible inferior wall")),
        ("left anterior fascicular block. linksanteriorer hemiblock", ()),
        ("ST segments are depressed in I, aVL, V5,6.", ("lateral leads", "ST depression")),
        ("q waves in ii, iii, avf consistent with old inferior infarct", ("inferior leads", "Q waves")),
        ("t abnorm in anterioren ableitungen", ("anterior leads",)),
        ("st & t abnorm, wahrscheinlich anterolaterale ischämie oder linksbelastung", ("probable anterolateral wall",)),
        ("verzögerte R-Progression ueber vorderwand", ("anterior wall", "poor R-wave progression")),
        ("no early repolarisation, no inferior infarction", ()),
        ("possible early repolarization", ("possible early repolarisation",)),
        (
            "bifaszikulÄrer block. tachykardes vorhofflimmern",
            ("bifascicular conduction delay", "rapid ventricular response"),
        ),
    ],
)
def test_reports(report: str, findings: tuple[str, ...]) -> None:
    assert set(findings) <= set(findings_of(report)) and (findings or not findings_of(report))


def test_every_phrase_is_read_as_itself_and_names_no_diagnosis() -> None:
    assert len(phrases()) > 30
    for phrase in phrases():
        assert findings_of(phrase) == (phrase,)
        assert findings_of(f"possible {phrase}") == (f"possible {phrase}",)
        assert not any(word in phrase for word in ("infarct", "ischaemia", "hypertrophy", "block"))


def test_the_same_findings_make_the_same_sentence_and_the_surest_mention_counts() -> None:
    one = findings_of("possible inferior infarct. ST elevation. inferior infarct")
    assert one == findings_of("inferior infarct. ST elevation") == in_order(reversed(one))
