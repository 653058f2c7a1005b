"""Writing an entry: the language model proposes findings, the audit decides which of them are told.

The model sees only aggregates (medians and shares) and answers in claims of one fixed form. The narrative is made from
the claims that survived, in the model's order, completed with the most distinctive claims of the evidence itself; the
model's own sentences are never stored, so a narrative holds nothing that was not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from tasks.knowledge.asking import Respondent
from tasks.knowledge.audit import Verdict, audit
from tasks.knowledge.claims import FEATURES, LEAD_GROUPS, P_WAVE, STATEMENT_PREFIX, Claim, candidate_claims, parse_claim
from tasks.knowledge.evidence import Distribution, Evidence
from tasks.knowledge.prompts import PROMPT_VERSION, messages
from tasks.settings import KnowledgeSettings

SHOWN_FEATURES: Final = 6
"""Numeric features that the model is shown: those that set the condition apart most."""
SHOWN_COMPANIONS: Final = 2
"""Statements often made together that the model is shown."""
FREQUENT: Final = 0.3
"""Share from which a statement counts as often made together."""
TOLD_CLAIMS: Final = 5
"""Subjects that a narrative is completed to from the evidence, as far as the evidence has so many to tell."""
MOST_TOLD: Final = 8
"""Subjects that a narrative tells at most."""
DISTINCTIVE: Final = 0.2
"""Difference of shares from which a claim sets a condition apart."""
SIMILAR: Final = 0.5
"""Shift of a median, in interquartile ranges of the others, below which a feature is like in others."""


@dataclass(frozen=True)
class Entry:
    """A knowledge-base entry with its audit.

    Attributes:
        evidence: what it is about.
        condition: that, in words.
        narrative: its text.
        verdicts: every claim proposed by the model, and those added from the evidence.
        attempts: times the model was asked.
        rendered: True when too few of the model's claims survived, so that the evidence alone made it.
    """

    evidence: Evidence
    condition: str
    narrative: str
    verdicts: tuple[Verdict, ...]
    attempts: int
    rendered: bool


def write_entry(
    evidence: Evidence, respondent: Respondent, names: Mapping[str, str], settings: KnowledgeSettings
) -> Entry:
    """Have an entry written, audited, and rewritten while too little of it survives.

    Args:
        evidence: the group's evidence.
        respondent: the model.
        names: statement code to its description.
    """
    proposed: list[Verdict] = []
    failures: list[str] = []
    attempts = 0
    while attempts < settings.max_attempts and _kept(proposed) < settings.min_claims:
        answer = respondent.answer(
            messages(
                PROMPT_VERSION,
                lines=settings.findings,
                condition=condition_in_words(evidence, names),
                measurements=measurements(evidence, names),
                failures=failures,
            ),
            choices(evidence, names, proposed),
            settings.findings,
        )
        if answer is None:
            break
        attempts += 1
        readable = [claim for line in answer.splitlines() if (claim := parse_claim(line, names)) is not None]
        known = {verdict.claim for verdict in proposed}
        proposed += [
            audit(claim, evidence, settings.min_support, "model")
            for claim in dict.fromkeys(readable)
            if claim not in known
        ]
        failures = [
            f"{one.claim.line(names)} (true of {one.support:.0%} only)" for one in proposed if not one.kept
        ] or ["your last answer had no line in one of the forms"]
    rendered = _kept(proposed) < settings.min_claims
    # What the model got right is told even when it is too little for the entry to count as the model's.
    told = [verdict for verdict in proposed if verdict.kept]
    added = evidence_claims(evidence, settings, told)
    return Entry(
        evidence=evidence,
        condition=condition_in_words(evidence, names),
        narrative=narrative(evidence, names, [*told, *added]),
        verdicts=(*proposed, *added),
        attempts=attempts,
        rendered=rendered,
    )


def condition_in_words(evidence: Evidence, names: Mapping[str, str]) -> str:
    """The condition of a group, e.g. "atrial fibrillation in women aged 60-79"."""
    group = evidence.group
    words = names.get(group.statement, group.statement)
    if group.sex is not None:
        words += {"female": " in women", "male": " in men"}[group.sex]
    if group.age_band is not None:
        words += f" aged {group.age_band}"
    return words


def measurements(evidence: Evidence, names: Mapping[str, str]) -> list[str]:
    """The evidence as lines for the model, most distinctive first."""
    lines = [_measurement(one) for one in evidence.distributions[:SHOWN_FEATURES]]
    p_waves, measured = evidence.share(Claim(feature=P_WAVE, comparison="present", value=1))
    if measured:
        lines.append(f"P wave present in {p_waves:.0%}" if p_waves >= 0.5 else f"P wave absent in {1 - p_waves:.0%}")
    return lines + [f"together with {names.get(code, code)} in {share:.0%}" for code, share in _companions(evidence)]


def choices(evidence: Evidence, names: Mapping[str, str], proposed: list[Verdict]) -> list[list[str]]:
    """What the local model may claim: of each feature that it is shown, every comparison with the usual cut-offs.

    Whether they are true plays no role. What was refuted is not offered again, nor a feature already told.
    """
    shown = {(one.feature, one.lead) for one in evidence.distributions[:SHOWN_FEATURES]} | {(P_WAVE, None)}
    companions = tuple(code for code, _ in _companions(evidence))
    shown |= {(STATEMENT_PREFIX + code, None) for code in companions}
    refuted = {verdict.claim for verdict in proposed if not verdict.kept}
    told = {verdict.claim.subject for verdict in proposed if verdict.kept}
    offered = [
        claim for claim in candidate_claims(companions) if claim.subject in shown - told and claim not in refuted
    ]
    return [[claim.line(names) for claim in group] for _, group in groupby(offered, key=lambda claim: claim.subject)]


def evidence_claims(evidence: Evidence, settings: KnowledgeSettings, told: list[Verdict]) -> list[Verdict]:
    """The most distinctive true claims that the model did not think of, up to what a narrative tells.

    A subject that the model told is only told again where the evidence has something clearly more distinctive to say of
    it: "heart rate below 100 bpm" is true of sinus bradycardia, "below 60 bpm" is what makes it one.
    """
    best = {one.claim.subject: one.distinction for one in sorted(told, key=lambda one: one.distinction)}
    others = tuple(code for code, _ in evidence.companions)
    checked = [
        audit(claim, evidence, settings.min_support, "evidence")
        for claim in candidate_claims(others)
        if claim.lead is None or claim.lead in LEAD_GROUPS
    ]
    chosen: list[Verdict] = []
    for verdict in sorted((one for one in checked if one.kept), key=lambda one: -one.distinction):
        subject = verdict.claim.subject
        enough = len(best) >= settings.min_claims and verdict.distinction < DISTINCTIVE
        if enough or len(chosen) >= TOLD_CLAIMS or (subject not in best and len(best) >= TOLD_CLAIMS):
            continue
        if subject not in best or verdict.distinction >= best[subject] + DISTINCTIVE:
            chosen.append(verdict)
            best[subject] = verdict.distinction
    return chosen


def narrative(evidence: Evidence, names: Mapping[str, str], told: list[Verdict]) -> str:
    """Sentences made of claims that survived, the most distinctive of each subject; far below 120 words."""
    best: dict[tuple[str, str | None], Verdict] = {}
    for verdict in sorted(told, key=lambda one: -one.distinction):
        best.setdefault(verdict.claim.subject, verdict)
    told = list(best.values())[:MOST_TOLD]
    apart = [one.claim.line(names) for one in told if one.distinction >= DISTINCTIVE]
    common = [one.claim.line(names) for one in told if one.distinction < DISTINCTIVE]
    condition = condition_in_words(evidence, names)
    sentences = []
    if apart:
        sentences.append(f"{condition}, unlike most other recordings: {', '.join(apart)}.")
    if common:
        sentences.append(f"{condition}, like many other recordings: {', '.join(common)}.")
    return " ".join(sentences) or f"{condition}: nothing measured is common to most of its recordings."


def _kept(verdicts: list[Verdict]) -> int:
    return sum(verdict.kept for verdict in verdicts)


def _companions(evidence: Evidence) -> list[tuple[str, float]]:
    return [(code, share) for code, share in evidence.companions if share >= FREQUENT][:SHOWN_COMPANIONS]


def _measurement(one: Distribution) -> str:
    feature = FEATURES[one.feature]
    where = f" in the {one.lead} leads" if one.lead else ""
    digits = 2 if feature.unit in ("", "mV") else 0

    def said(value: float) -> str:
        return f"{value:.{digits}f} {feature.unit}".strip()

    line = f"{feature.words}{where} {said(one.quartiles[1])}"
    if one.rest_median is None:
        return line
    compared = "like" if abs(one.difference) < SIMILAR else "higher than" if one.difference > 0 else "lower than"
    return f"{line}, {compared} others ({said(one.rest_median)})"
