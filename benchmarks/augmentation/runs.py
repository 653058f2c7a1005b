"""One training: what it is (`Run`), and its two forms.

`tune` trains and reads fold 9 only; `score` trains and reads the test sets too. Both write one result, whole or not at
all, under a digest of all that shapes it, so that a result that is there is not made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from benchmarks.augmentation.boosting import train_boosting
from benchmarks.augmentation.data import AugmentationError, Ecgs, LearningPlaces
from benchmarks.augmentation.examples import Examples, examples_of
from benchmarks.augmentation.labelling import Labelling
from benchmarks.augmentation.network import Optimisation, Shape, read_network, train_network
from benchmarks.augmentation.recipes import IMBALANCED_RECIPES, REAL_ONLY, RECIPES, Recipe
from models.superclasses import SUPERCLASSES
from warehouse.storage.reference import digest
from warehouse.storage.whole_files import whole_file, write_text

VERSION: Final = 1
"""Raised when the same run would give another result."""
FILTERED_SHARE: Final = 0.2
"""Of synthetic ECGs, those whose superclasses a classifier of real ones finds least likely, which a filter drops."""
Regime = Literal["release consumer", "self-augmentation"]
Classifier = Literal["network", "boosting"]
Read = Callable[[Ecgs], np.ndarray]


class Run(BaseModel):
    """Everything that shapes one training.

    Attributes:
        regime: who trains, and what the generator saw.
        labelling: the task.
        classifier: kind.
        recipe: name in `RECIPES`, or in `IMBALANCED_RECIPES` for two-sided tasks.
        share: of training patients; 1 for recipes without real ECGs.
        draw: seed of the share's draw.
        seed: of the training.
        learning_rate, steps: see `Optimisation`.
        width, stages, features: shape of the network.
        recordings: id of the real ones.
        made: id of the synthetic or simulated ECGs; none for recipes without.
        size: how many of them, the first ones; 0 for all.
        filtered: whether a classifier of the run's real ECGs drops those it disagrees with.
        begins_with: key of the run whose weights it begins with.
        purpose: `tune` for a run that only choices read, `score` for one that reports.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    regime: Regime
    labelling: Labelling
    classifier: Classifier
    recipe: str
    share: float
    draw: int
    seed: int
    learning_rate: float
    steps: int
    width: int = 32
    stages: int = 4
    features: int = 128
    recordings: str
    made: str = ""
    size: int = 0
    filtered: bool = False
    begins_with: str = ""
    purpose: Literal["tune", "score"]

    @property
    def key(self) -> str:
        """A digest of all of it and of the code."""
        return digest("augmentation", VERSION, self.model_dump(mode="json"))

    @property
    def made_of(self) -> Recipe:
        """The recipe."""
        recipes = RECIPES if self.labelling.kind == "all" else IMBALANCED_RECIPES
        return recipes[self.recipe]

    @property
    def optimisation(self) -> Optimisation:
        """What was tuned."""
        return Optimisation(self.learning_rate, self.steps)


class Outcome(BaseModel):
    """What is kept of a run beside its predictions."""

    model_config = ConfigDict(extra="forbid")

    run: Run
    seconds: float
    real_rows: int
    made_rows: int


