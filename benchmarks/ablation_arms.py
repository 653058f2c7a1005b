"""What is compared: the arms as changes to one profile, the seeds, and the order of the runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flows.profiles import SettingsError, load_settings
from tasks.settings import Settings

PHYSICS: Final = "training.diffusion.physics"
SIMULATOR_ALONE: Final = "simulator alone"
"""The arm without a network; everything else is trained."""
BASE: Final[dict[str, Any]] = {
    f"{PHYSICS}.phase_channels": False,
    f"{PHYSICS}.simulated_ecg": False,
    f"{PHYSICS}.simulator_weight": 0.0,
    f"{PHYSICS}.inter_lead_weight": 0.0,
    "training.diffusion.experience": False,
}
"""Everything that is neither physics nor experience."""
GUIDE: Final[dict[str, Any]] = {
    f"{PHYSICS}.phase_channels": True,
    f"{PHYSICS}.simulated_ecg": True,
}
"""The form of physics that works: the simulator shows when the heart beats and what its beats look like."""
ARMS: Final[dict[str, dict[str, Any]]] = {
    "base": BASE,
    # The paper's terms, L_Euler and L_inter.
    "+L_Euler": {**BASE, f"{PHYSICS}.simulator_weight": 0.05, f"{PHYSICS}.inter_lead_weight": 0.05},
    # Half of the guide: when the heart beats.
    "+phase": {**BASE, f"{PHYSICS}.phase_channels": True},
    "+simulator": {**BASE, **GUIDE},
    "+experience": {**BASE, "training.diffusion.experience": True},
    "full": {**BASE, **GUIDE, "training.diffusion.experience": True},
    # The model of the full arm, but of its guide the simulated ECGs themselves: what does the denoiser add?
    "full without denoiser": {**BASE, **GUIDE, "training.diffusion.experience": True, "cohort.sampler_steps": 0},
}
"""Trained arm to the settings that make it. Everything else is the profile's: steps, batch size, autoencoder."""
NAMES: Final = (SIMULATOR_ALONE, *ARMS)
FULL_NAMES: Final = tuple(name for name in NAMES if name != "+phase")
"""Arms of the full form; half of the guide is compared with `--arms`."""
QUICK_NAMES: Final = (SIMULATOR_ALONE, "base", "+simulator", "+experience", "full", "full without denoiser")
"""Arms of the quick form."""

# Arms are there to be chosen from, so the test split takes no part.
ALWAYS: Final[dict[str, Any]] = {"evaluation.downstream": False, "evaluation.split": "validation"}
OWN: Final = frozenset({*ALWAYS, *set.intersection(*map(set, ARMS.values())), "training.seed", "cohort.seed"})
"""Settings that the benchmark sets itself in every arm, so that the command line cannot."""
SAMPLED: Final[dict[str, Any]] = {"cohort.sampler_steps": 25}
"""How every arm is sampled: with so many steps that none is worse for them. Trajectories of arms without a guide bend
more, so the default of four would compare solvers; `--set` goes over it."""
QUICK: Final[dict[str, Any]] = {
    "training.autoencoder.steps": 2500,
    "training.diffusion.steps": 800,
    "training.diffusion.learning_rate": 1e-3,
    "training.diffusion.ema_decay": 0.995,
    "cohort.size": 450,
}
"""Changes of the quick form, which is to take less than an hour on two cores; `--set` and `--steps` go over them."""


@dataclass(frozen=True)
class Seeds:
    """Seeds of training and of cohorts; every combination is a run."""

    training: tuple[int, ...]
    cohort: tuple[int, ...]


FULL_SEEDS: Final = Seeds((1, 2, 3), (1, 2, 3))
QUICK_SEEDS: Final = Seeds((1,), (1,))


@dataclass(frozen=True)
class Planned:
    """One evaluation: an arm, the seed it is trained with (None for the simulator), the seed of its cohort."""

    arm: str
    training_seed: int | None
    cohort_seed: int

    def __str__(self) -> str:
        trained = "" if self.training_seed is None else f"training seed {self.training_seed}, "
        return f"{self.arm}, {trained}cohort seed {self.cohort_seed}"

    def overrides(self) -> dict[str, Any]:
        """The settings that make this run; the one place where seeds become settings."""
        seeds: dict[str, Any] = {"cohort.seed": self.cohort_seed}
        if self.training_seed is not None:
            seeds["training.seed"] = self.training_seed
        return {**ARMS.get(self.arm, {}), **seeds}


def plan(arms: Sequence[str], seeds: Seeds) -> list[Planned]:
    """Every run, in an order in which all arms of one training seed are done before the next seed begins."""
    runs = [Planned(SIMULATOR_ALONE, None, cohort) for cohort in seeds.cohort if SIMULATOR_ALONE in arms]
    trained = [name for name in ARMS if name in arms]
    return runs + [
        Planned(arm, training, cohort) for training in seeds.training for arm in trained for cohort in seeds.cohort
    ]


def chosen_arms(words: str | None, quick: bool = False) -> list[str]:
    """The arms that `--arms a,b` names, in the order of the table; without it all, or those of the quick form.

    Raises:
        SettingsError: there is no such arm.
    """
    if words is None:
        return list(QUICK_NAMES if quick else FULL_NAMES)
    asked = [word.strip() for word in words.split(",") if word.strip()]
    if unknown := [name for name in asked if name not in NAMES]:
        raise SettingsError(f"--arms: unknown arm {unknown[0]!r}; known: {', '.join(NAMES)}")
    if not asked:
        raise SettingsError(f"--arms names no arm; known: {', '.join(NAMES)}")
    return [name for name in NAMES if name in asked]


@dataclass(frozen=True)
class Profile:
    """The settings that all arms share, as the command line gave them.

    Attributes:
        name: in `prefect.yaml`.
        words: `path.to.setting=value` of the command line.
    """

    name: str
    words: tuple[str, ...] = ()
    data: Path | None = None
    warehouse: str | None = None
    steps: int | None = None
    quick: bool = False

    def settings(self, changes: Mapping[str, Any] | None = None) -> Settings:
        """The settings with an arm's changes, which nothing goes over: otherwise arms would be alike.

        Raises:
            SettingsError: the profile, a setting or a value does not exist or is not allowed, or every arm has its own.
        """
        if taken := [path for word in self.words if (path := word.partition("=")[0].strip()) in OWN]:
            raise SettingsError(f"--set {taken[0]}: arms and seeds of the ablation set it; leave it out")
        overrides = [*_words({**SAMPLED, **(QUICK if self.quick else {})}), *self.words]
        if self.steps is not None:
            overrides.append(f"training.diffusion.steps={self.steps}")
        if self.warehouse is not None:
            overrides.append(f"warehouse.uri={json.dumps(self.warehouse)}")
        return load_settings(self.name, [*overrides, *_words({**ALWAYS, **(changes or {})})], self.data)


def _words(changes: Mapping[str, Any]) -> list[str]:
    return [f"{path}={json.dumps(value)}" for path, value in changes.items()]
