"""Whole comparisons where the truth is known: synthetic ECGs that carry the signal help, shuffled ones do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.augmentation.checks import best_synthetic
from benchmarks.augmentation.comparison import Arm, Comparison
from benchmarks.augmentation.judge import Judge
from benchmarks.augmentation.network import Optimisation
from benchmarks.augmentation.runs import Results
from benchmarks.augmentation.tables import ReportedSet, Row, Tables
from tasks.settings import ComputeSettings
from tests.benchmarks.augmentation.made_up_ecgs import LABELLING, SHAPE, JobsHere, made_up, supply_of

RECIPES = ("real only", "real + jitter", "synthetic only", "half synthetic", "pre-trained on synthetic")


Compared = tuple[list[Row], list[Arm], Comparison]


def compared(folder: Path, recipes: tuple[str, ...], shuffled: bool = False) -> Compared:
    train, validation, test = (made_up(count, seed) for count, seed in ((400, 1), (200, 2), (300, 3)))
    supply = supply_of(folder, train, validation, made_up(1000, 4, shuffled=shuffled), seeds=(1, 2))
    test.save(folder / "test")
    jobs = JobsHere(Results(folder / "runs"), ComputeSettings())
    judge = Judge(LABELLING, validation, jobs.results)
    grid = (Optimisation(0.03, 35),)
    comparison = Comparison(supply, LABELLING, "network", recipes, grid, judge, jobs, SHAPE)
    arms = comparison.arms({"test": str(folder / "test")})
    rows = Tables(comparison, samples=60).rows(arms, [ReportedSet("test", test)])
    return [row for row in rows if row["labels"] == "superclasses" and row["metric"] == "macro AUC"], arms, comparison


@pytest.fixture(scope="module")
def informed(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    return compared(tmp_path_factory.mktemp("informed"), RECIPES)


def test_synthetic_ecgs_that_carry_the_signal_help(informed: Compared) -> None:
    rows, arms, comparison = informed
    assert [row["recipe"] for row in rows] == list(RECIPES)
    best = best_synthetic(rows)
    assert best is not None and best["gain_value"] > 0.05 and best["gain_low"] > 0
    assert best["best_classical"] in RECIPES[:2] and best["seeds"] == [1, 2]
    assert (best["n"], best["patients"], best["outputs"]) == (300, 150, 5)
    half = next(arm for arm in arms if arm.recipe.name == "half synthetic")
    assert {(run.draw, run.seed, run.purpose) for run in half.runs} == {(1, 1, "score"), (2, 2, "score")}
    # What began with weights began with those of its own seed.
    made_only, begun = (
        next(arm for arm in arms if arm.recipe.name == name) for name in ("synthetic only", "pre-trained on synthetic")
    )
    assert [run.begins_with for run in begun.runs] == [run.key for run in made_only.runs]
    # The same call again finds everything.
    made = comparison.jobs.made
    comparison.arms({"test": str(comparison.jobs.results.folder.parent / "test")})
    assert comparison.jobs.made == made


def test_shuffled_synthetic_ecgs_do_not_help(tmp_path: Path) -> None:
    rows, _, _ = compared(tmp_path, ("real only", "synthetic only", "half synthetic"), shuffled=True)
    best = best_synthetic(rows)
    assert best is not None and best["gain_low"] < 0
    alone = next(row for row in rows if row["recipe"] == "synthetic only")
    assert alone["high"] < 0.7 and alone["gain_high"] < 0


def test_the_best_classical_recipe_is_chosen_on_fold_9(informed: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, arms, comparison = informed
    judge = Judge(LABELLING, comparison.judge.validation, comparison.jobs.results)
    tables = Tables(replace(comparison, judge=judge), samples=10)
    asked: list[str] = []
    real = Results.predictions

    def watched(self: Results, run: object) -> dict[str, object]:
        class Watched(dict[str, object]):
            def __getitem__(self, name: str) -> object:
                asked.append(name)
                return super().__getitem__(name)

        return Watched(real(self, run))  # type: ignore[arg-type]

    monkeypatch.setattr(Results, "predictions", watched)
    best = tables.best(arms, 0.1, "classical")
    assert best is not None and best.recipe.name == rows[-1]["best_classical"]
    assert set(asked) == {"validation"}
