"""Conditions asked for: groups of patients only, nothing of a single one, and the same whatever surrounds them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import ndtri
from scipy.stats.mstats import hdquantiles

from tasks.conditions.cohort_design import PatientGroups, design_cohort, draw_age, group_conditions, row_seed
from tasks.conditions.condition import Condition, rhythm_of
from tasks.conditions.heart_rate_law import LARGEST_WEIGHT, QUANTILES, HeartRateLaw, heart_rate_law, order_weights
from tasks.knowledge.demographics import age_band
from tasks.settings import CohortSettings

SETTINGS = CohortSettings(min_patients=5)
FACTS = {
    code: {"description": code.lower(), "superclass": superclass, "kind": kind}
    for code, superclass, kind in (
        ("NORM", "NORM", "diagnostic"),
        ("IMI", "MI", "diagnostic"),
        ("RARE", "CD", "diagnostic"),
        ("LVH", "HYP", "diagnostic"),
        ("SR", None, "rhythm"),
        ("AFIB", None, "rhythm"),
        ("PVC", None, "form"),
        ("LOWT", None, "form"),
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


def crowd(size: int, statements: tuple[str, ...], sex: str | None = "male", age: float | None = 50.0) -> list[Person]:
    """People who are alike, but for their names and heart rates."""
    name = f"{'+'.join(statements)} {sex} {age}"
    return [(f"{name} {number}", statements, sex, age, 60.0 + number) for number in range(size)]


def stands_for(one: Person, others: list[Person]) -> tuple[set[str], str | None, str | None]:
    """Statements, sex and age band of the condition in place of a recording's own."""
    people = table([one, *others])
    first, *_ = group_conditions(people, people, SETTINGS.min_patients, FACTS)
    return set(first.statements), first.sex, age_band(first.age_years)


def test_a_rhythm_is_kept_where_a_form_is_dropped() -> None:
    # The form is the more common one.
    others = [*crowd(8, ("NORM", "LOWT", "SR")), *crowd(5, ("NORM", "AFIB"))]
    one: Person = ("one", ("NORM", "AFIB", "LOWT"), "male", 50.0, 80.0)
    assert stands_for(one, others) == ({"NORM", "AFIB"}, "male", "40-59")


def test_a_form_and_sinus_rhythm_go_before_the_age() -> None:
    # With its age open, the recording could keep all statements.
    others = [*crowd(4, ("IMI",)), *crowd(9, ("IMI", "LOWT", "SR"), age=70.0)]
    one: Person = ("one", ("IMI", "LOWT", "SR"), "male", 50.0, 80.0)
    assert stands_for(one, others) == ({"IMI"}, "male", "40-59")


def test_a_diagnosis_beside_another_goes_before_the_age_and_the_last_one_does_not() -> None:
    one: Person = ("one", ("RARE", "IMI"), "male", 50.0, 80.0)
    others = [*crowd(4, ("IMI",)), *crowd(9, ("RARE", "IMI"), age=70.0)]
    assert stands_for(one, others) == ({"IMI"}, "male", "40-59")
    # Of two that could be kept, the rarer one goes.
    assert stands_for(one, [*crowd(4, ("IMI",)), *crowd(4, ("RARE",)), *crowd(1, ("IMI",), age=70.0)])[0] == {"IMI"}
    only: Person = ("one", ("RARE", "SR"), "male", 50.0, 80.0)
    others = [*crowd(9, ("SR",)), *crowd(9, ("RARE",), sex="female", age=70.0)]
    assert stands_for(only, others) == ({"RARE"}, None, None)


def test_age_goes_before_sex_and_both_before_the_rhythm() -> None:
    one: Person = ("one", ("IMI", "AFIB"), "male", 50.0, 80.0)
    alike = crowd(9, ("IMI",))
    other_age, other_sex = crowd(4, ("IMI", "AFIB"), age=70.0), crowd(4, ("IMI", "AFIB"), sex="female")
    neither = crowd(4, ("IMI", "AFIB"), sex="female", age=70.0)
    assert stands_for(one, [*alike, *other_age, *other_sex]) == ({"IMI", "AFIB"}, "male", None)
    # The age comes back where the sex has to go.
    assert stands_for(one, [*alike, *other_sex]) == ({"IMI", "AFIB"}, None, "40-59")
    assert stands_for(one, [*alike, *neither]) == ({"IMI", "AFIB"}, None, None)


