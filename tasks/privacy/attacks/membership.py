"""Membership inference: can who holds the released ECGs tell who was in the training set?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.ecg.r_peaks import in_samples
from models.evaluation import metrics
from models.privacy import membership
from tasks.ecg_sets import EcgSet
from tasks.privacy.audit_row import AuditRow, audit_row
from tasks.settings import PrivacySettings

FEWEST_FOR_RATE = 50
"""Non-members per held-out split from which a rate of 1 % false positives can be told well enough to bound it."""


def membership_rows(
    synthetic: EcgSet, members: EcgSet, validation: EcgSet, test: EcgSet, rate_hz: int, settings: PrivacySettings
) -> Iterator[AuditRow]:
    """Membership inference by density ratio and by distance, and the distance alarms.

    Each held-out split is the non-members once, while the other is the adversary's reference data: so all of it counts.
    With fewer than `FEWEST_FOR_RATE` recordings in either, the share found at 1 % false positives is reported only.
    """
    sets = [(one.signal, in_samples(one.r_peaks_s, rate_hz)) for one in (synthetic, members, validation, test)]
    released, of_members, of_validation, of_test = membership.representation(sets, fitted_on=[0], rate_hz=rate_hz)
    rounds = [(test, of_test, of_validation), (validation, of_validation, of_test)]
    by_density, by_distance = [], []
    for others, of_others, reference in rounds:
        suspects = np.concatenate([of_members, of_others])
        member = np.repeat([True, False], [len(of_members), len(of_others)])
        patients = np.concatenate([members.patients, others.patients])
        scores = membership.density_ratio_score(suspects, released, reference)
        by_density.append(membership.Suspects(scores, member, patients))
        by_distance.append(membership.Suspects(membership.distance_score(suspects, released), member, patients))
    rate_known = min(len(validation), len(test)) >= FEWEST_FOR_RATE
    for attack, suspected in (
        ("membership by density ratio", by_density),
        ("membership by distance", by_distance),
    ):
        found = membership.judge(suspected, settings.bootstrap_samples, settings.seed)
        n = found.members + found.non_members
        yield audit_row(attack, "AUC", found.auc, n, settings, reference=0.5, at_most=settings.max_membership_auc)
        yield audit_row(
            attack,
            "share of members found at 1 % false positives",
            found.true_positive_rate,
            found.members,
            settings,
            reference=membership.FALSE_POSITIVE_RATE,
            at_most=settings.max_membership_tpr if rate_known else None,
        )
    yield from _distance_alarms(released, of_members, np.concatenate([of_validation, of_test]), settings)


def _distance_alarms(
    released: np.ndarray, members: np.ndarray, held_out: np.ndarray, settings: PrivacySettings
) -> Iterator[AuditRow]:
    """Distances to the closest record: reported, not bounded, since cohorts that pass them may still leak."""
    attack, n = "distance to the closest record", len(released)
    rng = np.random.default_rng(settings.seed)
    size = min(len(members), len(held_out))
    pools = [each[rng.choice(len(each), size, replace=False)] for each in (members, held_out)]
    to_members, to_held_out = (membership.neighbour_distances(released, pool, 1)[:, 0] for pool in pools)
    closer = metrics.wilson(int((to_members < to_held_out).sum()), n)
    yield audit_row(attack, "share closer to training than to held-out ECGs", closer, n, settings, reference=0.5)
    for metric, measure in (
        ("median distance to a training ECG", membership.nearest_distance),
        ("median ratio of nearest to second nearest distance", membership.nearest_ratio),
    ):
        found = metrics.median_estimate(measure(released, members), settings.bootstrap_samples, settings.seed)
        yield audit_row(attack, metric, found, n, settings, reference=float(np.median(measure(held_out, members))))
