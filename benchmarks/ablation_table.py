"""From runs to the table of the ablation and its targets: arithmetic only, no metric is computed here.

Intervals: with several training seeds, Student's t interval of the mean over training seeds, each seed's value being
the mean over its cohort seeds (cohorts of one model are no independent trials of the method); with one training seed
and several cohort seeds, the same over cohort seeds, which says nothing of training; with one run, the interval of the
evaluation's own bootstrap. Ratios and differences of arms are taken seed by seed before they are averaged, those of
training speeds timing by timing: speeds of different machines or days say nothing of arms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table
from scipy.stats import t

from benchmarks.ablation_arms import SIMULATOR_ALONE
from benchmarks.record import Check
from tasks.evaluation.rows.delivery import CLAIMS, DISTANCE, RULES
from tasks.evaluation.rows.statements import STATEMENT_AUC_RATIO

REAL: Final = "real"
AUTOENCODER_FLOOR: Final = "autoencoder floor"
TRAINING_SPEED, SAMPLING_SPEED = "training samples/s", "sampling records/s"
SPEEDS: Final = (TRAINING_SPEED, SAMPLING_SPEED)
SOURCES: Final = {
    "seeds": "Student's t over training seeds",
    "cohorts": "Student's t over cohort seeds of one model",
    "bootstrap": "bootstrap of one evaluation",
}


class Figure(BaseModel):
    """A value with its 95 % interval, null where there is none."""

    model_config = ConfigDict(extra="forbid")

    value: float | None
    low: float | None = None
    high: float | None = None


class Summary(Figure):
    """A figure over runs.

    Attributes:
        interval: where low and high come from, a key of `SOURCES`; empty without an interval.
        lowest, highest: of the single runs.
        runs: that have the figure.
    """

    interval: str = ""
    lowest: float
    highest: float
    runs: int


class Run(BaseModel):
    """One evaluation.

    Attributes:
        key: digest of all that shapes the figures; empty for what is derived from other runs.
        made: kind to id of what the warehouse that it was made in holds of it.
        figures: column of the table to its figure.
        real: the same on real recordings, by the run's own evaluation.
        floor: the same on real recordings that went through the autoencoder of the run's model.
        commit, date, machine: code, day and processor that it was made with.
        timed: when and on what processor its training speed was measured, the same for all arms timed in turns.
    """

    model_config = ConfigDict(extra="forbid")

    arm: str
    training_seed: int | None
    cohort_seed: int | None
    key: str = ""
    made: dict[str, str] = Field(default_factory=dict)
    figures: dict[str, Figure] = Field(default_factory=dict)
    real: dict[str, Figure] = Field(default_factory=dict)
    floor: dict[str, Figure] = Field(default_factory=dict)
    commit: str = ""
    date: str = ""
    machine: str = ""
    timed: str = ""


@dataclass(frozen=True)
class Column:
    """A figure of the table and where an evaluation has it.

    Attributes:
        real: subject of the row on real ECGs; None where it is the reference of the cohort's row.
    """

    name: str
    metric: str
    subject: str = "synthetic"
    unit: str = ""
    real: str | None = None


TRAINING_RECORDINGS = "real training recordings"
FID, CLIP, RCLIP, DISCRIMINATOR = "FID", "CLIP score", "rCLIP", "discriminator AUC"
STATEMENTS, DELIVERED_RULES = "statement macro AUC over real", "delivery distance, textbook rules"
DELIVERED_CLAIMS = "delivery distance, kept claims"
INDEPENDENT_RATE, EINTHOVEN = "heart-rate MAE, independent detector, regular rhythms", "Einthoven residual"
COLUMNS: Final = (
    Column(FID, FID, real=TRAINING_RECORDINGS),
    Column("precision", "precision", real=TRAINING_RECORDINGS),
    Column("recall", "recall", real=TRAINING_RECORDINGS),
    Column(CLIP, CLIP, real="real test recordings"),
    Column(RCLIP, RCLIP),
    Column(STATEMENTS, STATEMENT_AUC_RATIO),
    Column(DELIVERED_RULES, DISTANCE, f"synthetic, {RULES}"),
    Column(DELIVERED_CLAIMS, DISTANCE, f"synthetic, {CLAIMS}"),
    Column("heart-rate MAE", "heart-rate MAE", unit="bpm"),
    Column(INDEPENDENT_RATE, "heart-rate MAE, independent detector", "synthetic, regular rhythms", "bpm"),
    Column("PR distribution distance", "PR distribution distance", unit="ms"),
    Column("QRS distribution distance", "QRS distribution distance", unit="ms"),
    Column("QT distribution distance", "QT distribution distance", unit="ms"),
    Column("ODE residual", "ODE residual", unit="mV/s"),
    Column(EINTHOVEN, EINTHOVEN, unit="mV"),
    Column(DISCRIMINATOR, DISCRIMINATOR),
    Column("reconstruction MAE", "reconstruction MAE", "reconstruction", "mV"),
)


def with_references(runs: Iterable[Run]) -> list[Run]:
    """The runs, with real recordings and the autoencoder's floor in front."""
    found = list(runs)
    return [real_run(found), *floor_runs(found), *found]