def test_a_rhythm_goes_before_the_last_diagnosis_and_the_deciding_one_last() -> None:
    one: Person = ("one", ("IMI", "AFIB"), "male", 50.0, 80.0)
    assert stands_for(one, [*crowd(4, ("IMI",)), *crowd(9, ("AFIB",))]) == ({"IMI"}, "male", "40-59")
    # Fibrillation decides on the rhythm, though ectopic beats are more common.
    both: Person = ("one", ("IMI", "AFIB", "PVC"), "male", 50.0, 80.0)
    others = [*crowd(5, ("IMI", "AFIB")), *crowd(20, ("IMI", "PVC"))]
    assert stands_for(both, others) == ({"IMI", "AFIB"}, "male", "40-59")


def mixed_people(size: int, seed: int) -> list[Person]:
    """People with several statements each; some come twice, some lack a number."""
    rng = np.random.default_rng(seed)
    usual = {"sinus": (70, 10), "atrial fibrillation": (95, 25), "ectopic beats": (80, 15)}
    people: list[Person] = []
    for number in range(size):
        codes = {str(rng.choice(["NORM", "NORM", "IMI", "LVH"]))}
        codes |= {code for code, share in (("RARE", 0.05), ("IMI", 0.1), ("LOWT", 0.2)) if rng.random() < share}
        codes |= {str(rng.choice(["SR", "AFIB", "PVC"], p=[0.8, 0.1, 0.1]))}
        sex = None if rng.random() < 0.03 else str(rng.choice(["female", "male"]))
        age = None if rng.random() < 0.03 else float(rng.integers(10, 90))
        rate = None if rng.random() < 0.1 else float(rng.normal(*usual[rhythm_of(tuple(codes))]))
        patient = f"p{number - 1}" if number and rng.random() < 0.15 else f"p{number}"
        people.append((patient, tuple(sorted(codes)), sex, age, rate))
    return people


@pytest.mark.parametrize("min_patients", [1, 2, 5, 12])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_row_and_its_heart_rate_come_from_enough_patients(min_patients: int, seed: int) -> None:
    people = mixed_people(250, seed)
    design = design_cohort(table(people), SETTINGS.model_copy(update={"min_patients": min_patients}), FACTS)
    heard = 0
    for row in range(300):
        one = design.ask(seed, row, FACTS)
        band = age_band(one.age_years)
        # Counted without the design's own index.
        members = [
            person
            for person in people
            if set(one.statements) <= set(person[1])
            and one.sex in (None, person[2])
            and band in (None, age_band(person[3]))
        ]
        assert len({patient for patient, *_ in members}) >= min_patients
        known = {patient for patient, *_, rate in members if rate is not None}
        assert (one.heart_rate_bpm is not None) == (len(known) >= max(min_patients, 5))
        heard += one.heart_rate_bpm is not None
    assert heard > 30


def test_rhythms_and_the_spread_of_heart_rates_are_those_of_the_recordings() -> None:
    people = mixed_people(1200, 4)
    design = design_cohort(table(people), SETTINGS, FACTS)
    rows = [design.ask(1, row, FACTS) for row in range(450)]
    real = Counter(rhythm_of(codes) for _, codes, *_ in people)
    found = Counter(rhythm_of(one.statements) for one in rows)
    assert len(real) == 3
    for rhythm, count in real.items():
        assert found[rhythm] / 450 == pytest.approx(count / 1200, rel=1 / 3)
    spread = np.std([rate for *_, rate in people if rate is not None])
    rates = [one.heart_rate_bpm for one in rows if one.heart_rate_bpm is not None]
    assert len(rates) > 400
    assert np.std(rates) == pytest.approx(spread, rel=0.15)
    assert np.mean([one.age_years is None for one in rows]) <= 0.15
    assert np.mean([one.sex is None for one in rows]) <= 0.10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_number_of_rows_has_each_rhythm_as_often_as_it_should(seed: int) -> None:
    design = design_cohort(table(mixed_people(600, 5)), SETTINGS, FACTS)
    share: Counter[str] = Counter()
    for group in design.groups:
        share[rhythm_of(group.statements)] += group.recordings / sum(one.recordings for one in design.groups)
    found: Counter[str] = Counter()
    for row in range(400):
        found[rhythm_of(design.ask(seed, row, FACTS).statements)] += 1
        assert all(abs(found[rhythm] - (row + 1) * share[rhythm]) < 3 for rhythm in share)


def law_of(rates: list[float] | np.ndarray, min_patients: int = 5) -> HeartRateLaw:
    found = heart_rate_law(np.array(rates, dtype=float), np.arange(len(rates)), min_patients)
    assert found is not None
    return found


def drawn(law: HeartRateLaw, count: int = 4000) -> np.ndarray:
    """Heart rates at evenly spread shares."""
    return np.array([law.draw((rank + 0.5) / count) for rank in range(count)])


