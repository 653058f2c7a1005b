"""Rows of the `audits` table: each attack on a cohort, how well it did, and the bound that its success is held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from models.evaluation import metrics
from models.evaluation.metrics import Estimate
from models.leads import INDEPENDENT_LEADS
from models.privacy import membership, near_copies
from tasks.conditions.condition import StatementFacts
from tasks.ecg_sets import EcgSet
from tasks.privacy.condition_disclosure import copied_texts, group_sizes, identifying_texts, statement_diversity
from tasks.settings import PrivacySettings

Row = dict[str, Any]

FEWEST_FOR_RATE = 50
"""Non-members per held-out split from which a rate of 1 % false positives can be told well enough to bound it."""


def row(
    attack: str,
    metric: str,
    estimate: Estimate,
    n: int,
    settings: PrivacySettings,
    *,
    unit: str = "",
    reference: float | None = None,
    at_most: float | None = None,
    at_least: float | None = None,
    bounded: Literal["value", "high"] = "high",
) -> Row:
    """One row. What cannot be computed is null, and fails a bound if there is one.

    Args:
        at_most: bound on the interval's upper end, or on the value.
        at_least: bound on the value. With neither, the row is only reported.
        bounded: which number `at_most` bounds. An attack's success is inferred, so its upper end is bounded; what is
            counted in the released rows themselves is exact.
    """

    def known(number: float | None) -> float | None:
        return None if number is None or not np.isfinite(number) else float(number)

    passed = None
    if at_most is not None:
        passed = bool((estimate.high if bounded == "high" else estimate.value) <= at_most)
    if at_least is not None:
        passed = bool(estimate.value >= at_least)
    return {
        "attack": attack,
        "metric": metric,
        "value": known(estimate.value),
        "low": known(estimate.low),
        "high": known(estimate.high),
        "reference": known(reference),
        "unit": unit,
        "n": n,
        "seed": settings.seed,
        "threshold": at_least if at_most is None else at_most,
        "passed": passed,
    }


def exactly(value: float) -> Estimate:
    """A number that was counted, not estimated."""
    return Estimate(float(value), float(value), float(value))


def membership_rows(
    synthetic: EcgSet, members: EcgSet, validation: EcgSet, test: EcgSet, rate_hz: int, settings: PrivacySettings
) -> Iterator[Row]:
    """Membership inference by density ratio and by distance, and the distance alarms.

    Each held-out split is the non-members once, while the other is the adversary's reference data: so all of it counts.
    With fewer than `FEWEST_FOR_RATE` recordings in either, the share found at 1 % false positives is reported only.
    """
    signals = [one.signal for one in (synthetic, members, validation, test)]
    released, of_members, of_validation, of_test = membership.representation(signals, fitted_on=[0], rate_hz=rate_hz)
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
        yield row(attack, "AUC", found.auc, n, settings, reference=0.5, at_most=settings.max_membership_auc)
        yield row(
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
) -> Iterator[Row]:
    """Distances to the closest record: reported, not bounded, since cohorts that pass them may still leak."""
    attack, n = "distance to the closest record", len(released)
    rng = np.random.default_rng(settings.seed)
    size = min(len(members), len(held_out))
    pools = [each[rng.choice(len(each), size, replace=False)] for each in (members, held_out)]
    to_members, to_held_out = (membership.neighbour_distances(released, pool, 1)[:, 0] for pool in pools)
    closer = metrics.wilson(int((to_members < to_held_out).sum()), n)
    yield row(attack, "share closer to training than to held-out ECGs", closer, n, settings, reference=0.5)
    for metric, measure in (
        ("median distance to a training ECG", membership.nearest_distance),
        ("median ratio of nearest to second nearest distance", membership.nearest_ratio),
    ):
        found = metrics.median_estimate(measure(released, members), settings.bootstrap_samples, settings.seed)
        yield row(attack, metric, found, n, settings, reference=float(np.median(measure(held_out, members))))


def near_copy_rows(
    synthetic: EcgSet, members: EcgSet, held_out: EcgSet, rate_hz: int, settings: PrivacySettings
) -> Iterator[Row]:
    """Copies of training recordings; the reference is how often a held-out recording would count as one.

    A copy is an ECG whose eight leads, over the whole recording and at one shift, correlate with a training recording
    beyond the bound. Fewer leads and the mean beat are reported only: healthy people's beats look alike.
    """
    attack, n = "near copy of a training recording", len(synthetic)
    chest = [index for index, lead in enumerate(INDEPENDENT_LEADS) if lead.startswith("V")]
    for what, leads in (
        ("all leads", list(range(len(INDEPENDENT_LEADS)))),
        ("lead II alone", [INDEPENDENT_LEADS.index("II")]),
        ("chest leads alone", chest),
    ):
        of_released, of_held_out = (
            near_copies.closest_correlation(each.signal[:, leads], members.signal[:, leads], rate_hz)[0]
            for each in (synthetic, held_out)
        )
        copies, by_chance = (each >= settings.near_copy_correlation for each in (of_released, of_held_out))
        yield row(
            attack,
            f"share copied, {what}",
            metrics.wilson(int(copies.sum()), n),
            n,
            settings,
            reference=float(by_chance.mean()),
            at_most=settings.max_near_copy_share if what == "all leads" else None,
            bounded="value",
        )
        largest = exactly(np.fmax.reduce(of_released, initial=-1.0))
        chance = float(np.fmax.reduce(of_held_out, initial=-1.0))
        yield row(attack, f"largest correlation, {what}", largest, n, settings, reference=chance)
    beats = [membership.mean_beats(each.signal, rate_hz)[0] for each in (synthetic, members, held_out)]
    of_released, of_held_out = (near_copies.closest_beat_correlation(each, beats[1]) for each in (beats[0], beats[2]))
    alike, by_chance = (each >= settings.near_copy_correlation for each in (of_released, of_held_out))
    metric = "share with the mean beat of a training recording"
    yield row(attack, metric, metrics.wilson(int(alike.sum()), n), n, settings, reference=float(by_chance.mean()))


def disclosure_rows(
    synthetic: EcgSet, members: EcgSet, real: EcgSet, statement_facts: StatementFacts, settings: PrivacySettings
) -> Iterator[Row]:
    """Whether conditions single out patients, and whether texts repeat reports or hold numbers that could identify.

    Args:
        real: all recordings, whatever their split.
    """
    attack, n = "singling out by condition", len(synthetic)
    smallest = exactly(min(group_sizes(synthetic, members)))
    metric = "smallest k: training patients who share age band, sex and statements"
    yield row(attack, metric, smallest, n, settings, unit="patients", at_least=float(settings.min_group_patients))
    metric = "smallest l: statement sets released per age band and sex"
    yield row(attack, metric, exactly(statement_diversity(synthetic)), n, settings, unit="statement sets")
    for metric, found in (
        ("texts that repeat 7 words in a row of a report", copied_texts(synthetic, real, statement_facts, settings)),
        ("texts with numbers like dates or ids", identifying_texts(synthetic)),
    ):
        yield row("disclosure by text", metric, exactly(found), n, settings, unit="texts", reference=0.0, at_most=0.0)
