"""The whole benchmark: inputs, choices on fold 9, comparisons, tables and checks."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.augmentation.checks import checks
from benchmarks.augmentation.choices import choose_made
from benchmarks.augmentation.comparison import Comparison, MadeEcgs, Supply
from benchmarks.augmentation.data import AugmentationError, Ecgs
from benchmarks.augmentation.inputs import Cohort, Inputs
from benchmarks.augmentation.jobs import Jobs
from benchmarks.augmentation.judge import Judge
from benchmarks.augmentation.labelling import Labelling, all_labels, imbalanced_tasks, statements_with
from benchmarks.augmentation.own_generator import own_cohort
from benchmarks.augmentation.pages import reading_tables
from benchmarks.augmentation.plan import SMALLEST_COUNT, SYNTHETIC_ECGS, TUNING_SEED, Plan
from benchmarks.augmentation.recipes import RECIPES
from benchmarks.augmentation.runs import Results
from benchmarks.augmentation.sites import Site
from benchmarks.augmentation.tables import ReportedSet, Row, Tables
from benchmarks.record import Check
from tasks.settings import Settings
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

SHAPE: Final = {"width": 32, "stages": 4, "features": 128}
FOLDER: Final = "_augmentation"


@dataclass(frozen=True)
class Found:
    """What a finished call has: checks, details of the record, and the time that its trainings took together."""

    checks: list[Check]
    details: dict[str, Any]
    training_seconds: float


def run_experiment(settings: Settings, plan: Plan, given: argparse.Namespace) -> Found:
    """Make or find every training and report.

    Args:
        settings: of the profile.
        plan: what to train.
        given: the command line's options.

    Raises:
        AugmentationError: something is missing, or a cohort is not what its regime asks for.
        TimeUpError: trainings are missing after `given.minutes`.
    """
    store = Store(settings.warehouse.uri)
    inputs = Inputs(store, _recordings(settings, store, given.recordings), store.root / FOLDER / "ecgs")
    cohorts = [*map(inputs.cohort, given.cohort), *map(inputs.release, given.release)]
    if not cohorts:
        raise AugmentationError("there are no synthetic ECGs to compare: give --cohort ID or --release FOLDER")
    asked: dict[Site, Path | None] = {"cinc2021": given.cinc2021, "ludb": given.ludb}
    folders = {site: path for site, path in asked.items() if path is not None}
    jobs = Jobs(Results(store.root / FOLDER / "runs"), settings.compute, given.gpu, given.minutes)
    experiment = Experiment(settings, plan, inputs, jobs)
    return experiment.report(cohorts, folders, given.self_augmentation)


def _recordings(settings: Settings, store: Store, identifier: str | None) -> Reference:
    if identifier is None:
        from flows.ingest import ingest_dataset

        return ingest_dataset(settings)
    if (found := store.find("recordings", identifier)) is None:
        raise AugmentationError(f"no recordings {identifier} in {store.root}; einthoven ingest makes them")
    return found


@dataclass(frozen=True)
class Experiment:
    """One plan on one set of inputs."""

    settings: Settings
    plan: Plan
    inputs: Inputs
    jobs: Jobs

    def report(self, cohorts: list[Cohort], sites: Mapping[Site, Path], own: bool) -> Found:
        """Everything.

        Args:
            cohorts: the release first; fold 9 chooses among them.
            sites: datasets of other hospitals.
            own: whether generators are trained on shares alone.
        """
        plan, inputs = self.plan, self.inputs
        fold_10 = ReportedSet("test", Ecgs.open(inputs.reported()))
        labelling = all_labels(statements_with(fold_10.ecgs, SMALLEST_COUNT))
        supply = self._consumer({None: MadeEcgs()})
        judge = self._judge(labelling)
        named = {one.name: (one.made, one.count) for one in cohorts}
        made, choices = choose_made(named, supply, labelling, plan, judge, self.jobs, SHAPE)
        made = self._with_simulated(made)
        elsewhere, refused = inputs.sites(dict(sites))
        folders = {"test": inputs.reported()} | {one.name: folder for folder, one in elsewhere}
        reported = [fold_10, *(one for _, one in elsewhere)]
        consumer = replace(supply, made={None: made})
        rows: list[Row] = []
        for regime in (consumer, *self._own_supplies(own)):
            for classifier, grid in plan.grids.items():
                comparison = Comparison(regime, labelling, classifier, plan.recipes, grid, judge, self.jobs, SHAPE)
                rows += self._rows(comparison, reported, folders)
        for task in imbalanced_tasks(plan.ratios):
            whole = replace(consumer, shares=(1.0,))
            comparison = Comparison(
                whole,
                task,
                "network",
                plan.imbalanced_recipes,
                plan.imbalanced_grid,
                self._judge(task),
                self.jobs,
                SHAPE,
            )
            rows += self._rows(comparison, [fold_10], {"test": folders["test"]}) if self._possible(task) else []
        details = {
            "recordings": inputs.facts.splits,
            "statements": list(labelling.statements),
            "cohorts": [
                {
                    "name": one.name,
                    "ecgs": one.count,
                    "patients_seen": one.patients_seen,
                    "used": one.made.synthetic == made.synthetic,
                }
                for one in cohorts
            ],
            "synthetic_ecgs": made.size,
            "filtered": made.filtered,
            "refused": refused,
            "trainings": self.jobs.made + self.jobs.found,
            "tables": reading_tables(rows, choices),
            "choices": choices,
            "rows": rows,
        }
        return Found(checks(rows), details, self.jobs.seconds)

    def _rows(self, comparison: Comparison, reported: list[ReportedSet], folders: dict[str, str]) -> list[Row]:
        arms = comparison.arms(folders)
        return Tables(comparison, self.plan.bootstrap_samples).rows(arms, reported)

    def _possible(self, task: Labelling) -> bool:
        """Whether the real recordings hold both sides in training, validation and test."""
        inputs = self.inputs
        folders = {inputs.split("train"): task.ratio, inputs.split("validation"): 1, inputs.reported(): 1}
        for folder, fewest_negatives in folders.items():
            labels = task.of(Ecgs.open(folder))
            positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
            if not positives or negatives < fewest_negatives:
                return False
        return True

    def _judge(self, labelling: Labelling) -> Judge:
        return Judge(labelling, Ecgs.open(self.inputs.split("validation")), self.jobs.results)

    def _consumer(self, made: Mapping[tuple[float, int] | None, MadeEcgs]) -> Supply:
        inputs = self.inputs
        return Supply(
            regime="release consumer",
            recordings=inputs.recordings.id,
            train=inputs.split("train"),
            validation=inputs.split("validation"),
            shares=self.plan.shares,
            seeds=self.plan.seeds,
            tuning_draw=TUNING_SEED,
            made=made,
        )

    def _with_simulated(self, made: MadeEcgs) -> MadeEcgs:
        """The same with a cohort of the simulator alone, where a recipe needs one."""
        if not any(RECIPES[name].family == "simulator" for name in self.plan.recipes):
            return made
        from benchmarks.ablation_runs import simulate_cohort

        cohort = self.settings.cohort.model_copy(update={"size": SYNTHETIC_ECGS})
        settings = self.settings.model_copy(update={"cohort": cohort})
        found = simulate_cohort(settings, self.inputs.recordings)
        return replace(made, simulated=found.id, simulated_folder=self.inputs.of_cohort(self.inputs.store, found))

    def _own_supplies(self, asked: bool) -> Iterator[Supply]:
        """Self-augmentation, a supply per call: two generator seeds at each share."""
        if not asked:
            return
        seeds = self.plan.seeds[:2]
        made: dict[tuple[float, int] | None, MadeEcgs] = {}
        for share in self.plan.own_shares:
            for draw in seeds:
                folder = self.inputs.store.root / FOLDER / "own"
                own, cohort, simulated = own_cohort(
                    self.settings, self.inputs.store, self.inputs.recordings, share, draw, folder
                )
                made[share, draw] = MadeEcgs(
                    synthetic=cohort.id,
                    synthetic_folder=self.inputs.of_cohort(own, cohort),
                    simulated=simulated.id,
                    simulated_folder=self.inputs.of_cohort(own, simulated),
                )
        supply = self._consumer(made)
        yield replace(
            supply, regime="self-augmentation", shares=self.plan.own_shares, seeds=seeds, tuning_draw=seeds[0]
        )