@pytest.mark.parametrize("size", [5, 8, 25, 26, 300])
@pytest.mark.parametrize("step", [0.1, 5.0, 30.0])
def test_a_heart_rate_rises_with_its_share(size: int, step: float) -> None:
    # Rates come in steps, so many are equal.
    rates = np.round(np.random.default_rng(size).normal(80, 20, size) / step) * step
    found = drawn(law_of(rates))
    assert (np.diff(found) > 0).all()
    assert len(np.unique(found)) == len(found)


@pytest.mark.parametrize(("size", "tolerance"), [(40, 0.15), (400, 0.06)])
def test_the_law_keeps_the_spread_and_shape_of_a_large_group(size: int, tolerance: float) -> None:
    rates = 45 + np.random.default_rng(3).gamma(3, 12, size)
    found = drawn(law_of(rates))
    assert np.std(found) == pytest.approx(np.std(rates), rel=tolerance)
    assert np.percentile(found, [5, 25, 50, 75, 95]) == pytest.approx(
        np.percentile(rates, [5, 25, 50, 75, 95]), rel=tolerance
    )
    assert found.min() < np.percentile(rates, 3) and found.max() > np.percentile(rates, 97)


def test_the_law_bends_at_harrell_and_davis_quantiles_and_is_straight_beyond() -> None:
    rates = np.random.default_rng(5).normal(80, 10, 60)
    law = law_of(rates)
    assert law.rates_bpm[1:-1] == pytest.approx(hdquantiles(rates, QUANTILES))
    slopes = np.diff(law.rates_bpm) / np.diff(law.scores)
    assert (slopes[0], slopes[-1]) == pytest.approx((slopes[1], slopes[-2]))
    assert (law.scores[0], law.scores[-1]) == pytest.approx(ndtri([0.005, 0.995]))


def test_no_patient_makes_more_than_half_of_a_quantile() -> None:
    assert [len(law_of(np.arange(60.0, 60 + size)).scores) for size in (5, 25, 26)] == [5, 5, 7]
    for size in range(5, 120):
        used = QUANTILES if size >= 26 else QUANTILES[1:-1]
        for share in used:
            weights = order_weights(size, share)
            assert weights.max() <= LARGEST_WEIGHT
            assert weights.sum() == pytest.approx(1)
    # Ten beats more of the fastest patient move the highest quantile of the smallest group by less than half of that.
    group = [60.0, 64.0, 70.0, 75.0]
    highest = [law_of([*group, fastest]).rates_bpm[-2] for fastest in (80.0, 90.0)]
    assert 0 < highest[1] - highest[0] < 5


@pytest.mark.parametrize("rates", [[26, 60, 90, 150, 219], [25.5] * 4 + [40], [180, 190, 219, 219.5, 219.9]])
def test_tails_are_bounded_and_do_not_pile_up_at_the_bounds(rates: list[float]) -> None:
    found = drawn(law_of(rates))
    assert 25 < found.min() < found.max() < 220
    assert len(np.unique(found)) == len(found)


def test_a_patient_with_many_recordings_has_one_rate() -> None:
    rates = np.array([60.0, 62.0, 64.0, 66.0, *[170.0] * 30])
    patients = np.array(["a", "b", "c", "d", *["e"] * 30])
    assert heart_rate_law(rates, patients, 5) == law_of([60.0, 62.0, 64.0, 66.0, 170.0])
    assert heart_rate_law(rates[1:], patients[1:], 1) is None
    assert heart_rate_law(np.full(9, np.nan), np.arange(9), 1) is None
    assert heart_rate_law(np.arange(60.0, 69.0), np.arange(9), 10) is None


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
    assert np.std(rates) == pytest.approx(np.std(truth), rel=0.2)
    assert not {min(rates), max(rates)} & {min(truth), max(truth)}
    assert len(set(rates)) == len(rates), "clipping would repeat the ends of the range"
    ages = [one.age_years for one in conditions if one.age_years is not None]
    assert {40.0, 59.0} <= set(ages), "ages cover the band, not the patients"


def test_a_group_with_one_rate_gives_a_range_and_an_unknown_rate_stays_unknown() -> None:
    same: list[Person] = [(f"p{number}", ("SR",), "male", 50.0, 60.0) for number in range(6)]
    unknown: list[Person] = [(f"q{number}", ("SR",), None, None, None) for number in range(6)]
    rates = [one.heart_rate_bpm for one in asked(same, 400)]
    assert 60.0 not in rates
    assert np.mean(rates) == pytest.approx(60, abs=0.2)
    assert np.std(rates) == pytest.approx(1, abs=0.15)
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
