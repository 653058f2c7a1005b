from __future__ import annotations

import pytest

from tasks.knowledge.audit import Verdict
from tasks.knowledge.claims import Claim
from tasks.knowledge.narrative import LONGEST, checked_sentences, narrative, says_nothing_else
from tasks.knowledge.report_lines import Verbatim

WIDE = Claim(feature="qrs_ms", comparison="above", value=120, unit="ms")
FAST = Claim(feature="heart_rate_bpm", comparison="above", value=100, unit="bpm")
NO_P = Claim(feature="p_present", comparison="absent", value=0)
NOTHING = Verbatim([])
CONDITION = "complete left bundle branch block"


def verdict(claim: Claim, support: float = 0.95, elsewhere: float = 0.1) -> Verdict:
    return Verdict(claim, "model", support, support - 0.1, elsewhere, kept=True)


@pytest.mark.parametrize(
    ("sentence", "sound"),
    [
        ("Most recordings show QRS duration above 120 ms.", True),
        ("In complete left bundle branch block, QRS duration above 120 ms is typical.", True),
        ("QRS duration above 120 ms and heart rate above 100 bpm are often seen.", True),
        ("Most recordings show a QRS duration above 120.", False),  # not in its fixed words
        ("Most recordings show QRS duration above 1205 ms.", False),
        ("QRS duration above 120 ms, never less.", False),
        ("QRS duration above 120 ms in 95 of the recordings.", False),
        ("QRS duration above 120 ms predicts sudden death.", False),
        ("Most recordings of Mr Smith show QRS duration above 120 ms.", False),
        ("Give amiodarone.", False),
    ],
)
def test_a_sentence_says_its_claims_and_nothing_else(sentence: str, sound: bool) -> None:
    claims = [claim for claim in (WIDE, FAST) if claim.line({})[:5].lower() in sentence.lower()] or [WIDE]
    assert says_nothing_else(sentence, claims, CONDITION, {}) is sound


def test_sentences_with_a_refuted_claim_or_a_reports_words_are_dropped() -> None:
    proposed = [
        ("Most recordings show QRS duration above 120 ms", (WIDE,)),
        ("Most recordings show QRS duration above 120 ms", (WIDE,)),
        ("P wave absent is typical", (NO_P,)),
        ("In these recordings heart rate above 100 bpm is often found", (FAST,)),
    ]
    kept = {WIDE: verdict(WIDE), FAST: verdict(FAST)}
    report = Verbatim(["In these recordings heart rate above 100 bpm, he wrote"])
    assert checked_sentences(proposed, kept, CONDITION, {}, report) == [
        ("Most recordings show QRS duration above 120 ms.", (WIDE,))
    ]
    assert len(checked_sentences(proposed, kept, CONDITION, {}, NOTHING)) == 2
    endless = [(" ".join(["most recordings show"] * 40) + " QRS duration above 120 ms", (WIDE,))]
    assert checked_sentences(endless, kept, CONDITION, {}, NOTHING) == []


def test_a_narrative_drops_what_would_repeat_a_report() -> None:
    stated = [verdict(WIDE), verdict(FAST, elsewhere=0.5)]
    whole = narrative(CONDITION, {}, stated, NOTHING)
    assert "QRS duration above 120 ms, heart rate above 100 bpm" in whole and len(whole.split()) <= LONGEST
    report = Verbatim(["QRS duration above 120 ms, heart rate above 100 bpm"])
    assert report.repeated(whole)
    shorter = narrative(CONDITION, {}, stated, report)
    assert "QRS duration above 120 ms" in shorter and "heart rate" not in shorter and report.repeated(shorter) is None
