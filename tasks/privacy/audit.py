"""All that an audit measures: attacks, their power, the verdict, and the records that are most at risk."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from models.privacy import canaries
from tasks.conditions.condition import StatementFacts
from tasks.privacy.attacks.attributes import attribute_rows
from tasks.privacy.attacks.disclosure import disclosure_rows
from tasks.privacy.attacks.linkage import Gate, Linkage
from tasks.privacy.attacks.membership import Membership, records_at_risk
from tasks.privacy.attacks.near_copies import NearCopies
from tasks.privacy.audit_row import AuditRow
from tasks.privacy.audited import Audited
from tasks.privacy.power import Attack, Powers, measured_power, powerless, with_power
from tasks.settings import PrivacySettings
from warehouse.storage.facts import AuditFacts, CanaryPower

AT_RISK = 20
"""Training recordings that are listed for the steward."""


@dataclass(frozen=True)
class Findings:
    """Of an audit: rows of the `audits` table, facts, and indices of the members most at risk."""

    rows: list[AuditRow]
    facts: AuditFacts
    at_risk: list[int]


@dataclass(frozen=True)
class Attacks:
    """On a cohort: those that count its rows, and those on people, one per space."""

    counting: list[Attack]
    scoring: list[Membership]

    @classmethod
    def on(cls, audited: Audited, settings: PrivacySettings) -> Attacks:
        """All attacks there are."""
        counting: list[Attack] = [
            Linkage(audited, audited.spaces[0], settings, canaries.BEATS),
            Gate(audited, audited.event_space, settings, canaries.FITTED),
            NearCopies(audited, settings),
        ]
        return cls(counting, [Membership(audited, space, settings) for space in audited.spaces])

    def all(self) -> list[Attack]:
        """Both kinds."""
        return [*self.counting, *self.scoring]


def audit(
    audited: Audited,
    attacks: Attacks,
    statements: StatementFacts,
    settings: PrivacySettings,
    logger: logging.Logger | logging.LoggerAdapter[Any],
    beat_encoder: str | None = None,
) -> Findings:
    """Attack a cohort, plant canaries into it, and hold the outcome against the bounds.

    Args:
        statements: what the source says of each statement.
        beat_encoder: id of the encoder.
    """
    rows = [row for attack in attacks.all() for row in attack.rows()]
    logger.info("audit cohort: %d measurements", len(rows))
    powers = measured_power(audited, attacks.all(), settings, logger)
    size = len(audited.synthetic)
    rows = with_power(rows, powers, size)
    real = [audited.members, audited.reference, audited.non_members]
    rows += disclosure_rows(audited.synthetic, audited.members, real, statements, settings)
    rows += attribute_rows(audited, settings)
    facts = facts_of(rows, powers, settings, len(audited.non_members), beat_encoder)
    return Findings(rows, facts, records_at_risk(attacks.scoring, AT_RISK).tolist())


def facts_of(
    rows: list[AuditRow],
    powers: Powers,
    settings: PrivacySettings,
    non_members: int,
    beat_encoder: str | None,
) -> AuditFacts:
    """The verdict on rows, and what led to it."""
    failed = [f"{row['attack']}: {row['metric']}" for row in rows if row["passed"] is False]
    weak = powerless(rows, settings)
    verdict: Literal["passed", "refused", "inconclusive"] = (
        "refused" if failed else "inconclusive" if weak else "passed"
    )
    changed = {row["setting"]: row for row in rows if row["setting"] and row["threshold"] != row["default_threshold"]}
    widened = [
        f"privacy.{name} is {row['threshold']:g}, by default {row['default_threshold']:g}"
        for name, row in sorted(changed.items())
    ]
    if settings.min_power < (default := type(settings).model_fields["min_power"].default):
        widened.append(f"privacy.min_power is {settings.min_power:g}, by default {default:g}")
    if non_members < 100:
        widened.append(f"the share of members found at 1 % false positives has no bound: {non_members} non-members")
    if not any(row["attack"] == "re-identification" and row["threshold"] for row in rows):
        widened.append("linkage has no bound, and mixed beats need not be found: fewer than 1,000 held-out recordings")
    curve = [
        CanaryPower(
            attack=attack,
            metric=metric,
            canary=kind,
            share=share,
            rows=n,
            trials=len(broken),
            power=float(np.mean(broken)),
        )
        for (attack, metric), trials in powers.items()
        for (kind, share, n), broken in trials.items()
    ]
    return AuditFacts(
        verdict=verdict, failed=failed, powerless=weak, widened=widened, power=curve, beat_encoder=beat_encoder
    )
