"""Conditions asked for: groups of patients only, nothing of a single one, and the same whatever surrounds them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from tasks.conditions.cohort_design import design_cohort, draw_age, group_conditions, row_seed
from tasks.conditions.condition import conditions_of, rhythm_of, superclasses_of
from tasks.conditions.label_weights import MOST, calibrated
from tasks.conditions.patient_groups import PatientGroups, traits_of
from tasks.knowledge.demographics import age_band
from tasks.settings import CohortSettings

SETTINGS = CohortSettings(min_patients=5)
FACTS = {
    code: {"description": code.lower(), "superclass": superclass, "kind": kind}
    for code, superclass, kind in (
        ("NORM", "NORM", "diagnostic"),
        ("IMI", "MI", "diagnostic"),
        ("RARE", "CD", "diagnostic"),
        ("BLOCK", "CD", "diagnostic"),
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
    weights = {group.traits: group.recordings for group in design.groups}
    rare = own[-2]
    for person, condition in zip(people, own, strict=True):
        assert condition.heart_rate_bpm == pytest.approx(person[4], rel=1e-5)
        assert set(condition.statements) <= set(person[1])
        assert superclasses_of(condition.statements, FACTS) == superclasses_of(person[1], FACTS)
    assert Counter(traits_of(one, FACTS) for one in [*own[:-2], *own[-1:]] if one.statements != ("SR",)) == weights
    # Nobody else has these superclasses: such recordings are learned from under their own condition only.
    assert (set(rare.statements), rare.sex, rare.age_years) == ({"RARE", "IMI", "SR"}, "male", 50.0)
    assert design.facts.left_out == 2


def test_held_out_recordings_are_grouped_by_training_patients() -> None:
    held_out: list[Person] = [("new", ("NORM", "LOWT", "SR"), "female", 45.0, 66.0)]
    (condition,) = group_conditions(table(held_out), table(population()), SETTINGS.min_patients, FACTS)
    assert condition.statements == ("NORM", "SR")
    unheard: list[Person] = [("new", ("UNHEARD",), None, None, 66.0)]
    (condition,) = group_conditions(table(unheard), table(population()[-2:]), SETTINGS.min_patients, FACTS)
    assert condition.statements == ("UNHEARD",)


def test_every_condition_is_shared_by_enough_training_patients() -> None:
    people = table(population())
    patients = people["patient_key"].to_numpy(zero_copy_only=False)
    groups = PatientGroups(conditions_of(people, FACTS), patients, FACTS)
    for one in asked(population(), 200):
        assert groups.patients(groups.holders(traits_of(one, FACTS))) >= SETTINGS.min_patients


def test_many_recordings_of_one_patient_are_one_patient() -> None:
    people = [*population(), *[("rare", ("RARE", "IMI", "SR"), "male", 50.0, 171.0)] * 20]
    assert not any("RARE" in one.statements for one in asked(people, 300))


def test_rare_conditions_back_off_and_are_counted() -> None:
    people = [*population(), ("form", ("NORM", "LOWT", "SR"), "male", 50.0, 70.0), *crowd(5, ("SR",), age=70.0)]
    facts = design_cohort(table(people), SETTINGS, FACTS).facts
    # The rare one has superclasses that nobody shares, the child gives up its age, the form is one person's.
    assert (facts.training_recordings, facts.left_out, facts.backed_off) == (68, 1, 2)
    assert facts.given_up == {"age": 1, "form": 1}
    assert set(facts.lost_positives.values()) == {0.0}
    assert facts.several_superclasses.real == pytest.approx(1 / 68)
    assert (facts.statements["LOWT"].asked, facts.statements["LOWT"].real) == (0.0, pytest.approx(1 / 68))
    assert facts.statements["IMI"].asked == pytest.approx(20 / 67)


def test_a_group_says_what_many_of_its_recordings_have_beyond_it() -> None:
    forms = [("f", "STACH"), ("g", "PVC")]
    others: list[Person] = [(name, ("NORM", code), "male", 50.0, 80.0) for name, code in forms]
    design = design_cohort(table([*crowd(6, ("NORM",)), *others, *crowd(3, ("NORM",), age=70.0)]), SETTINGS, FACTS)
    said = {group.age_band: group.given_up for group in design.groups}
    assert said == {"40-59": ("form",), None: ("age",)}
    few = design_cohort(table([*crowd(30, ("NORM",)), *others[1:]]), SETTINGS, FACTS)
    assert [group.given_up for group in few.groups] == [()]


def crowd(size: int, statements: tuple[str, ...], sex: str | None = "male", age: float | None = 50.0) -> list[Person]:
    """People who are alike, but for their names and heart rates."""
    name = f"{'+'.join(statements)} {sex} {age}"
    return [(f"{name} {number}", statements, sex, age, 60.0 + number) for number in range(size)]


def stands_for(one: Person, others: list[Person]) -> tuple[set[str], str | None, str | None]:
    """Statements, sex and age band of the condition in place of a recording's own."""
    people = table([one, *others])
    first, *_ = group_conditions(people, people, SETTINGS.min_patients, FACTS)
    return set(first.statements), first.sex, age_band(first.age_years)


