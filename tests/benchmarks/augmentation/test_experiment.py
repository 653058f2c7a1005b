"""The whole benchmark on a small warehouse, and its record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.augmentation import choices
from benchmarks.augmentation import experiment as module
from benchmarks.augmentation.data import AugmentationError
from benchmarks.augmentation.experiment import Experiment
from benchmarks.augmentation.inputs import Inputs
from benchmarks.augmentation.network import Optimisation
from benchmarks.augmentation.plan import FULL, QUICK, Plan
from benchmarks.augmentation.recipes import IMBALANCED_RECIPES, RECIPES
from benchmarks.augmentation.runs import Results
from benchmarks.page import page
from benchmarks.record import publish
from tasks.settings import Settings
from tests.benchmarks.augmentation.made_up_ecgs import SHAPE, JobsHere
from tests.tasks.clinic import cohort_table, people, put_cohort, put_model, put_recordings, recordings_table
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

PLAN = Plan(
    shares=(0.5, 1.0),
    seeds=(1, 2),
    recipes=("real only", "synthetic only", "pre-trained on synthetic"),
    imbalanced_recipes=("oversampled",),
    grids={"network": (Optimisation(0.01, 3), Optimisation(0.01, 4)), "boosting": (Optimisation(0.1, 2),)},
    imbalanced_grid=(Optimisation(0.01, 3),),
    ratios=(10,),
    sizes=(10, 50),
    bootstrap_samples=10,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("clinic")))


@pytest.fixture(scope="module")
def recordings(store: Store) -> Reference:
    return put_recordings(store, recordings_table(60))


def test_a_whole_run_is_reported_and_found_again(
    store: Store, recordings: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHAPE", SHAPE)
    monkeypatch.setattr(choices, "OPTIMISATION", Optimisation(0.01, 2))
    model, _ = put_model(store, recordings)
    given = [put_cohort(store, recordings, cohort_table(*people(20, seed)), str(seed), model) for seed in (2, 3)]
    settings = Settings.model_validate({"source": {"kind": "simulated"}, "warehouse": {"uri": str(store.root)}})
    inputs = Inputs(store, recordings, tmp_path / "ecgs")
    made = []
    for _ in range(2):
        jobs = JobsHere(Results(tmp_path / "runs"), settings.compute)
        found = Experiment(settings, PLAN, inputs, jobs).report([inputs.cohort(one.id) for one in given], {}, own=False)
        made.append((jobs.made, jobs.found))
    # Choices: 2 cohorts and 2 sizes, of which one was a cohort, and a filter; then tuning and scoring of each recipe.
    assert made[0][0] > 20 and made[1] == (0, sum(made[0]))
    questions = [row["question"] for row in found.details["choices"]]
    assert questions == ["cohort"] * 2 + ["synthetic ECGs"] * 2 + ["filter by agreement"] * 2
    rows = found.details["rows"]
    assert {row["regime"] for row in rows} == {"release consumer"} and {row["set"] for row in rows} == {"test"}
    assert {row["classifier"] for row in rows} == {"network", "boosting"}
    assert {row["task"] for row in rows} == {"all labels", "female against male, 1:10"}
    assert not any(value != value for row in rows for value in row.values() if isinstance(value, float))
    assert {one["patients_seen"] for one in found.details["cohorts"]} == {48}
    assert any("published" in check.name for check in found.checks)
    shown = {"seconds": 1.0, "settings": {}, "details": found.details, "results": tmp_path}
    publish("augmentation", found.checks, quick=False, **shown)  # type: ignore[arg-type]
    text = (tmp_path / "augmentation.json").read_text()
    assert str(tmp_path) not in text and str(store.root) not in text and "patient-" not in text
    assert json.loads(text)["details"]["rows"] == rows
    assert "| pre-trained on synthetic |" in page(tmp_path)


def test_what_is_not_there_is_refused(store: Store, recordings: Reference, tmp_path: Path) -> None:
    inputs = Inputs(store, recordings, tmp_path)
    with pytest.raises(AugmentationError, match="no cohort none in"):
        inputs.cohort("none")
    with pytest.raises(AugmentationError, match="give the folder of one version of a release"):
        inputs.release(tmp_path)


def test_a_release_is_read_from_its_files(store: Store, recordings: Reference, tmp_path: Path) -> None:
    cohort = put_cohort(store, recordings, cohort_table(*people(7, 5)), "released")
    folder = tmp_path / "some" / "v1"
    folder.parent.mkdir()
    folder.symlink_to(store.path(cohort))
    found = Inputs(store, recordings, tmp_path).release(folder)
    assert (found.name, found.count, found.patients_seen) == ("some v1", 7, None)


def test_plans_name_recipes_that_exist() -> None:
    for plan in (FULL, QUICK):
        assert set(plan.recipes) <= set(RECIPES) and set(plan.imbalanced_recipes) <= set(IMBALANCED_RECIPES)
        assert 0 not in plan.seeds
    assert len(FULL.seeds) >= 5 and set(FULL.shares) == {0.003, 0.01, 0.03, 0.1, 0.3, 1.0}
    assert (QUICK.shares, len(QUICK.seeds)) == ((0.01, 0.1, 1.0), 2)
