"""Criteria of conditions: who they are about."""

from __future__ import annotations

from dataclasses import replace

from tasks.conditions.condition import Condition
from tasks.conditions.criteria import CLAIMS, Criterion, expected_of_conditions, textbook_criteria
from tasks.knowledge.claims import Claim

WIDE = Criterion(CLAIMS, "CLBBB", "", Claim(feature="qrs_ms", comparison="above", value=120, unit="ms"))


def test_a_criterion_is_about_its_statement_sex_and_age_band() -> None:
    criteria = [WIDE, replace(WIDE, sex="female"), replace(WIDE, age_band="60-79"), replace(WIDE, statement="LVH")]
    woman = Condition("", ("SR", "CLBBB"), 64.0, "female", None)
    conditions = [
        woman,
        replace(woman, sex="male"),
        replace(woman, age_years=None, sex=None),
        replace(woman, statements=()),
    ]
    assert expected_of_conditions(criteria, conditions).tolist() == [
        [True, True, True, False],
        [True, False, True, False],
        [True, False, False, False],
        [False, False, False, False],
    ]
    assert expected_of_conditions(criteria, []).shape == (0, 4)
    assert expected_of_conditions([], conditions).shape == (4, 0)


def test_rules_of_textbooks_are_criteria() -> None:
    (atrial_fibrillation,) = [Condition("", ("AFIB",), None, None, None)]
    criteria = textbook_criteria()
    (expected,) = expected_of_conditions(criteria, [atrial_fibrillation])
    features = {one.claim.feature for one, is_expected in zip(criteria, expected, strict=True) if is_expected}
    assert features == {"p_present", "rr_irregularity"}
