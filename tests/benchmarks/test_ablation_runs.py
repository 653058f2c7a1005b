"""The simulator's cohort is one like any other: same conditions and seeds, committed once, found again."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest

from benchmarks.ablation_arms import SIMULATOR_ALONE
from benchmarks.ablation_runs import simulate_cohort, with_residual_of_simulator
from benchmarks.ablation_table import Run
from tasks.cohort_design import design_cohort, row_seed
from tasks.evaluation import model_behind
from tasks.generation import DESIGN_COLUMNS
from tasks.settings import Settings
from tests.tasks.clinic import put_model, put_recordings, recordings_table
from warehouse import schema
from warehouse.reference import Reference
from warehouse.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("ablation")))


@pytest.fixture(scope="module")
def recordings(store: Store) -> Reference:
    return put_recordings(store, recordings_table(60))


def settings_of(store: Store, **cohort: int) -> Settings:
    return Settings.model_validate(
        {
            "warehouse": {"uri": str(store.root)},
            "source": {"kind": "simulated"},
            "cohort": {"name": "alone", "size": 10, "rows_per_part": 4, **cohort},
            "evaluation": {"bootstrap_samples": 20},
        }
    )


def test_it_asks_what_a_generated_cohort_asks(store: Store, recordings: Reference) -> None:
    settings = settings_of(store, seed=5)
    found = simulate_cohort.fn(settings, recordings)
    table = store.read(found, "cohorts")
    assert table.schema.equals(schema.cohorts(1000, 100)) and table.num_rows == 10
    statements = store.manifest(recordings).facts["statements"]
    known = store.read(recordings, "recordings", DESIGN_COLUMNS)
    design = design_cohort(known.filter(pc.equal(known["split"], "train")), settings.cohort, statements)
    for row, one in enumerate(table.to_pylist()):
        asked = design.ask(5, row, statements)
        assert (one["row_number"], one["row_seed"]) == (row, row_seed(5, row))
        assert (one["text"], tuple(one["statements"])) == (asked.text, asked.statements)
        assert one["heart_rate_bpm"] == pytest.approx(asked.heart_rate_bpm, abs=4)
    assert model_behind(store, found) is None
    assert store.manifest(found).facts["records_per_second"] > 0


def test_it_is_made_once_per_seed(store: Store, recordings: Reference) -> None:
    first = simulate_cohort.fn(settings_of(store, seed=5), recordings)
    assert simulate_cohort.fn(settings_of(store, seed=5), recordings) == first
    other = simulate_cohort.fn(settings_of(store, seed=6), recordings)
    assert other.id != first.id
    leads = [store.read(one, "cohorts", ["lead_ii"])["lead_ii"][0].as_py() for one in (first, other)]
    assert leads[0] != leads[1]


def test_its_ode_residual_is_by_the_equation_of_another_arm(store: Store, recordings: Reference) -> None:
    settings = settings_of(store, seed=5)
    cohort, (model, _) = simulate_cohort.fn(settings, recordings), put_model(store, recordings)

    def alone() -> Run:
        return Run(arm=SIMULATOR_ALONE, training_seed=None, cohort_seed=5, made={"cohort": cohort.id})

    without = [alone()]
    with_residual_of_simulator(without, settings, recordings)
    assert without[0].figures == {}
    runs = [alone(), Run(arm="base", training_seed=1, cohort_seed=5, made={"model": model.id})]
    with_residual_of_simulator(runs, settings, recordings)
    found = runs[0].figures["ODE residual"]
    assert found.value is not None and found.low is not None and 0 < found.low < found.value
    assert runs[1].figures == {}