class Results:
    """A folder of results: `KEY.json` last, so that it says that the rest is there."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def has(self, run: Run) -> bool:
        """Whether the run was made."""
        return self._path(run.key, "json").exists()

    def outcome(self, run: Run) -> Outcome:
        """What is kept of it."""
        return Outcome.model_validate_json(self._path(run.key, "json").read_bytes())

    def predictions(self, run: Run) -> dict[str, np.ndarray]:
        """Name of a set of ECGs to probabilities (n, outputs), rows in its order."""
        with np.load(self._path(run.key, "npz")) as held:
            return dict(held)

    def weights(self, key: str) -> dict[str, Any]:
        """Weights of a run without real ECGs.

        Raises:
            AugmentationError: they are not there.
        """
        from safetensors.torch import load_file

        path = self._path(key, "safetensors")
        if not path.exists():
            raise AugmentationError(
                f"{path} is missing; remove {path.with_suffix('.json').name} beside it and run again"
            )
        return load_file(path)

    def keep(self, outcome: Outcome, predictions: Mapping[str, np.ndarray], weights: Mapping[str, Any] | None) -> None:
        """Write a result."""
        key = outcome.run.key
        if weights is not None:
            from safetensors.torch import save

            with whole_file(self._path(key, "safetensors")) as file:
                file.write(save({name: tensor.contiguous().cpu() for name, tensor in weights.items()}))
        with whole_file(self._path(key, "npz")) as file:
            np.savez_compressed(file, **{name: each.astype(np.float32) for name, each in predictions.items()})  # type: ignore[arg-type]
        write_text(self._path(key, "json"), outcome.model_dump_json(indent=1))

    def _path(self, key: str, suffix: str) -> Path:
        return self.folder / f"{key}.{suffix}"


def tune(run: Run, places: LearningPlaces, results: Results, device: str = "cpu") -> None:
    """Train, and read fold 9."""
    _make(run, places, {"validation": places.validation}, results, device)


def score(
    run: Run, places: LearningPlaces, test_sets: Mapping[str, str], results: Results, device: str = "cpu"
) -> None:
    """Train as `tune` does, and read the test sets as well: the only function that opens them.

    Args:
        test_sets: name to folder.
    """
    _make(run, places, {"validation": places.validation, **test_sets}, results, device)


def _make(run: Run, places: LearningPlaces, read: Mapping[str, str], results: Results, device: str) -> None:
    started = time.monotonic()
    found, parts, weights = _learn(run, places, results, device)
    predictions = {name: found(Ecgs.open(folder)) for name, folder in read.items()}
    real = sum(len(part.labels) for part in parts if part.real)
    outcome = Outcome(
        run=run,
        seconds=round(time.monotonic() - started, 1),
        real_rows=real,
        made_rows=sum(len(part.labels) for part in parts) - real,
    )
    results.keep(outcome, predictions, weights)


def _learn(
    run: Run, places: LearningPlaces, results: Results, device: str
) -> tuple[Read, list[Examples], Mapping[str, Any] | None]:
    """A trained classifier as a function of ECGs, what it learned from, and weights worth keeping."""
    train = Ecgs.open(places.train)
    recipe, shape = run.made_of, Shape(run.width, run.stages, run.features)
    folder = places.simulated if recipe.family == "simulator" else places.synthetic
    made = Ecgs.open(folder) if run.made and folder else None
    if made is not None and run.size:
        made = made.take(np.arange(min(run.size, len(made))))
    if made is not None and run.filtered:
        made = agreed(run, train, made, shape, device)
    parts = examples_of(recipe, run.labelling, train, made, run.share, run.draw)
    if run.classifier == "boosting":
        trees = train_boosting(parts, recipe, run.optimisation, run.seed)
        return lambda ecgs: trees.read(ecgs.measurements), parts, None
    begin = results.weights(run.begins_with) if run.begins_with else None
    network = train_network(parts, recipe, run.optimisation, run.seed, shape, device, begin)
    read = lambda ecgs: read_network(network, ecgs.signal, ecgs.rate_hz)  # noqa: E731
    return read, parts, network.state_dict() if recipe.made_only else None


def agreed(run: Run, train: Ecgs, made: Ecgs, shape: Shape, device: str) -> Ecgs:
    """The synthetic ECGs without those whose superclasses a classifier of the run's real ECGs finds least likely."""
    recipe, labelling = RECIPES[REAL_ONLY], Labelling(name="agreement")
    parts = examples_of(recipe, labelling, train, None, run.share, run.draw)
    network = train_network(parts, recipe, run.optimisation, run.seed, shape, device)
    probabilities = np.clip(read_network(network, made.signal, made.rate_hz), 1e-4, 1 - 1e-4)[:, : len(SUPERCLASSES)]
    likelihood = np.where(made.superclasses, np.log(probabilities), np.log1p(-probabilities)).mean(axis=1)
    return made.take(likelihood >= np.quantile(likelihood, FILTERED_SHARE))