def real_run(runs: list[Run]) -> Run:
    """The figures of real recordings, each of the first run that has it: they are the same whatever was evaluated."""
    figures: dict[str, Figure] = {}
    for run in runs:
        figures = {**run.real, **figures}
    return Run(arm=REAL, training_seed=None, cohort_seed=None, figures=figures)


def floor_runs(runs: list[Run]) -> list[Run]:
    """What real recordings through the autoencoder measure, once per training seed: arms share their autoencoder."""
    first: dict[int, Run] = {}
    for run in runs:
        if run.training_seed is not None:
            first.setdefault(run.training_seed, run)
    return [
        Run(arm=AUTOENCODER_FLOOR, training_seed=seed, cohort_seed=None, figures=run.floor)
        for seed, run in first.items()
    ]


def over_seeds(runs: Iterable[Run], column: str) -> Summary | None:
    """The mean of a figure over the runs of one arm with its interval; None where no run has it."""
    having = _having(runs, column)
    if not having:
        return None
    every = [_value(run, column) for run in having]
    source, values = "seeds", list(_means(having, column, "training_seed").values())
    if len(values) < 2:
        source, values = "cohorts", list(_means(having, column, "cohort_seed").values())
    low, high = _student(values)
    if len(set(every)) == 1:
        # Nothing that the seeds change: what is uncertain is the evaluation itself.
        source, (low, high) = "bootstrap", (having[0].figures[column].low, having[0].figures[column].high)
    return Summary(
        value=float(np.mean(values)),
        low=low,
        high=high,
        interval="" if low is None else source,
        lowest=min(every),
        highest=max(every),
        runs=len(every),
    )


def paired(
    first: Iterable[Run], second: Iterable[Run], column: str, of: Callable[[float, float], float]
) -> Figure | None:
    """A comparison of two arms, seed by seed, then averaged; None where they share no seed.

    Trained arms are compared where both have the same seeds, so that an arm of which runs are missing is not held
    against seeds that it does not have.

    Args:
        of: takes the figure of the first arm and that of the second, returns e.g. their ratio.
    """
    one, two = _having(first, column), _having(second, column)
    if all(run.training_seed is not None for run in (*one, *two)):
        shared = {_seeds(run) for run in one} & {_seeds(run) for run in two}
        one, two = ([run for run in runs if _seeds(run) in shared] for runs in (one, two))
    seed = "training_seed" if len({run.training_seed for run in one}) > 1 else "cohort_seed"
    left, right = _means(one, column, seed), _means(two, column, seed)
    if set(right) == {None}:  # real recordings and the simulator know no training seed
        right = dict.fromkeys(left, right[None])
    return _averaged([of(left[key], right[key]) for key in left if key in right])


def throughput_lost(arm: Iterable[Run], base: Iterable[Run]) -> Figure | None:
    """The share of base's training samples/s that an arm lacks, timing by timing; None where none timed both."""
    left, right = (_means(_having(runs, TRAINING_SPEED), TRAINING_SPEED, "timed") for runs in (arm, base))
    return _averaged([1 - left[key] / right[key] for key in left if right.get(key)])


