"""Making one run of the ablation, stage by stage through the flows, and reading its figures.

Everything is committed in the warehouse under its digest, so a run that was made before, or was killed, is found again.
"""

from __future__ import annotations

import time
from typing import Any, Final

import pyarrow.compute as pc
from prefect import flow

from benchmarks.ablation_arms import SIMULATOR_ALONE, Planned
from benchmarks.ablation_speed import training_speeds
from benchmarks.ablation_table import AUTOENCODER_FLOOR, COLUMNS, REAL, SAMPLING_SPEED, TRAINING_SPEED, Figure, Run
from flows.evaluate import evaluate_cohort
from flows.generate import generate_cohort
from flows.train import train_model
from tasks.cohort_design import design_cohort, row_seed
from tasks.cohort_table import cohort_table, summarise
from tasks.ecg_sets import concatenate, read_cohort, read_recordings
from tasks.generation import DESIGN_COLUMNS, TABLE
from tasks.ode_residual_rows import METRIC, load_equation, residual_with
from tasks.settings import Settings
from tasks.simulator_baseline import CANDIDATES, VARIATION, VERSION, recorded_beats, simulate_conditions
from tasks.stage import Result, Stage, commit_once, run_logger
from warehouse.reference import Reference
from warehouse.store import Staging, Store

SIMULATION: Final = Stage("simulate cohort", "cohort", code_version=1)


def make(planned: Planned, settings: Settings, recordings: Reference, knowledge: Reference) -> Run:
    """Train, generate and evaluate, or find what is there."""
    store = Store(settings.warehouse.uri)
    model = None
    if planned.arm == SIMULATOR_ALONE:
        cohort = simulate_cohort(settings, recordings)
    else:
        model = train_model(settings, recordings, knowledge)
        cohort = generate_cohort(settings, recordings, knowledge, model)
    evaluation = evaluate_cohort(settings, recordings, cohort)
    rows = store.read(evaluation, "evaluations").to_pylist()
    return Run(
        arm=planned.arm,
        training_seed=planned.training_seed,
        cohort_seed=planned.cohort_seed,
        made={one.kind: one.id for one in (model, cohort, evaluation) if one is not None},
        figures={**figures_of(rows), **_sampling_speed(store, cohort)},
        rows=rows,
    )


def figures_of(rows: list[dict[str, Any]]) -> dict[str, Figure]:
    """The columns of the table, from the rows of an evaluation."""
    known = {(row["metric"], row["subject"]): row for row in rows}
    found = {}
    for column in COLUMNS:
        row = known.get((column.metric, column.subject))
        if row is not None and row["value"] is not None:
            found[column.name] = Figure(value=row["value"], low=row["low"], high=row["high"])
    return found


def real_run(runs: list[Run]) -> Run:
    """The same figures on real recordings, as the evaluations hold them; they are the same whatever was evaluated."""
    found: dict[str, Figure] = {}
    for run in runs:
        known = {(row["metric"], row["subject"]): row for row in run.rows}
        for column in COLUMNS:
            if column.name in found:
                continue
            if column.real is not None and (row := known.get((column.metric, column.real))):
                figure = Figure(value=row["value"], low=row["low"], high=row["high"])
            elif row := known.get((column.metric, column.subject)):
                figure = Figure(value=row["reference"])
            else:
                continue
            if figure.value is not None:
                found[column.name] = figure
    return Run(arm=REAL, training_seed=None, cohort_seed=None, figures=found)


def floor_runs(runs: list[Run]) -> list[Run]:
    """What real recordings through the autoencoder measure, once per training seed: arms share their autoencoder."""
    found: dict[int, Run] = {}
    for run in runs:
        if run.training_seed is None or run.training_seed in found:
            continue
        known = {(row["metric"], row["subject"]): row for row in run.rows}
        rows = {column.name: known.get((column.metric, "reconstruction")) for column in COLUMNS}
        figures = {
            name: Figure(value=row["value"], low=row["low"], high=row["high"])
            for name, row in rows.items()
            if row is not None and row["value"] is not None
        }
        found[run.training_seed] = Run(
            arm=AUTOENCODER_FLOOR, training_seed=run.training_seed, cohort_seed=None, figures=figures
        )
    return list(found.values())


