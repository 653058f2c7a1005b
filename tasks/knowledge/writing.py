"""Writing an entry: the language model proposes, the audit decides what is stated.

The model sees only aggregates. What it answers is read as claims, each of which is checked; the narrative is made of
the claims that survived, completed with the most distinctive claims of the evidence itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from models.leads import LEAD_GROUPS, STANDARD_LEADS
from tasks.knowledge.asking import Respondent
from tasks.knowledge.audit import Verdict, audit
from tasks.knowledge.claims import FEATURES, candidate_claims
from tasks.knowledge.describing import TYPICAL_PATIENTS, choices, condition_in_words, measurements, profile
from tasks.knowledge.drafts import Draft, read_json, read_lines
from tasks.knowledge.evidence import Evidence, Quartiles, TrainingRecordings
from tasks.knowledge.narrative import DISTINCTIVE, checked_sentences, narrative
from tasks.knowledge.prompts import DRAFT_PROMPT, FINDINGS_PROMPT, messages
from tasks.knowledge.report_lines import ReportLines, Verbatim
from tasks.settings import KnowledgeSettings

FINDINGS: Final = 4
"""Findings that the model is asked for per entry."""
TOLD_CLAIMS: Final = 5
"""Subjects that a narrative is completed to from the evidence, as far as the evidence has so many to tell."""


@dataclass(frozen=True)
class Entry:
    """A knowledge-base entry with its audit.

    Attributes:
        evidence: what it is about.
        condition: that, in words.
        narrative: its text.
        verdicts: every claim proposed by the model, and those added from the evidence.
        quartiles: what patients like its own measure.
        sentences_proposed, sentences_kept: sentences of the model, and those of which everything was checked.
        attempts: times the model was asked.
        rendered: True when too few of the model's claims survived, so that the evidence alone made it.
        prompt: version of the prompt.
    """

    evidence: Evidence
    condition: str
    narrative: str
    verdicts: tuple[Verdict, ...]
    quartiles: tuple[Quartiles, ...]
    sentences_proposed: int
    sentences_kept: int
    attempts: int
    rendered: bool
    prompt: str


class Author:
    """Writes entries with one language model.

    Args:
        respondent: the model.
        names: statement code to its description.
        training: whose reports are shown as far as enough patients share them, and never repeated.
        settings: how much is asked for, how strict the audit is.
    """

    def __init__(
        self,
        respondent: Respondent,
        names: Mapping[str, str],
        training: TrainingRecordings,
        settings: KnowledgeSettings,
    ) -> None:
        self.respondent, self.names, self.settings = respondent, names, settings
        self.verbatim = Verbatim(training.reports, list(names.values()))
        self.shared = ReportLines(training.reports, training.patients, settings.min_patients)
        self.prompt = FINDINGS_PROMPT if respondent.local else DRAFT_PROMPT

    def write(self, evidence: Evidence) -> Entry:
        """Have an entry written, audited, and rewritten while too little of it survives."""
        condition = condition_in_words(evidence, self.names)
        proposed: list[Verdict] = []
        failures: list[str] = []
        draft = Draft(claims=())
        attempts = 0
        while attempts < self.settings.max_attempts and _kept(proposed) < self.settings.min_claims:
            answer = self._ask(evidence, condition, proposed, failures)
            if answer is None:
                break
            attempts, draft = attempts + 1, answer
            known = {verdict.claim for verdict in proposed}
            proposed += [
                audit(claim, evidence, self.settings.min_support, "model")
                for claim in draft.claims
                if claim not in known
            ]
            refuted = [f"{one.claim.line(self.names)} (true of {one.support:.0%} only)" for one in _refuted(proposed)]
            failures = [*refuted, *draft.unreadable] or ["your last answer had no claim in one of the forms"]
        # What the model got right is stated even when it is too little for the entry to count as the model's.
        kept = {verdict.claim: verdict for verdict in proposed if verdict.kept}
        sentences = checked_sentences(draft.sentences, kept, condition, self.names, self.verbatim)
        spoken = {claim for _, claims in sentences for claim in claims}
        added = evidence_claims(evidence, self.settings, list(kept.values()))
        untold = [verdict for verdict in [*kept.values(), *added] if verdict.claim not in spoken]
        return Entry(
            evidence=evidence,
            condition=condition,
            narrative=narrative(condition, self.names, untold, self.verbatim, [text for text, _ in sentences]),
            verdicts=(*proposed, *added),
            quartiles=tuple(
                evidence.quartiles(max(TYPICAL_PATIENTS, self.settings.min_patients), self.settings.min_patients)
            ),
            sentences_proposed=len(draft.sentences),
            sentences_kept=len(sentences),
            attempts=attempts,
            rendered=_kept(proposed) < self.settings.min_claims,
            prompt=self.prompt,
        )

    def _ask(self, evidence: Evidence, condition: str, proposed: list[Verdict], failures: list[str]) -> Draft | None:
        shown = {
            "lines": FINDINGS,
            "condition": condition,
            "measurements": measurements(evidence, self.names),
            "profile": profile(evidence, self.shared, self.settings),
            "failures": failures,
        }
        if self.respondent.local:
            offered = choices(evidence, self.names, proposed)
            return self.respondent.answer(
                messages(FINDINGS_PROMPT, **shown),
                offered,
                FINDINGS,
                lambda text: read_lines(text, self.names),
            )
        conversation = messages(
            DRAFT_PROMPT,
            features=", ".join(f"{name} ({feature.unit or 'no unit'})" for name, feature in FEATURES.items()),
            statements=", ".join(f"{code} ({name})" for code, name in sorted(self.names.items())),
            leads=", ".join(STANDARD_LEADS),
            groups=", ".join(LEAD_GROUPS),
            recordings=evidence.recordings,
            patients=evidence.patients,
            **shown,
        )
        return self.respondent.answer(conversation, [], FINDINGS, lambda text: read_json(text, self.names))


def evidence_claims(evidence: Evidence, settings: KnowledgeSettings, stated: list[Verdict]) -> list[Verdict]:
    """The most distinctive true claims that the model did not think of, up to what a narrative tells.

    A subject that the model stated is only stated again where the evidence has something clearly more distinctive to
    say of it: "heart rate below 100 bpm" is true of sinus bradycardia, "below 60 bpm" is what makes it one.
    """
    best = {one.claim.subject: one.distinction for one in sorted(stated, key=lambda one: one.distinction)}
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


def _kept(verdicts: list[Verdict]) -> int:
    return sum(verdict.kept for verdict in verdicts)


def _refuted(verdicts: list[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if not verdict.kept]
