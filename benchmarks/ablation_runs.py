"""Making one run of the ablation, stage by stage through the flows, and reading its figures.

Everything is committed in the warehouse under its digest, so a run that was made before, or was killed, is found again.
A run's key says the same without a warehouse: what its figures were measured with.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow.compute as pc
from prefect import flow

from benchmarks.ablation_arms import SIMULATOR_ALONE, Planned
from benchmarks.ablation_speed import training_speeds
from benchmarks.ablation_table import COLUMNS, SAMPLING_SPEED, TRAINING_SPEED, Figure, Run
from benchmarks.record import Machine, today
from benchmarks.simulator_alone.conditions import CANDIDATES, VARIATION, VERSION, recorded_beats, simulate_conditions
from flows.evaluate import evaluate_cohort
from flows.generate import generate_cohort
from flows.train import train_model
from tasks.conditions.cohort_design import design_cohort, row_seed
from tasks.ecg_sets import read_cohort, read_recordings
from tasks.evaluation.networks.alignment import STAGE as ALIGNMENT
from tasks.evaluation.networks.classifier import STAGE as CLASSIFIER
from tasks.evaluation.rows.ode_residual import METRIC, load_equation, residual_with
from tasks.evaluation.task import STAGE as EVALUATION
from tasks.generation.cohort_table import cohort_table, part_note, summarise
from tasks.generation.task import DESIGN_COLUMNS, TABLE
from tasks.generation.task import STAGE as GENERATION
from tasks.settings import Settings
from tasks.stage import Result, Stage, commit_once, run_logger
from tasks.training.autoencoder_task import STAGE as AUTOENCODER
from tasks.training.task import TRAINING
from warehouse.storage.facts import CohortFacts, RecordingsFacts
from warehouse.storage.reference import Reference, digest
from warehouse.storage.store import Staging, Store

SIMULATION: Final = Stage("simulate cohort", "cohort", code_version=4)
SIMULATOR: Final = {"version": VERSION, "candidates": CANDIDATES, "variation": VARIATION}
STAGES: Final = (AUTOENCODER, TRAINING, GENERATION, SIMULATION, CLASSIFIER, ALIGNMENT, EVALUATION)
"""What happens between recordings with their knowledge base, whose ids hold their own versions, and figures."""


def key_of(planned: Planned, settings: Settings, recordings: Reference, knowledge: Reference) -> str:
    """A digest of all that shapes a run's figures: where two are equal, one run stands for the other on any machine.

    Runs of the simulator alone take the settings of training too, since the equation that training fits measures their
    ODE residual.
    """
    shaping = {
        "training": settings.training.for_digest(),
        "retrieval": settings.retrieval.for_digest(),
        "cohort": settings.cohort.for_digest(),
        "evaluation": settings.evaluation.for_digest(),
    }
    code = {stage.name: stage.code_version for stage in STAGES}
    return digest("ablation", planned.arm, shaping, [recordings.id, knowledge.id], code, SIMULATOR)


def make(planned: Planned, settings: Settings, recordings: Reference, knowledge: Reference, commit: str) -> Run:
    """Train, generate and evaluate, or find what is there.

    Args:
        commit: of the code that runs.
    """
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
        key=key_of(planned, settings, recordings, knowledge),
        made={one.kind: one.id for one in (model, cohort, evaluation) if one is not None},
        figures={**figures_of(rows), **_sampling_speed(store, cohort)},
        real=real_figures_of(rows),
        floor=figures_of(rows, "reconstruction"),
        commit=commit,
        date=today(),
        machine=Machine.here().processor,
    )


def figures_of(rows: list[dict[str, Any]], subject: str | None = None) -> dict[str, Figure]:
    """The columns of the table, from the rows of an evaluation.

    Args:
        subject: whose figures to take; None for each column's own subject, which is the cohort.
    """
    known = {(row["metric"], row["subject"]): row for row in rows if row["condition"] is None}
    found = {}
    for column in COLUMNS:
        row = known.get((column.metric, subject or column.subject))
        if row is not None and row["value"] is not None:
            found[column.name] = Figure(value=row["value"], low=row["low"], high=row["high"])
    return found


def real_figures_of(rows: list[dict[str, Any]]) -> dict[str, Figure]:
    """The same columns on real recordings: of a row of their own, or as the reference of the cohort's row."""
    known = {(row["metric"], row["subject"]): row for row in rows if row["condition"] is None}
    found = {}
    for column in COLUMNS:
        if column.real is not None and (row := known.get((column.metric, column.real))):
            figure = Figure(value=row["value"], low=row["low"], high=row["high"])
        elif row := known.get((column.metric, column.subject)):
            figure = Figure(value=row["reference"])
        else:
            continue
        if figure.value is not None:
            found[column.name] = figure
    return found