def test_the_age_goes_before_the_sex_and_both_before_a_statement() -> None:
    one: Person = ("one", ("IMI", "AFIB"), "male", 50.0, 80.0)
    alike = crowd(9, ("IMI",))
    other_age, other_sex = crowd(4, ("IMI", "AFIB"), age=70.0), crowd(4, ("IMI", "AFIB"), sex="female")
    neither = crowd(4, ("IMI", "AFIB"), sex="female", age=70.0)
    assert stands_for(one, [*alike, *other_age, *other_sex]) == ({"IMI", "AFIB"}, "male", None)
    # The age comes back where the sex has to go.
    assert stands_for(one, [*alike, *other_sex]) == ({"IMI", "AFIB"}, None, "40-59")
    assert stands_for(one, [*alike, *neither]) == ({"IMI", "AFIB"}, None, None)


def test_of_statements_the_least_informative_goes_first() -> None:
    one: Person = ("one", ("NORM", "AFIB", "SR", "LOWT"), "male", 50.0, 80.0)
    # Sinus rhythm is most people's, so that it says least, though more would be kept with it.
    common = crowd(60, ("NORM", "SR"))
    others = [*common, *crowd(5, ("NORM", "AFIB", "LOWT")), *crowd(9, ("NORM", "SR", "LOWT"))]
    assert stands_for(one, others) == ({"NORM", "AFIB", "LOWT"}, "male", "40-59")
    assert stands_for(one, [*common, *crowd(9, ("NORM", "SR", "LOWT"))])[0] == {"NORM", "SR", "LOWT"}


def test_no_superclass_is_ever_given_up_nor_added() -> None:
    both: Person = ("one", ("RARE", "IMI", "SR"), "male", 50.0, 80.0)
    # Enough people have either superclass, or both and a third, but nobody shares just these two.
    others = [*crowd(9, ("IMI", "SR")), *crowd(9, ("RARE", "SR")), *crowd(9, ("RARE", "IMI", "LVH", "SR"))]
    design = design_cohort(table([both, *others]), SETTINGS, FACTS)
    assert design.facts.left_out == 1
    assert {tuple(superclasses_of(group.statements, FACTS)) for group in design.groups} == (
        {("MI",), ("CD",), ("MI", "CD", "HYP")}
    )
    # Those with more superclasses do not count for a group with fewer, whose label would be false of them.
    assert {group.patients for group in design.groups} == {9}
    anywhere = [*crowd(4, ("RARE", "IMI"), sex="female", age=70.0), *others]
    assert stands_for(both, anywhere) == ({"RARE", "IMI"}, None, None)


def test_a_superclass_is_asked_for_itself_where_its_statements_are_too_rare() -> None:
    people = [(f"p{number}", (code, "IMI"), "male", 50.0, 70.0) for number, code in enumerate(("RARE", "BLOCK") * 3)]
    design = design_cohort(table(people), SETTINGS, FACTS)
    (group,) = design.groups
    condition = design.ask(1, 0, FACTS)
    assert (condition.statements, condition.superclasses) == (("IMI",), ("CD",))
    assert condition.all_superclasses(FACTS) == ["MI", "CD"]
    assert condition.text == "conduction disturbance, imi"
    assert group.given_up == ("diagnosis",)
    assert traits_of(condition, FACTS) == group.traits
    assert design.facts.lost_positives == {"CD": 0.0, "MI": 0.0}
    alone: list[Person] = [(code, (code,), None, None, 70.0) for code in ("RARE", "BLOCK")]
    assert design_cohort(table(alone), CohortSettings(min_patients=2), FACTS).ask(1, 0, FACTS).statements == ()


