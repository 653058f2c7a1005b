"""Membership inference: can who holds the released ECGs tell who was in the training set?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from models.evaluation import metrics
from models.evaluation.metrics import Estimate
from models.privacy import membership
from models.privacy.membership import Calibration, Suspects, judged, of_patients, success
from models.privacy.neighbours import nearest_distance
from tasks.privacy.audit_row import AuditRow, audit_row, within
from tasks.privacy.audited import CLASSIFIER, IDENTIFYING, Audited, Space
from tasks.settings import PrivacySettings

THROUGHOUT = "own beats throughout"
"""The canary of membership inference: as many training patients' own beats as the release has rows, so that half of the
result leaks. It asks whether members differ from other people as a whole; few leaking rows are for the beat gate."""
BOUNDS = {0.01: "max_membership_tpr_at_1", 0.1: "max_membership_tpr_at_10"}
"""False positive rate to the setting that bounds the share of members found at it."""


class Membership:
    """Attacks in one space, on records and on patients."""

    def __init__(self, audited: Audited, space: Space, settings: PrivacySettings) -> None:
        self.audited, self.space, self.settings = audited, space, settings
        members, others = audited.points(space, "members"), audited.points(space, "non_members")
        self.suspects = Suspects(
            np.concatenate([members, others]),
            np.repeat([True, False], [len(members), len(others)]),
            np.concatenate([audited.members.patients, audited.non_members.patients]),
        )
        self.calibration = Calibration(self.suspects.points, audited.points(space, "reference"), settings.seed)
        self.to_released = self._to_first(len(audited.synthetic))
        # What tells superclasses need not tell people: own beats in other rhythms are often not found there.
        self.bounded = space.name != CLASSIFIER
        self._to_part: dict[int, np.ndarray] = {len(audited.synthetic): self.to_released}

    def _to_first(self, rows: int) -> np.ndarray:
        """Distance of each suspect to the nearest of the cohort's first rows."""
        return nearest_distance(self.suspects.points, self.audited.points(self.space, "synthetic")[:rows])

    @cached_property
    def scores(self) -> dict[str, np.ndarray]:
        """Attack to score of each suspect."""
        return self.calibration.scores(self.to_released)

    @cached_property
    def found(self) -> dict[tuple[str, str], tuple[Estimate, str | None, float | None, int]]:
        """Attack and metric to estimate, setting that bounds it, value by chance, and suspects."""
        suspects, settings = self.suspects, self.settings
        found: dict[tuple[str, str], tuple[Estimate, str | None, float | None, int]] = {}
        for score, of_records in self.scores.items():
            for level, (scores, member, patients) in self._levels(of_records).items():
                area, shares = judged(scores, member, patients, settings.bootstrap_samples, settings.seed)
                attack = f"membership by {score}, {self.space.name}"
                found[attack, f"AUC, {level}"] = area, "max_membership_auc" if self.bounded else None, 0.5, len(scores)
                for rate, share in shares.items():
                    # Fewer non-members than one false positive needs cannot tell the rate.
                    measurable = (~suspects.member).sum() * rate >= 1 and level == "records"
                    bound = BOUNDS.get(rate) if measurable and self.bounded else None
                    metric = f"share of members found at {rate:.1%} false positives, {level}"
                    found[attack, metric] = share, bound, rate, len(scores)
        return found

    def _levels(self, scores: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        suspects = self.suspects
        records = scores, suspects.member, suspects.patients
        return {"records": records, "patients": of_patients(scores, suspects)}

    def broken(self, kind: str, chosen: np.ndarray, rows: int) -> dict[tuple[str, str], bool]:
        """Whether each bound is broken by chosen canaries beside so many of the cohort's first rows, which all stay.

        The upper end is the value with canaries plus what the cohort's own interval has above its value.
        """
        if not self.bounded:
            return {}
        if rows not in self._to_part:
            self._to_part[rows] = self._to_first(rows)
        canaries = self.audited.points(self.space, kind)[np.unique(chosen)]
        nearest = self._to_part[rows]
        if len(chosen):
            nearest = np.minimum(nearest, nearest_distance(self.suspects.points, canaries))
        broken = {}
        for score, of_records in self.calibration.scores(nearest).items():
            attack = f"membership by {score}, {self.space.name}"
            for level, (scores, member, _) in self._levels(of_records).items():
                now = success(scores, member)
                values = {f"AUC, {level}": now.auc[0]}
                for rate, share in now.found.items():
                    values[f"share of members found at {rate:.1%} false positives, {level}"] = share[0]
                for metric, value in values.items():
                    estimate, bound, _, _ = self.found[attack, metric]
                    if bound:
                        high = Estimate(value, value, value + max(estimate.high - estimate.value, 0))
                        broken[attack, metric] = not within(high, getattr(self.settings, bound), "high")
        return broken

    def rows(self) -> Iterator[AuditRow]:
        """Each attack on records and on patients, and in the identifying space the distance alarms."""
        for (attack, metric), (estimate, bound, chance, n) in self.found.items():
            yield audit_row(
                attack, metric, estimate, n, self.settings, reference=chance, at_most=bound, canary=THROUGHOUT
            )
        if self.space.name == IDENTIFYING:
            yield from self._distance_alarm()

    def _distance_alarm(self) -> Iterator[AuditRow]:
        """Distance to the closest record: reported, not bounded, since cohorts that pass it may leak (2505.01524)."""
        released, n = self.audited.points(self.space, "synthetic"), len(self.audited.synthetic)
        rng = np.random.default_rng(self.settings.seed)
        pools = [self.audited.points(self.space, side) for side in ("members", "non_members")]
        size = min(map(len, pools))
        to_members, to_others = (nearest_distance(released, pool[rng.permutation(len(pool))[:size]]) for pool in pools)
        closer = metrics.wilson(int((to_members < to_others).sum()), n)
        metric = "share closer to training than to as many held-out ECGs"
        yield audit_row("distance to the closest record", metric, closer, n, self.settings, reference=0.5)


def records_at_risk(attacks: list[Membership], count: int) -> np.ndarray:
    """Indices into the members of those whom all attacks together suspect most."""
    scores = [scores for attack in attacks for scores in attack.scores.values()]
    return membership.most_at_risk(scores, attacks[0].suspects.member, count)