def with_residual_of_simulator(runs: list[Run], settings: Settings, recordings: Reference) -> None:
    """Give the runs without a model their ODE residual, by the equation that the others' training fitted.

    The fit depends on recordings and settings that all arms share, so any model's will do; without one there is none.
    """
    store = Store(settings.warehouse.uri)
    alone = [run for run in runs if run.arm == SIMULATOR_ALONE]
    model = next((found for run in runs if (found := store.find("model", run.made.get("model", "")))), None)
    if not alone or model is None or (fitted := load_equation(store.path(model))) is None:
        return
    held_out = concatenate([read_recordings(store, recordings, split) for split in ("validation", "test")])
    rate_hz = int(store.manifest(recordings).facts["sampling_rate_hz"])
    for run in alone:
        if cohort := store.find("cohort", run.made["cohort"]):
            row = residual_with(fitted, read_cohort(store, cohort), held_out, rate_hz, settings.evaluation)
            if row["value"] is not None:
                run.figures[METRIC] = Figure(value=row["value"], low=row["low"], high=row["high"])


@flow(name="simulate-cohort")
def simulate_cohort(settings: Settings, recordings: Reference) -> Reference:
    """A cohort of the simulator alone: the conditions and row seeds of generated cohorts, without a network.

    It shows the waves of single patients and must not be released.
    """
    store, cohort = Store(settings.warehouse.uri), settings.cohort
    shaping = {
        "cohort": {name: getattr(cohort, name) for name in ("name", "size", "seed", "min_patients", "rows_per_part")},
        "simulator": {"version": VERSION, "candidates": CANDIDATES, "variation": VARIATION},
    }

    def build(staging: Staging) -> Result:
        source = store.manifest(recordings).facts
        known = store.read(recordings, "recordings", DESIGN_COLUMNS)
        design = design_cohort(known.filter(pc.equal(known["split"], "train")), cohort, source["statements"])
        run_logger().info("simulate cohort: fitting the beats of training recordings, if that was not done before")
        beats = recorded_beats(store, recordings)
        started, made = time.monotonic(), 0
        for part, first in enumerate(range(0, cohort.size, cohort.rows_per_part)):
            if staging.has_part(TABLE, part):
                continue
            numbers = range(first, min(first + cohort.rows_per_part, cohort.size))
            conditions = [design.ask(cohort.seed, row, source["statements"]) for row in numbers]
            seeds = [row_seed(cohort.seed, row) for row in numbers]
            signal = simulate_conditions(beats, conditions, seeds)
            entries: list[list[str]] = [[] for _ in numbers]
            model, simulated = "simulator-alone", True
            table = cohort_table(
                staging.id, numbers, seeds, conditions, entries, signal, beats.rate_hz, model, simulated, beats.facts
            )
            staging.write_table(TABLE, part, table)
            made += len(numbers)
            run_logger().info("cohort %s: %d/%d ECGs simulated", cohort.name, numbers[-1] + 1, cohort.size)
        speed = {"records_per_second": round(made / (time.monotonic() - started), 2)} if made else {}
        facts = {
            "name": cohort.name,
            "simulated": True,
            "sampling_rate_hz": source["sampling_rate_hz"],
            "samples": source["samples"],
            **speed,
            **summarise(staging.path / TABLE),
        }
        return Result(rows=cohort.size, facts=facts)

    return commit_once(SIMULATION, shaping, [recordings], store, build)


def with_training_speeds(runs: list[Run], store: Store) -> None:
    """Give every trained run the speed of its arm's training step, all arms timed in turns."""
    models: dict[str, Reference] = {}
    for run in runs:
        if run.arm not in models and (model := store.find("model", run.made.get("model", ""))):
            models[run.arm] = model
    speeds = training_speeds(store, models)
    for run in runs:
        if run.arm in speeds:
            run.figures[TRAINING_SPEED] = speeds[run.arm]


def _sampling_speed(store: Store, cohort: Reference) -> dict[str, Figure]:
    """Records/s of generation, with the start of its workers."""
    speed = store.manifest(cohort).facts.get("records_per_second")
    return {SAMPLING_SPEED: Figure(value=speed)} if speed else {}
