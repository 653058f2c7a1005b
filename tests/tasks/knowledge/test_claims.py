from __future__ import annotations

import pytest
from pydantic import ValidationError

from tasks.knowledge.claims import Claim, candidate_claims, parse_claim

NAMES = {"SR": "sinus rhythm", "AFIB": "atrial fibrillation"}


def test_every_candidate_is_said_and_read_back_unchanged() -> None:
    candidates = list(candidate_claims(("SR", "AFIB")))
    lines = [claim.line(NAMES) for claim in candidates]
    assert len(set(lines)) == len(candidates) > 100
    assert [parse_claim(line, NAMES) for line in lines] == candidates


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- QRS duration above 120 ms.", Claim(feature="qrs_ms", comparison="above", value=120, unit="ms")),
        ("2) qrs duration IS above 120ms", Claim(feature="qrs_ms", comparison="above", value=120, unit="ms")),
        (
            "ST level below −0.1 mV in lead avf",
            Claim(feature="st_level_mv", lead="aVF", comparison="below", value=-0.1, unit="mV"),
        ),
        ("p wave ABSENT", Claim(feature="p_present", comparison="absent", value=0)),
        ("Together with sinus rhythm", Claim(feature="statement:SR", comparison="present", value=1)),
        ("RR irregularity above 0.1", Claim(feature="rr_irregularity", comparison="above", value=0.1)),
    ],
)
def test_spelling_bullets_and_minus_signs_do_not_matter(line: str, expected: Claim) -> None:
    assert parse_claim(line, NAMES) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "The QRS is wide.",
        "QRS duration above 0.12 s",  # wrong unit
        "QRS duration above 120",  # no unit
        "QRS duration above 12000 ms",  # not plausible
        "QRS duration above 120 ms in lead V1",  # not measured per lead
        "ST level above 0.1 mV",  # measured per lead
        "ST level above 0.1 mV in lead V9",
        "heart rate between 100 and 60 bpm",  # reversed
        "together with ventricular fibrillation",  # no such statement
        "heart rate above 100 bpm; patient Jane Doe",
    ],
)
def test_what_is_not_a_claim_is_not_read_as_one(line: str) -> None:
    assert parse_claim(line, NAMES) is None


def test_a_claim_about_an_unknown_feature_is_refused() -> None:
    with pytest.raises(ValidationError, match="not a measured feature"):
        Claim(feature="mood", comparison="above", value=1)