def targets(runs: list[Run]) -> list[Check]:
    """The targets on the table; a figure that is missing leaves its target undecided."""
    of = {arm: [run for run in runs if run.arm == arm] for arm in dict.fromkeys(run.arm for run in runs)}
    full, base, alone, real = (of.get(arm, []) for arm in ("full", "base", SIMULATOR_ALONE, REAL))
    ratio: Callable[[float, float], float] = lambda one, two: one / two if two else float("nan")  # noqa: E731
    less: Callable[[float, float], float] = lambda one, two: one - two  # noqa: E731
    checks = [
        _check("FID, full over base", paired(full, base, FID, ratio), 0.68, "×"),
        _check("FID, full over real against real", paired(full, real, FID, ratio), 4.0, "×"),
        _check("statement macro AUC over real, full", over_seeds(full, STATEMENTS), 0.97, "×", at_least=True),
        # A distance of finitely many ECGs is never 0: what counts is its excess over that of real recordings.
        _check(f"{DELIVERED_RULES}, full less real", paired(full, real, DELIVERED_RULES, less), 0.03),
        _check(f"{DELIVERED_CLAIMS}, full less real", paired(full, real, DELIVERED_CLAIMS, less), 0.04),
        _check("FID, full over simulator alone", paired(full, alone, FID, ratio), 1.0, "×"),
        _check("discriminator AUC, full less simulator alone", paired(full, alone, DISCRIMINATOR, less), 0.0),
        _check("heart-rate MAE, independent, regular rhythms, full", over_seeds(full, INDEPENDENT_RATE), 1.0, "bpm"),
        _check("discriminator AUC, full", over_seeds(full, DISCRIMINATOR), 0.7),
        _check("Einthoven residual, full", over_seeds(full, EINTHOVEN), 0.0, "mV"),
    ]
    checks += [
        _check(f"training throughput lost to physics, {arm}", throughput_lost(of.get(arm, []), base), 0.3)
        for arm in ("+L_Euler", "full")
    ]
    seeds = sorted({run.training_seed for run in full if run.training_seed is not None})
    return [check.model_copy(update={"n": len(full), "seeds": seeds}) for check in checks]


def summaries(runs: list[Run]) -> dict[str, dict[str, Summary]]:
    """Arm to column to figure, arms in the order of their first run."""
    of = {arm: [run for run in runs if run.arm == arm] for arm in dict.fromkeys(run.arm for run in runs)}
    found = {}
    for arm, some in of.items():
        each = {name: over_seeds(some, name) for name in (*(column.name for column in COLUMNS), *SPEEDS)}
        found[arm] = {name: summary for name, summary in each.items() if summary is not None}
    return found


def drawn_table(found: dict[str, dict[str, Summary]], title: str) -> Table:
    """The table for people: a row per figure, a column per arm, intervals below the values."""
    table = Table(title=title, caption=_caption(found), show_lines=True)
    table.add_column("")
    for arm in found:
        table.add_column(arm, justify="right")
    units = {column.name: column.unit for column in COLUMNS}
    for name in (*units, *SPEEDS):
        unit = f" ({units[name]})" if units.get(name) else ""
        table.add_row(f"{name}{unit}", *(_cell(of_arm.get(name)) for of_arm in found.values()))
    return table


def _caption(found: dict[str, dict[str, Summary]]) -> str:
    sources = {summary.interval for of_arm in found.values() for summary in of_arm.values()}
    return "95 % intervals: " + "; ".join(words for source, words in SOURCES.items() if source in sources)


def _cell(summary: Summary | None) -> str:
    if summary is None:
        return "–"
    if summary.low is None or summary.high is None:
        return f"{summary.value:.3g}"
    return f"{summary.value:.3g}\n[dim]{summary.low:.3g} – {summary.high:.3g}[/]"


def _check(
    name: str, figure: Figure | None, target: float | None = None, unit: str = "", at_least: bool = False
) -> Check:
    value = None if figure is None or figure.value is None or not np.isfinite(figure.value) else figure.value
    low, high = (None, None) if figure is None or value is None else (figure.low, figure.high)
    return Check(
        name=name, value=value, low=low, high=high, unit=unit, target=target, comparison=">=" if at_least else "<="
    )


def _having(runs: Iterable[Run], column: str) -> list[Run]:
    return [run for run in runs if column in run.figures and run.figures[column].value is not None]


def _seeds(run: Run) -> tuple[int | None, int | None]:
    return run.training_seed, run.cohort_seed


def _value(run: Run, column: str) -> float:
    value = run.figures[column].value
    assert value is not None
    return value


def _means(runs: list[Run], column: str, per: str) -> dict[int | str | None, float]:
    """Mean over the runs that are alike in one attribute."""
    of: dict[int | str | None, list[float]] = {}
    for run in runs:
        of.setdefault(getattr(run, per), []).append(_value(run, column))
    return {key: float(np.mean(values)) for key, values in of.items()}


def _averaged(values: list[float]) -> Figure | None:
    """The mean with its interval; None without values."""
    if not values:
        return None
    low, high = _student(values)
    return Figure(value=float(np.mean(values)), low=low, high=high)


def _student(values: list[float]) -> tuple[float | None, float | None]:
    """The 95 % t interval of a mean; none for fewer than two values or values that are not finite."""
    if len(values) < 2 or not np.isfinite(values).all():
        return None, None
    half = float(t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    middle = float(np.mean(values))
    return middle - half, middle + half
