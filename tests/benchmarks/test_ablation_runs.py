"""Making runs: keys that say what was measured, the simulator's cohort, and what runs get from one another's models."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest

from benchmarks import ablation_runs
from benchmarks.ablation_arms import ARMS, SIMULATOR_ALONE, Planned, Profile
from benchmarks.ablation_runs import key_of, simulate_cohort, with_residual_of_simulator, with_training_speeds
from benchmarks.ablation_table import TRAINING_SPEED, Figure, Run
from tasks.conditions.cohort_design import design_cohort, row_seed
from tasks.evaluation.comparison import behind
from tasks.generation.task import DESIGN_COLUMNS
from tasks.settings import Settings
from tasks.stage import Stage
from tests.tasks.clinic import put_model, put_recordings, recordings_table
from warehouse import schema
from warehouse.storage.reference import Kind, Reference
from warehouse.storage.store import Store

BASE = Planned("base", 1, 1)


def reference(kind: Kind, identifier: str) -> Reference:
    return Reference(kind=kind, id=identifier, uri="", rows=1, sha256="")


def key(*words: str, planned: Planned = BASE, recordings: str = "r", knowledge: str = "k") -> str:
    settings = Profile("ptbxl-mini", words).settings(planned.overrides())
    return key_of(planned, settings, reference("recordings", recordings), reference("knowledge", knowledge))


def test_a_key_says_what_was_measured() -> None:
    runs = [Planned(arm, seed, cohort) for arm in ARMS for seed in (1, 2) for cohort in (1, 2)]
    runs += [Planned(SIMULATOR_ALONE, None, cohort) for cohort in (1, 2)]
    assert len({key(planned=one) for one in runs}) == len(runs)
    words = (
        "training.autoencoder.steps=7",
        "training.diffusion.learning_rate=0.1",
        "cohort.size=70",
        "cohort.trait_guidance=2",
        "evaluation.bootstrap_samples=70",
        "retrieval.top_k=2",
    )
    shaped = [key(word) for word in words]
    others = [key(recordings="other"), key(knowledge="other")]
    assert len({key(), *shaped, *others}) == 1 + len(words) + 2


def test_a_key_does_not_know_how_or_where_a_run_was_made() -> None:
    words = (
        "warehouse.uri=elsewhere",
        "compute.cpus=7",
        "training.report_every_steps=7",
        "cohort.batch_size=7",
        "cohort.workers=2",
        "privacy.seed=7",
        "release.title=seven",
        # Whose id has it already.
        "knowledge.temperature=0.7",
    )
    assert {key(word) for word in words} == {key()}


def test_a_key_knows_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    *others, last = ablation_runs.STAGES
    raised = Stage(last.name, last.makes, last.code_version + 1)
    monkeypatch.setattr(ablation_runs, "STAGES", (*others, raised))
    after = key()
    monkeypatch.setattr(ablation_runs, "SIMULATOR", {**ablation_runs.SIMULATOR, "candidates": 1})
    assert len({before, after, key()}) == 3


def test_training_is_timed_where_the_model_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def of(arm: str, model: str, **figures: Figure) -> Run:
        made = {"model": model} if model else {}
        return Run(arm=arm, training_seed=1, cohort_seed=1, made=made, figures=figures, timed="before")

    class Warehouse(Store):
        def find(self, kind: Kind, identifier: str) -> Reference | None:
            return reference(kind, identifier) if identifier.startswith("here") else None

    timings: list[dict[str, Reference]] = []

    def training_speeds(store: Store, models: dict[str, Reference]) -> dict[str, Figure]:
        timings.append(models)
        return {arm: Figure(value=100.0 * len(timings)) for arm in models}

    monkeypatch.setattr(ablation_runs, "training_speeds", training_speeds)
    elsewhere = of("base", "elsewhere", **{TRAINING_SPEED: Figure(value=7.0)})
    runs = [of(SIMULATOR_ALONE, ""), elsewhere, of("base", "here1"), of("full", "here2"), of("+L_Euler", "elsewhere")]
    store = Warehouse(str(tmp_path))
    with_training_speeds(runs, store)
    with_training_speeds(runs, store)
    assert [sorted(models) for models in timings] == [["base", "full"]]
    speeds = [run.figures[TRAINING_SPEED].value if run.figures else None for run in runs]
    assert speeds == [None, 7.0, 100.0, 100.0, None]
    assert elsewhere.timed == "before" and runs[2].timed == runs[3].timed != "before"
    # A run that is added later is timed together with all others that can be.
    with_training_speeds([*runs, of("+simulator", "here3")], store)
    assert runs[2].figures[TRAINING_SPEED].value == 200.0 and elsewhere.figures[TRAINING_SPEED].value == 7.0


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
    assert behind(store, found, "model") is None
    assert store.manifest(found).facts["records_per_second"] > 0


def test_it_is_made_once_per_seed(store: Store, recordings: Reference) -> None:
    first = simulate_cohort.fn(settings_of(store, seed=5), recordings)
    assert simulate_cohort.fn(settings_of(store, seed=5), recordings) == first
    other = simulate_cohort.fn(settings_of(store, seed=6), recordings)
    assert other.id != first.id
    leads = [store.read(one, "cohorts", ["lead_ii"])["lead_ii"][0].as_py() for one in (first, other)]
    assert leads[0] != leads[1]


def test_its_ode_residual_is_by_the_equation_of_another_arm(
    store: Store, recordings: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(store, seed=5)
    cohort, (model, _) = simulate_cohort.fn(settings, recordings), put_model(store, recordings)
    alone, base = Planned(SIMULATOR_ALONE, None, 5), Planned("base", 1, 5)
    settings_of_run = {alone: settings, base: settings}

    def run_of(planned: Planned, **made: str) -> Run:
        seeds = {"training_seed": planned.training_seed, "cohort_seed": planned.cohort_seed}
        return Run(arm=planned.arm, made=made, **seeds)

    without = {alone: run_of(alone, cohort=cohort.id)}
    with_residual_of_simulator(without, settings_of_run, recordings, store)
    assert without[alone].figures == {}
    runs = {**without, base: run_of(base, model=model.id)}
    with_residual_of_simulator(runs, settings_of_run, recordings, store)
    found = runs[alone].figures["ODE residual"]
    assert found.value is not None and found.low is not None and 0 < found.low < found.value
    assert runs[base].figures == {}
    # One whose cohort is in another warehouse is simulated again; one that has its residual keeps it.
    monkeypatch.setattr(ablation_runs, "simulate_cohort", simulate_cohort.fn)
    runs[alone] = run_of(alone, cohort="elsewhere")
    with_residual_of_simulator(runs, settings_of_run, recordings, store)
    assert runs[alone].figures["ODE residual"] == found
    monkeypatch.delattr(ablation_runs, "residual_with")
    with_residual_of_simulator(runs, settings_of_run, recordings, store)
