"""The targets and the tables, from rows whose values are known."""

from __future__ import annotations

from typing import Any

from benchmarks.augmentation.checks import checks
from benchmarks.augmentation.pages import reading_tables
from benchmarks.record import Check


def row(share: float, recipe: str, family: str, value: float, fold_9: float, **changes: Any) -> dict[str, Any]:
    usual = {
        "regime": "release consumer",
        "task": "all labels",
        "labels": "superclasses",
        "outputs": 5,
        "set": "test",
        "classifier": "network",
        "share": share,
        "recipe": recipe,
        "family": family,
        "metric": "macro AUC",
        "value": value,
        "low": value - 0.01,
        "high": value + 0.01,
        "best_classical": "real only",
        "n": 1800,
        "seeds": [1, 2],
        "made_ecgs": 20000,
        "fold_9": fold_9,
    }
    return {**usual, **changes}


ROWS = [
    row(0.01, "real only", "classical", 0.80, 0.80),
    row(0.01, "half synthetic", "synthetic", 0.86, 0.85, gain_value=0.06, gain_low=0.04, gain_high=0.08),
    # Better on fold 10, but not what fold 9 chooses.
    row(0.01, "synthetic only", "synthetic", 0.88, 0.84, gain_value=0.08, gain_low=0.06, gain_high=0.10),
    row(0.1, "half synthetic", "synthetic", 0.89, 0.89, gain_value=0.01, gain_low=-0.01, gain_high=0.03),
    row(1.0, "real only", "classical", 0.925, 0.92),
    row(1.0, "synthetic only", "synthetic", 0.88, 0.88, gain_value=-0.04, gain_low=-0.05, gain_high=-0.03),
    row(
        0.03, "half synthetic", "synthetic", 0.8, 0.8, regime="self-augmentation",
        gain_value=0.2, gain_low=0.1, gain_high=0.3,
    ),
    row(1.0, "oversampled", "classical", 0.5, 0.5, task="AF, 1:10", labels="AF, 1:10", metric="macro F1"),
    row(
        1.0, "filled with synthetic", "synthetic", 0.6, 0.6, task="AF, 1:10", labels="AF, 1:10", metric="macro F1",
        gain_value=0.1, gain_low=0.02, gain_high=0.2, best_classical="oversampled",
    ),
]  # fmt: skip


def named(words: str) -> Check:
    return next(one for one in checks(ROWS) if words in one.name)


def test_the_recipe_is_the_one_that_fold_9_chose() -> None:
    found = named("consumer, 1.0% real: half synthetic − real only, macro AUC")
    assert (found.value, found.low, found.high, found.target, found.met) == (6.0, 4.0, 8.0, 4.7, True)
    bound = named("1.0% real: half synthetic − real only, macro AUC, lower end")
    assert (bound.value, bound.target, bound.met) == (4.0, 0.0, True)


def test_targets_are_missed_where_they_are() -> None:
    assert named("10.0% real").met is False
    assert named("100 % real: synthetic only − real only, macro AUC, lower end").met is False
    ratio = named("ratio of macro AUC")
    assert ratio.value == 0.9514 and ratio.met is False and "20,000" in ratio.name
    assert named("published").met is True


def test_regimes_and_tasks_are_not_mixed() -> None:
    own = named("self-augmentation, 3.0% real")
    assert (own.value, own.target) == (20.0, None)
    assert not any("consumer, 3.0%" in one.name for one in checks(ROWS))
    filled = named("AF, 1:10: filled with synthetic − oversampled, F1")
    assert (filled.value, filled.target, filled.met) == (10.0, 5.0, True)


def test_missing_rows_give_no_checks() -> None:
    assert checks([]) == []


def test_tables_show_every_cell_once() -> None:
    choice = {"question": "cohort", "candidate": "a", "value": 0.9, "low": 0.8, "high": 0.95, "chosen": True}
    consumer, own, rare, chosen = reading_tables(ROWS, [choice])
    assert consumer["head"] == ["recipe", "1.0% real", "10.0% real", "100.0% real"]
    assert ["half synthetic", "0.860 (0.850 – 0.870); +6.0", "0.890 (0.880 – 0.900); +1.0", "–"] in consumer["rows"]
    assert own["title"].startswith("self-augmentation") and len(own["rows"]) == 1
    assert rare["head"] == ["task", "recordings", "oversampled", "filled with synthetic"]
    assert chosen["rows"] == [["a", "0.900 (0.800 – 0.950)", "yes"]]