def with_residual_of_simulator(
    runs: Mapping[Planned, Run], settings_of: Mapping[Planned, Settings], recordings: Reference, store: Store
) -> None:
    """Give runs without a model the ODE residual that they lack, by the equation that the others' training fitted.

    The fit depends on recordings and settings that all arms share, so any model's will do; without one there is none.
    A run that was made in another warehouse has its cohort simulated again.
    """
    alone = {one: run for one, run in runs.items() if run.arm == SIMULATOR_ALONE and METRIC not in run.figures}
    model = next((found for run in runs.values() if (found := _model(store, run))), None) if alone else None
    if model is None or (fitted := load_equation(store.path(model))) is None:
        return
    held_out = read_recordings(store, recordings, "validation")
    rate_hz = store.facts(recordings, RecordingsFacts).sampling_rate_hz
    for one, run in alone.items():
        settings = settings_of[one]
        cohort = store.find("cohort", run.made.get("cohort", "")) or simulate_cohort(settings, recordings)
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
        "simulator": SIMULATOR,
    }

    def build(staging: Staging) -> Result:
        source = store.facts(recordings, RecordingsFacts)
        known = store.read(recordings, "recordings", DESIGN_COLUMNS)
        design = design_cohort(known.filter(pc.equal(known["split"], "train")), cohort, source.statements)
        run_logger().info("simulate cohort: fitting the beats of training recordings, if that was not done before")
        beats = recorded_beats(store, recordings)
        started, made = time.monotonic(), 0
        firsts = range(0, cohort.size, cohort.rows_per_part)
        for part, first in enumerate(firsts):
            if staging.has_part(TABLE, part, noted=True):
                continue
            numbers = range(first, min(first + cohort.rows_per_part, cohort.size))
            conditions = [design.ask(cohort.seed, row, source.statements) for row in numbers]
            seeds = [row_seed(cohort.seed, row) for row in numbers]
            given_up = [design.group(cohort.seed, row).given_up for row in numbers]
            signal = simulate_conditions(beats, conditions, seeds)
            entries: list[list[str]] = [[] for _ in numbers]
            model, simulated = "simulator-alone", True
            table = cohort_table(
                staging.id,
                numbers,
                seeds,
                conditions,
                given_up,
                entries,
                signal,
                beats.rate_hz,
                model,
                simulated,
                beats.facts,
            )
            staging.write_table(TABLE, part, table, part_note(table))
            made += len(numbers)
            run_logger().info("cohort %s: %d/%d ECGs simulated", cohort.name, numbers[-1] + 1, cohort.size)
        speed = {"records_per_second": round(made / (time.monotonic() - started), 2)} if made else {}
        facts = CohortFacts(
            name=cohort.name,
            simulated=True,
            sampling_rate_hz=source.sampling_rate_hz,
            samples=source.samples,
            design=design.facts,
            **speed,
            **summarise([staging.note(TABLE, part) for part in range(len(firsts))]),
        )
        return Result(rows=cohort.size, facts=facts)

    return commit_once(SIMULATION, cohort, [recordings], store, build, shaping)


def with_training_speeds(runs: Collection[Run], store: Store) -> None:
    """Time a training step of every arm in turns, and give the speeds to the runs whose models are in this warehouse.

    Nothing is timed while all of them have a speed. Runs made elsewhere keep what they were timed with.
    """
    models = [(run, model) for run in runs if (model := _model(store, run))]
    if all(TRAINING_SPEED in run.figures for run, _ in models):
        return
    print("timing a training step of every arm whose model is here, in turns", file=sys.stderr)
    speeds = training_speeds(store, {run.arm: model for run, model in models})
    timed = f"{datetime.now(UTC):%Y-%m-%d %H:%M}, {Machine.here().processor}"
    for run, _ in models:
        run.figures[TRAINING_SPEED], run.timed = speeds[run.arm], timed


def _model(store: Store, run: Run) -> Reference | None:
    return store.find("model", run.made.get("model", ""))


def _sampling_speed(store: Store, cohort: Reference) -> dict[str, Figure]:
    """Records/s of generation, with the start of its workers."""
    speed = store.facts(cohort, CohortFacts).records_per_second
    return {SAMPLING_SPEED: Figure(value=speed)} if speed else {}
