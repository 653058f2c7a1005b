"""What a language model is shown of a group, and what the local one may answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from tasks.knowledge.audit import Verdict
from tasks.knowledge.claims import FEATURES, P_WAVE, STATEMENT_PREFIX, Claim, candidate_claims
from tasks.knowledge.evidence import FREQUENT, Distribution, Evidence
from tasks.knowledge.report_lines import ReportLines
from tasks.settings import KnowledgeSettings

SHOWN_FEATURES: Final = 6
"""Numeric features that the model is shown: those that set the condition apart most."""
SHOWN_COMPANIONS: Final = 2
"""Statements often made together that the model is shown."""
SHOWN_CODES: Final = 8
"""Codes of views that the model is shown."""
TYPICAL_PATIENTS: Final = 50
"""Patients most like their condition's others, whose reports the model is shown."""
SIMILAR: Final = 0.5
"""Shift of a median, in interquartile ranges of the others, below which a feature is like in others."""


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
    """What was measured, most distinctive first."""
    lines = [_measurement(one) for one in evidence.distributions[:SHOWN_FEATURES]]
    p_waves = evidence.share(Claim(feature=P_WAVE, comparison="present", value=1))
    if p_waves.recordings:
        present = p_waves.share
        lines.append(f"P wave present in {present:.0%}" if present >= 0.5 else f"P wave absent in {1 - present:.0%}")
    return lines + [f"together with {names.get(code, code)} in {share:.0%}" for code, share in _companions(evidence)]


def profile(evidence: Evidence, shared: ReportLines, settings: KnowledgeSettings) -> list[str]:
    """How the patients are coded, and what the reports of the most typical ones say.

    Args:
        shared: report lines that enough patients share.
    """
    coded = [
        f"coded {view.replace('_', ' ')} {code} in {share:.0%}"
        for view, code, share in evidence.typical_codes(FREQUENT)
    ][:SHOWN_CODES]
    if not settings.report_lines:
        return coded
    typical = evidence.typical_patients(max(TYPICAL_PATIENTS, settings.min_patients))
    lines = [line for line, _ in shared.distinctive(typical, settings.report_lines)]
    return [*coded, *(f"reports often say: {line}" for line in lines)]


def choices(evidence: Evidence, names: Mapping[str, str], proposed: Sequence[Verdict]) -> list[list[str]]:
    """What the local model may claim: of each feature that it is shown, every comparison with the usual cut-offs.

    Whether they are true plays no role. What was refuted is not offered again, nor a feature already stated.
    """
    shown = {(one.feature, one.lead) for one in evidence.distributions[:SHOWN_FEATURES]} | {(P_WAVE, None)}
    companions = tuple(code for code, _ in _companions(evidence))
    shown |= {(STATEMENT_PREFIX + code, None) for code in companions}
    refuted = {verdict.claim for verdict in proposed if not verdict.kept}
    stated = {verdict.claim.subject for verdict in proposed if verdict.kept}
    offered = [
        claim for claim in candidate_claims(companions) if claim.subject in shown - stated and claim not in refuted
    ]
    return [[claim.line(names) for claim in group] for _, group in groupby(offered, key=lambda claim: claim.subject)]


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
