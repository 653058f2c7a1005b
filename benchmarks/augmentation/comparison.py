"""One comparison: every recipe at every share, tuned on fold 9 by one grid, then trained with every seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.augmentation.data import LearningPlaces
from benchmarks.augmentation.jobs import Jobs
from benchmarks.augmentation.judge import Judge
from benchmarks.augmentation.labelling import Labelling
from benchmarks.augmentation.network import Optimisation
from benchmarks.augmentation.plan import TUNING_SEED
from benchmarks.augmentation.recipes import IMBALANCED_RECIPES, RECIPES, Recipe
from benchmarks.augmentation.runs import Classifier, Regime, Run


@dataclass(frozen=True)
class MadeEcgs:
    """Synthetic and simulated ECGs that a training may use: their ids and folders; empty where there are none."""

    synthetic: str = ""
    synthetic_folder: str = ""
    simulated: str = ""
    simulated_folder: str = ""
    size: int = 0
    filtered: bool = False


@dataclass(frozen=True)
class Supply:
    """Who trains, with what.

    Attributes:
        regime: `release consumer`, whose generator saw all training recordings of its release, or `self-augmentation`,
            whose generator saw the ECGs of the share and no other.
        recordings: id of the real recordings.
        train, validation: their folders.
        shares, seeds: of reported trainings. A seed draws its shares and trains.
        tuning_draw: draw of the trainings that choose.
        made: (share, draw) to made ECGs; the key None is for all that are not listed.
    """

    regime: Regime
    recordings: str
    train: str
    validation: str
    shares: tuple[float, ...]
    seeds: tuple[int, ...]
    tuning_draw: int
    made: Mapping[tuple[float, int] | None, MadeEcgs]

    def of(self, share: float, draw: int) -> MadeEcgs:
        """Made ECGs for a share."""
        return self.made.get((share, draw)) or self.made[None]

    def places(self, share: float, draw: int) -> LearningPlaces:
        """What a training at a share may read."""
        made = self.of(share, draw)
        return LearningPlaces(self.train, self.validation, made.synthetic_folder or None, made.simulated_folder or None)


@dataclass(frozen=True)
class Arm:
    """One recipe at one share: what fold 9 chose, and a training per seed."""

    share: float
    recipe: Recipe
    optimisation: Optimisation
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Comparison:
    """Recipes that are compared with each other.

    Attributes:
        supply: real and made ECGs.
        labelling: the task.
        classifier: kind.
        recipes: those compared; recipes that begin with weights of the others come after them.
        grid: what is tried for each recipe.
        judge: chooses.
        jobs: makes the runs.
        shape: of the network: width, stages, features.
    """

    supply: Supply
    labelling: Labelling
    classifier: Classifier
    recipes: Sequence[str]
    grid: Sequence[Optimisation]
    judge: Judge
    jobs: Jobs
    shape: Mapping[str, int]

    def arms(self, test_sets: Mapping[str, str]) -> list[Arm]:
        """Tune, then train with every seed and read the test sets."""
        known = RECIPES if self.labelling.kind == "all" else IMBALANCED_RECIPES
        recipes = [known[name] for name in self.recipes]
        if self.classifier == "boosting":
            recipes = [one for one in recipes if one.boosting]
        recipes = [one for one in recipes if self._supplied(one)]
        found: dict[tuple[float, str], Arm] = {}
        for first in (True, False):
            stage = [one for one in recipes if one.made_only == first]
            self._tune_and_score(stage, found, test_sets)
        return [found[share, one.name] for share in self.supply.shares for one in recipes]

    def _supplied(self, recipe: Recipe) -> bool:
        """Whether there are made ECGs for it: a release may come without the simulator's."""
        made = [self.supply.of(share, self.supply.tuning_draw) for share in self.supply.shares]
        needed = {"synthetic": "synthetic", "simulator": "simulated"}.get(recipe.family)
        return needed is None or all(getattr(one, needed) for one in made)

    def _tune_and_score(
        self, recipes: Sequence[Recipe], found: dict[tuple[float, str], Arm], test_sets: Mapping[str, str]
    ) -> None:
        supply, draw = self.supply, self.supply.tuning_draw
        cells = [(share, recipe) for share in supply.shares for recipe in recipes]
        grids = {
            (share, recipe.name): [
                self._run(recipe, share, draw, TUNING_SEED, each, found, "tune") for each in self.grid
            ]
            for share, recipe in cells
        }
        self.jobs.tune({run: supply.places(share, draw) for (share, _), runs in grids.items() for run in runs})
        scored: dict[Run, LearningPlaces] = {}
        for share, recipe in cells:
            best = self.judge.best(grids[share, recipe.name]).optimisation
            runs = [self._run(recipe, share, seed, seed, best, found, "score") for seed in supply.seeds]
            found[share, recipe.name] = Arm(share, recipe, best, tuple(runs))
            scored |= {run: supply.places(share, seed) for run, seed in zip(runs, supply.seeds, strict=True)}
        self.jobs.score(scored, test_sets)

    def _run(
        self,
        recipe: Recipe,
        share: float,
        draw: int,
        seed: int,
        optimisation: Optimisation,
        found: Mapping[tuple[float, str], Arm],
        purpose: Any,
    ) -> Run:
        made = self.supply.of(share, draw)
        begins_with = ""
        if recipe.pretrained:
            earlier = next(
                arm
                for (at, _), arm in found.items()
                if at == share and arm.recipe.made_only and arm.recipe.family == recipe.family
            )
            before = self._run(earlier.recipe, share, draw, seed, earlier.optimisation, found, purpose)
            begins_with = before.key
        needs = recipe.family != "classical"
        return Run(
            regime=self.supply.regime,
            labelling=self.labelling,
            classifier=self.classifier,
            recipe=recipe.name,
            # A recipe without real ECGs is the same whatever the share, but for what its filter learned from.
            share=1.0 if recipe.made_only and not made.filtered else share,
            draw=0 if recipe.made_only and not made.filtered else draw,
            seed=seed,
            learning_rate=optimisation.learning_rate,
            steps=optimisation.steps,
            **self.shape,
            recordings=self.supply.recordings,
            made=(made.simulated if recipe.family == "simulator" else made.synthetic) if needs else "",
            size=made.size if needs else 0,
            filtered=made.filtered and recipe.family == "synthetic",
            begins_with=begins_with,
            purpose=purpose,
        )
