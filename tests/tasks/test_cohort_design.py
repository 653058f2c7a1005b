"""Conditions asked for: groups of patients only, nothing of a single one, and the same whatever surrounds them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from tasks.cohort_design import PatientGroups, design_cohort, draw_age, group_conditions, row_seed
from tasks.conditions import Condition
from tasks.knowledge.demographics import age_band
from tasks.settings import CohortSettings

SETTINGS = CohortSettings(min_patients=5)
FACTS = {
    code: {"description": code.lower(), "superclass": superclass, "kind": kind}
    for code, superclass, kind in (
        ("NORM", "NORM", "diagnostic"),
        ("IMI", "MI", "diagnostic"),
        ("RARE", "CD", "diagnostic"),
        ("SR", None, "rhythm"),
    )
}
Person = tuple[str, tuple[str, ...], str | None, float | None, float | None]


def table(people: list[Person]) -> pa.Table:
    patients, statements, sexes, ages, rates = zip(*people, strict=True)
    return pa.table(
        {
            "patient_key": list(patients),
            "statements": [[{"code": code, "likelihood": 0.0} for code in codes] for codes in statements],
            "sex": pa.array(sexes, pa.string()),
            "age_years": pa.array(ages, pa.float32()),
            "heart_rate_bpm": pa.array(rates, pa.float32()),
        }
    )


def population() -> list[Person]:
    rng = np.random.default_rng(1)
    people: list[Person] = []
    for number in range(60):
        codes = ("NORM", "SR") if number % 3 else ("IMI", "SR")
        sex = "female" if number % 2 else "male"
        people.append((f"p{number}", codes, sex, float(rng.integers(41, 59)), float(rng.normal(70, 8))))
    people += [("rare", ("RARE", "IMI", "SR"), "male", 50.0, 171.0), ("child", ("SR",), "male", 3.0, 120.0)]
    return people


def asked(people: list[Person], rows: int, seed: int = 1) -> list[object]:
    design = design_cohort(table(people), SETTINGS, FACTS)
    return [design.ask(seed, row, FACTS) for row in range(rows)]


def test_a_recordings_group_condition_is_one_that_the_cohort_asks_for() -> None:
    people = population()
    own = group_conditions(table(people), table(people), SETTINGS.min_patients, FACTS)
    design = design_cohort(table(people), SETTINGS, FACTS)
    groups = {(frozenset(group.statements), group.sex) for group in design.groups}
    for person, condition in zip(people, own, strict=True):
        assert (frozenset(condition.statements), condition.sex) in groups
        assert condition.heart_rate_bpm == pytest.approx(person[4], rel=1e-5)
        assert set(condition.statements) <= set(person[1])
    rare, child = own[-2:]
    assert "RARE" not in rare.statements
    assert "IMI" in rare.statements
    assert rare.age_years == 50.0
    assert child.age_years is None
    weights = {(frozenset(group.statements), group.sex, group.age_band): group.recordings for group in design.groups}
    found = Counter(
        (frozenset(one.statements), one.sex, age_band(one.age_years) if one.age_years else None) for one in own
    )
    assert found == weights


def test_held_out_recordings_are_grouped_by_training_patients() -> None:
    held_out: list[Person] = [("new", ("RARE", "NORM", "SR"), "female", 45.0, 66.0)]
    (condition,) = group_conditions(table(held_out), table(population()), SETTINGS.min_patients, FACTS)
    assert condition.statements == ("NORM", "SR")
    unheard: list[Person] = [("new", ("UNHEARD",), None, None, 66.0)]
    (condition,) = group_conditions(table(unheard), table(population()[-2:]), SETTINGS.min_patients, FACTS)
    assert condition == Condition("", (), None, None, 66.0)


def test_every_condition_is_shared_by_enough_training_patients() -> None:
    people = table(population())
    groups = PatientGroups(people, people["patient_key"].to_numpy(zero_copy_only=False))
    for one in asked(population(), 200):
        rows = groups.rows(one.statements, one.sex, age_band(one.age_years))
        assert groups.patients(rows) >= SETTINGS.min_patients


def test_many_recordings_of_one_patient_are_one_patient() -> None:
    people = [*population(), *[("rare", ("RARE", "IMI", "SR"), "male", 50.0, 171.0)] * 20]
    assert not any("RARE" in one.statements for one in asked(people, 300))


def test_rare_conditions_back_off_and_are_counted() -> None:
    design = design_cohort(table(population()), SETTINGS, FACTS)
    assert design.recordings == 62
    assert design.backed_off == 2  # RARE loses its rarest statement, the child its age band
    assert design.left_out == 0
    assert sum(group.recordings for group in design.groups) == 62
    opened = [group for group in design.groups if group.age_band is None]
    assert [(group.statements, group.sex) for group in opened] == [(("SR",), "male")]


def test_the_last_diagnosis_is_kept_by_opening_the_age() -> None:
    old: list[Person] = [("old", ("IMI", "SR"), "male", 85.0, 70.0)]
    design = design_cohort(table([*population(), *old]), SETTINGS, FACTS)
    kept = [group for group in design.groups if group.age_band is None and "IMI" in group.statements]
    assert [(group.statements, group.sex, group.recordings) for group in kept] == [(("IMI", "SR"), "male", 1)]


def test_recordings_that_fit_no_group_are_counted_as_left_out() -> None:
    lonely: list[Person] = [("x", ("ONLY",), "male", 50.0, 60.0), ("y", (), "male", 50.0, 60.0)]
    design = design_cohort(table([*population(), *lonely]), SETTINGS, FACTS)
    assert (design.left_out, design.backed_off) == (2, 2)
    assert design_cohort(table(lonely), SETTINGS, FACTS).groups == ()


def test_the_mix_of_conditions_is_that_of_the_recordings() -> None:
    counted = Counter((one.statements[0], one.sex) for one in asked(population(), 3000))
    share = counted["NORM", "female"] / 3000
    expected = sum(codes[0] == "NORM" and sex == "female" for _, codes, sex, _, _ in population()) / 62
    assert share == pytest.approx(expected, abs=0.03)


def test_a_larger_cohort_begins_with_the_rows_of_a_smaller_one() -> None:
    assert asked(population(), 50) == asked(population(), 80)[:50]
    assert asked(population(), 50, seed=2) != asked(population(), 50)


def test_neither_pseudonyms_nor_the_order_of_recordings_matter() -> None:
    renamed = [(f"z{hash(patient) % 9973}-{patient[::-1]}", *rest) for patient, *rest in reversed(population())]
    assert asked(renamed, 50) == asked(population(), 50)


def test_numbers_come_from_groups_and_never_from_a_patient() -> None:
    conditions = asked(population(), 500)
    own = {float(np.float32(rate)) for *_, rate in population()}
    assert own.isdisjoint(one.heart_rate_bpm for one in conditions)
    rates = [one.heart_rate_bpm for one in conditions if one.statements[0] == "NORM" and one.sex == "female"]
    truth = [rate for _, codes, sex, _, rate in population() if codes[0] == "NORM" and sex == "female"]
    assert np.median(rates) == pytest.approx(np.median(truth), abs=2)
    assert min(rates) >= np.percentile(truth, 5)
    assert max(rates) <= np.percentile(truth, 95)
    assert len(set(rates)) == len(rates), "clipping would repeat the ends of the range"
    ages = [one.age_years for one in conditions if one.age_years is not None]
    assert {40.0, 59.0} <= set(ages), "ages cover the band, not the patients"


def test_a_group_with_one_rate_gives_a_range_and_an_unknown_rate_stays_unknown() -> None:
    same: list[Person] = [(f"p{number}", ("SR",), "male", 50.0, 60.0) for number in range(6)]
    unknown: list[Person] = [(f"q{number}", ("SR",), None, None, None) for number in range(6)]
    assert 60.0 not in {one.heart_rate_bpm for one in asked(same, 20)}
    assert {(one.sex, one.age_years, one.heart_rate_bpm) for one in asked(unknown, 20)} == {(None, None, None)}


def test_text_is_written_from_the_statements_with_the_diagnosis_first() -> None:
    for one in asked(population(), 20):
        assert one.text == ", ".join(code.lower() for code in one.statements)
        assert one.statements[0] in ("NORM", "IMI", "SR")


def test_row_seeds_are_distinct_and_fit_a_signed_integer() -> None:
    seeds = [row_seed(1, row) for row in range(2000)]
    assert len(set(seeds)) == 2000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert row_seed(2, 0) != row_seed(1, 0) == seeds[0]


def test_the_oldest_age_is_ninety() -> None:
    assert {draw_age("80+", share) for share in np.linspace(0, 0.9999, 100)} == set(map(float, range(80, 91)))
