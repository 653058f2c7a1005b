"""Disclosure by condition and text: rows of the `audits` table about the words and numbers of a cohort."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.conditions.condition import StatementFacts
from tasks.ecg_sets import EcgSet
from tasks.privacy.attacks.condition_disclosure import copied_texts, group_sizes, identifying_texts, statement_diversity
from tasks.privacy.audit_row import AuditRow, audit_row, exactly
from tasks.settings import PrivacySettings


def disclosure_rows(
    synthetic: EcgSet,
    members: EcgSet,
    real: Sequence[EcgSet],
    statement_facts: StatementFacts,
    settings: PrivacySettings,
) -> Iterator[AuditRow]:
    """Whether conditions single out patients, and whether texts repeat reports or hold numbers that could identify.

    Args:
        real: all recordings, of every split.
    """
    attack, n = "singling out by condition", len(synthetic)
    smallest = exactly(min(group_sizes(synthetic, members, statement_facts)))
    metric = "smallest k: training patients who share all that an ECG was asked to show"
    yield audit_row(attack, metric, smallest, n, settings, unit="patients", at_least="min_group_patients")
    metric = "smallest l: statement sets released per age band and sex"
    yield audit_row(attack, metric, exactly(statement_diversity(synthetic)), n, settings, unit="statement sets")
    for metric, found in (
        ("texts that repeat 7 words in a row of a report", copied_texts(synthetic, real, statement_facts, settings)),
        *((f"texts with {what}", found) for what, found in identifying_texts(synthetic).items()),
    ):
        yield audit_row(
            "disclosure by text", metric, exactly(found), n, settings, unit="texts", reference=0.0, at_most=0.0
        )
