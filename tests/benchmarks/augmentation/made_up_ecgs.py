"""ECGs whose labels are known to show in the signal, or known not to, and jobs that run in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.augmentation.comparison import MadeEcgs, Supply
from benchmarks.augmentation.data import Ecgs, LearningPlaces
from benchmarks.augmentation.jobs import Jobs
from benchmarks.augmentation.labelling import Labelling, all_labels
from benchmarks.augmentation.runs import Run
from models.superclasses import SUPERCLASSES

CODES = ("AFIB", "CRBBB", "SR")
SAMPLES = 256
SHAPE = {"width": 8, "stages": 2, "features": 16}
LABELLING: Labelling = all_labels(("AFIB",))


def made_up(count: int, seed: int, *, shuffled: bool = False, noise: float = 1.0) -> Ecgs:
    """ECGs with one superclass each, which shows as a frequency in one lead; two ECGs per patient.

    Args:
        shuffled: give labels that have nothing to do with the signal.
        noise: standard deviation relative to the amplitude of what shows.
    """
    random = np.random.default_rng(seed)
    classes = random.integers(len(SUPERCLASSES), size=count)
    time = np.arange(SAMPLES) / 100.0
    signal = noise * random.normal(size=(count, 8, SAMPLES))
    phase = random.uniform(0, 2 * np.pi, count)
    for row, one in enumerate(classes):
        signal[row, one] += np.sin(2 * np.pi * 6 * time + phase[row])
    measurements = np.log(np.abs(np.fft.rfft(signal)[:, :, 15]))
    labels = random.permutation(classes) if shuffled else classes
    statements = np.stack([labels == 1, labels == 3, labels != 1], axis=1)
    return Ecgs(
        signal=(200 * signal).astype(np.int16),
        measurements=measurements.astype(np.float32),
        superclasses=np.eye(len(SUPERCLASSES), dtype=bool)[labels],
        statements=statements,
        female=(random.random(count) < 0.5).astype(np.float32),
        patients=np.arange(count) // 2,
        codes=CODES,
        rate_hz=100,
    )


class JobsHere(Jobs):
    """Runs made one after the other in this process, without Ray."""

    def _make(self, runs: Mapping[Run, LearningPlaces], work: Callable[..., None], extra: Sequence[object]) -> None:
        for run, places in runs.items():
            if self.results.has(run):
                self.found += 1
                continue
            work(run, places, *extra, self.results)
            self.made += 1


def supply_of(folder: Path, train: Ecgs, validation: Ecgs, made: Ecgs | None, seeds: tuple[int, ...]) -> Supply:
    """Folders of what a comparison learns from; `folder` should be empty."""
    train.save(folder / "train")
    validation.save(folder / "validation")
    held = MadeEcgs()
    if made is not None:
        made.save(folder / "synthetic")
        held = MadeEcgs("synthetic", str(folder / "synthetic"))
    return Supply(
        regime="release consumer",
        recordings="real",
        train=str(folder / "train"),
        validation=str(folder / "validation"),
        shares=(0.1,),
        seeds=seeds,
        tuning_draw=0,
        made={None: held},
    )