def test_coded_views_and_likelihoods_are_asked_for_where_enough_patients_share_them() -> None:
    def coded(names: str, axis: str, likelihood: float) -> pa.Table:
        people = table([(name, ("IMI", "SR"), "male", 50.0, 60.0) for name in names])
        stated = [[{"code": "IMI", "likelihood": likelihood}, {"code": "SR", "likelihood": 0.0}]] * len(names)
        views = [[{"view": "axis", "codes": [axis]}]] * len(names)
        people = people.set_column(people.schema.get_field_index("statements"), "statements", [stated])
        return people.append_column("coded_views", [views])

    people = pa.concat_tables([coded("abcdef", "LAD", 15.0), coded("ghi", "LAD", 80.0), coded("jk", "RAD", 100.0)])
    found = {
        (one.heart_axis, one.likelihoods) for one in group_conditions(people, people, SETTINGS.min_patients, FACTS)
    }
    assert found == {("LAD", (15.0, None)), ("LAD", (None, None)), (None, (None, None))}
    design = design_cohort(people, SETTINGS, FACTS)
    assert design.facts.given_up == {"heart axis": 2, "likelihood": 3}
    assert {design.ask(1, row, FACTS).text for row in range(40)} == {
        "possible imi, sr, left axis deviation",
        "imi, sr, left axis deviation",
        "imi, sr",
    }


def test_findings_of_reports_are_asked_for_where_enough_patients_share_them() -> None:
    people = table([(name, ("IMI", "SR"), "male", 50.0, 60.0) for name in "abcdefg"])
    reports = ["Dr. Who: poor R-wave progression"] * 5 + ["poor R-wave progression. low limb lead voltage"] * 2
    people = people.append_column("text", [reports])
    found = {one.findings for one in group_conditions(people, people, SETTINGS.min_patients, FACTS)}
    assert found == {("poor R-wave progression",)}
    design = design_cohort(people, SETTINGS, FACTS)
    condition, (group,) = design.ask(1, 0, FACTS), design.groups
    assert condition.findings == ("poor R-wave progression",) and condition.text == "imi, sr"
    assert traits_of(condition, FACTS) == group.traits and group.patients == 7
    assert design.facts.given_up == {"finding": 2}


def test_a_statement_is_asked_for_as_often_as_it_is_there() -> None:
    """Though most of those who have it give it up, since each has it beside something else that is rare."""
    people = [*crowd(200, ("NORM", "SR")), *crowd(10, ("NORM", "LOWT"))]
    people += [
        (f"{code} {number}", ("NORM", "LOWT", code), "male", 50.0, 70.0)
        for code in ("PVC", "STACH", "SBRAD", "PACE", "SARRH")
        for number in range(4)
    ]
    people += [(f"lone {number}", ("NORM", "SR", f"odd {number}"), "male", 50.0, 70.0) for number in range(30)]
    facts = design_cohort(table(people), SETTINGS, FACTS).facts
    assert facts.statements["LOWT"].real == pytest.approx(30 / 260)
    for code in ("NORM", "SR", "LOWT"):
        assert facts.statements[code].asked == pytest.approx(facts.statements[code].real, rel=0.01)


def test_calibration_keeps_superclasses_and_bounds_every_weight() -> None:
    statements = [frozenset(codes.split()) for codes in ("A", "A X", "B", "B X Y", "B Y")]
    counts = {"A": 100, "B": 60}
    weights = np.array([98.0, 2.0, 40.0, 10.0, 10.0])
    found = calibrated(weights, ["A", "A", "B", "B", "B"], statements, counts, {"X": 30, "Y": 20, "B": 60})
    assert (found[:2].sum(), found[2:].sum()) == (pytest.approx(100), pytest.approx(60))
    assert found[[3, 4]].sum() == pytest.approx(20, rel=0.01)
    assert found[[1, 3]].sum() == pytest.approx(2 * MOST + found[3], rel=0.15)
    assert (found / weights <= MOST * 1.2).all()


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
            and superclasses_of(one.statements, FACTS) == superclasses_of(person[1], FACTS)
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
    # A twentieth of the people has no age or sex at all; statements are kept at the cost of more.
    assert np.mean([one.age_years is None for one in rows]) <= 0.25
    assert np.mean([one.sex is None for one in rows]) <= 0.10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_number_of_rows_has_each_rhythm_as_often_as_it_should(seed: int) -> None:
    design = design_cohort(table(mixed_people(600, 5)), SETTINGS, FACTS)
    share: Counter[str] = Counter()
    for group in design.groups:
        share[rhythm_of(sorted(group.statements))] += group.weight / sum(one.weight for one in design.groups)
    found: Counter[str] = Counter()
    for row in range(400):
        found[rhythm_of(design.ask(seed, row, FACTS).statements)] += 1
        assert all(abs(found[rhythm] - (row + 1) * share[rhythm]) < 3 for rhythm in share)


def test_recordings_that_fit_no_group_are_counted_as_left_out() -> None:
    lonely: list[Person] = [("x", ("ONLY",), "male", 50.0, 60.0), ("y", (), "male", 50.0, 60.0)]
    facts = design_cohort(table([*population(), *lonely]), SETTINGS, FACTS).facts
    assert facts.left_out == 4  # and the child and the rare one of the population
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
