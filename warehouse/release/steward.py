"""The steward's summary: what a person must know before answering for a release, in plain words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from warehouse.release.content import ReleaseContent
from warehouse.release.numbers_in_words import interval, short
from warehouse.release.verdict import reasons

STEWARD = "STEWARD.md"
VERDICTS = {
    "passed": "Every bound was kept. The cohort is fit to publish within what the audit can see.",
    "refused": "A bound was broken. The cohort must not be published.",
    "inconclusive": "The audit cannot tell: an attack was too weak to be relied on. The cohort must not be published.",
}


@dataclass(frozen=True)
class Bound:
    """One bound of the audit, and how far the cohort stays below it."""

    attack: str
    metric: str
    measured: str
    interval: str
    bound: str
    kept: bool
    power: str
    """Share of trials in which the attack finds planted training records; a dash where that was not measured."""


@dataclass(frozen=True)
class StewardSummary:
    """What `STEWARD.md` and the first screen of the report say."""

    verdict: str
    meaning: str
    reasons: list[str]
    widened: list[str]
    """Where the audit asks for less than the default."""
    bounds: list[Bound]
    prevention: str
    """What kept drawn beats away from those of training patients, and what that took."""
    residual_risk: list[str]
    signature: str


def steward_summary(content: ReleaseContent) -> StewardSummary:
    """Sum up the audit of a release for the person who answers for it."""
    bounded = [row for row in content.audit if row["threshold"] is not None]
    return StewardSummary(
        verdict=content.verdict,
        meaning=VERDICTS[content.verdict],
        reasons=reasons(content.audit, content.min_power),
        widened=content.audit_facts.widened,
        bounds=[
            Bound(
                row["attack"],
                row["metric"],
                f"{short(row['value'])} {row['unit'] or ''}".strip(),
                interval(row, short),
                f"{'≥' if (row['setting'] or '').startswith('min_') else '≤'}\u00a0{short(row['threshold'])}",
                row["passed"] is True,
                "–" if row["power"] is None else f"{100 * row['power']:.0f}\u00a0%",
            )
            for row in bounded
        ],
        prevention=_prevention(content),
        residual_risk=list(_residual_risk(content, bounded)),
        signature=_signature(content),
    )


def _prevention(content: ReleaseContent) -> str:
    found = content.beat_rejection
    if found is None:
        return (
            "The model compares no beat that it draws with those of training patients; the beat gate alone judges them."
        )
    return (
        "A beat that was drawn nearer to a training patient's beat than hardly any other person's comes was drawn "
        f"again: {found.redraws:,} times, for {found.redrawn:,} rows. Left out, because all that was drawn for them "
        f"lay so near: {found.refused:,} rows."
    )


def _residual_risk(content: ReleaseContent, bounded: list[dict[str, Any]]) -> list[str]:
    """What may still be possible although every bound was kept."""
    risks = []
    areas = [row for row in bounded if row["metric"].startswith("AUC") and row["high"] is not None]
    if areas:
        best = max(areas, key=lambda row: row["high"])
        risks.append(
            "Membership: shown a recording that the model learned from and one that it did not, the most successful of "
            f"{len(areas)} attacks ({best['attack']}; {best['metric']}) names the right one in up to "
            f"{100 * best['high']:.0f} of 100 cases; guessing names 50."
        )
    powers = [row["power"] or 0.0 for row in bounded if row["canary"]]
    if powers:
        risks.append(
            f"The weakest attack found the training records planted for it in {100 * min(powers):.0f} of 100 trials. "
            "A leak that is smaller than the planted ones, or of another kind, may go unnoticed."
        )
    if reported := len(content.audit) - len(bounded):
        risks.append(
            f"{reported} measurements of the audit have no bound: they are there to be read, nothing judged them."
        )
    risks += _differential_privacy(content)
    risks += [
        "Attacks that the audit does not list were not made. A person with a very rare condition is protected by the "
        "number of patients who share the condition asked for, not by the attacks' averages.",
        "The audit is of this cohort. It says nothing of the model, which is not part of the release, and nothing of "
        "this cohort together with other releases from the same patients.",
    ]
    if content.simulated_source:
        risks.insert(0, "No patient is at risk: the model learned from simulated recordings.")
    return risks


def _differential_privacy(content: ReleaseContent) -> list[str]:
    """What training with differential privacy guarantees and what it leaves open; nothing where there was none."""
    found = content.model_facts.privacy
    if not found:
        return []
    each = "; ".join(f"{name}: ε = {short(one.epsilon)}, δ = {one.delta:.0e}" for name, one in found.items())
    rest = sorted(set(content.model_facts.losses) - set(found))
    if rest:
        together = f"Trained without it: {', '.join(rest)}. So the model as a whole guarantees nothing."
    else:
        epsilon, delta = (sum(getattr(one, name) for one in found.values()) for name in ("epsilon", "delta"))
        together = (
            f"Together the weights give at most ε = {short(epsilon)}, δ = {delta:.0e}: no outcome of training became "
            f"more than {short(math.exp(epsilon))} times as likely by one patient's being there, with all their "
            "recordings."
        )
    return [
        f"Differential privacy of patients in training ({each}). {together} Not covered is what is counted from "
        "training recordings without noise: conditions asked for, rhythms, and which drawn beats lie too near to a "
        "patient's."
    ]


def _signature(content: ReleaseContent) -> str:
    steward, day = content.description.steward, content.created_at.strftime("%Y-%m-%d")
    if not steward:
        return (
            "Nobody signed this release: its setting release.steward is empty. Einthoven's gate alone decided; do not "
            "treat it as approved by a person. To sign, publish again with that setting; this makes a new version."
        )
    return (
        f"{steward} answers for the bounds of this audit: release {content.identifier} was published with them under "
        f"this name on {day}. The name is what the publisher's settings state and is part of the release's id; "
        "Einthoven does not check who wrote it."
    )


def steward_document(content: ReleaseContent) -> str:
    """STEWARD.md: the summary as Markdown."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda text: text.replace("|", r"\|").replace("\n", " ")
    summary = steward_summary(content)
    return environment.get_template("steward.md.jinja").render(
        about=content.description, content=content, steward=summary
    )
