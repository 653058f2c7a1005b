"""How much is run: the full form, and the quick one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from benchmarks.augmentation.network import Optimisation
from benchmarks.augmentation.recipes import HALF, IMBALANCED_RECIPES, REAL_ONLY, RECIPES, SYNTHETIC_ONLY
from benchmarks.augmentation.runs import Classifier

TUNING_SEED: Final = 0
"""Of the trainings that choose; none of them is reported."""
SYNTHETIC_ECGS: Final = 20_000
"""Synthetic ECGs that the recipes draw from, the first of the cohort, unless fold 9 chose another number."""
SMALLEST_COUNT: Final = 50
"""Positives of the test fold that a statement needs to be reported."""


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        shares: of training patients.
        seeds: of reported trainings; each draws its own nested shares.
        recipes, imbalanced_recipes: by name.
        grids: classifier to what is tried on fold 9, the same for every recipe.
        imbalanced_grid: the same for two-sided tasks, networks only.
        ratios: negatives per positive of two-sided tasks.
        sizes: numbers of synthetic ECGs among which fold 9 chooses.
        own_shares: shares at which a generator that saw only them is compared.
        choice_share: of training patients with which cohorts, sizes and filters are compared on fold 9.
        bootstrap_samples: resamples of an interval.
    """

    shares: tuple[float, ...]
    seeds: tuple[int, ...]
    recipes: tuple[str, ...]
    imbalanced_recipes: tuple[str, ...]
    grids: dict[Classifier, tuple[Optimisation, ...]]
    imbalanced_grid: tuple[Optimisation, ...]
    ratios: tuple[int, ...]
    sizes: tuple[int, ...]
    own_shares: tuple[float, ...] = (0.03, 0.1)
    choice_share: float = 0.01
    choice_seeds: tuple[int, ...] = field(default=(TUNING_SEED,))
    bootstrap_samples: int = 500


def _grid(rates: tuple[float, ...], steps: tuple[int, ...]) -> tuple[Optimisation, ...]:
    return tuple(Optimisation(rate, count) for rate in rates for count in steps)


FULL: Final = Plan(
    shares=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    seeds=(1, 2, 3, 4, 5),
    recipes=tuple(RECIPES),
    imbalanced_recipes=tuple(IMBALANCED_RECIPES),
    grids={
        "network": _grid((0.001, 0.005), (500, 1500)),
        "boosting": _grid((0.05, 0.15), (60, 200)),
    },
    imbalanced_grid=_grid((0.001, 0.005), (300,)),
    ratios=(10, 50),
    sizes=(1_000, 2_000, 5_000, 10_000, 20_000, 50_000),
    choice_seeds=(TUNING_SEED, TUNING_SEED + 1, TUNING_SEED + 2),
)
QUICK: Final = Plan(
    shares=(0.01, 0.1, 1.0),
    seeds=(1, 2),
    recipes=(REAL_ONLY, "real + mixup", SYNTHETIC_ONLY, HALF, "pre-trained, then half synthetic"),
    imbalanced_recipes=("oversampled", "filled with synthetic"),
    grids={"network": _grid((0.003,), (300, 600))},
    imbalanced_grid=_grid((0.003,), (200,)),
    ratios=(10,),
    sizes=(),
    bootstrap_samples=200,
)
"""Four recipes; the fifth, synthetic ECGs only, is what the pre-trained one begins with."""
