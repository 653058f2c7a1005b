"""What every metric of fidelity must notice, one damage at a time, and what planted copies look like to it.

A damaged set must be worse than an honest one by more than both intervals. What a metric cannot notice is in no row:
spectra know no direction of time, features of a superclass classifier little of it, and distances over all ECGs know no
conditions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from models.architecture import ClassifierArchitecture
from models.ecg.measurements import measure
from models.ecg.r_peaks import locate_r_peaks
from models.evaluation import discriminators, fidelity, metrics
from models.evaluation.classifier import ClassifierTraining, EcgClassifier, classify, train_classifier
from models.evaluation.interval_distances import compared_intervals
from models.evaluation.measurement_space import MeasurementSpace
from models.evaluation.memorisation import memorisation
from models.evaluation.metrics import Estimate
from tests.models.synthetic_hearts import RATE_HZ, ecgs

COUNT, DRAWN, DRAWS = 100, 80, 10
TRAINING = discriminators.DiscriminatorTraining(steps=25, batch_size=32, seed=1)
FEATURES = ("pr_ms", "qrs_ms", "qtc_ms", "heart_rate_bpm", "rr_irregularity", "t_amplitude_mv", "r_amplitude_mv")
NOTICED = {
    "FID": ("noise", "collapse", "swapped leads"),
    "KID": ("noise", "collapse", "swapped leads"),
    "uncovered": ("collapse", "swapped leads"),
    "measurements": ("noise", "collapse", "reversal", "swapped leads"),
    "linear discriminator": ("noise", "collapse", "swapped leads"),
    "convolutional discriminator": ("noise", "collapse", "reversal", "swapped leads"),
    "median-beat discriminator": ("collapse", "reversal", "swapped leads"),
    "heart rate in condition": ("shuffled conditions",),
    "copied": ("copies",),
}


class Hearts(NamedTuple):
    """ECGs with the condition that each was asked for: 1 for a slow rate."""

    signal: np.ndarray
    condition: np.ndarray


def hearts(seed: int) -> Hearts:
    """People whose two arms differ as people's leads do: V1 to V6 are larger than I and II."""
    signal = ecgs(COUNT, seed) * np.linspace(0.6, 1.6, 8, dtype=np.float32)[:, None]
    rate = measured(signal)["heart_rate_bpm"]
    return Hearts(signal, (rate < 72).astype(int))


def measured(signal: np.ndarray) -> dict[str, np.ndarray]:
    return measure(signal, locate_r_peaks(signal, RATE_HZ), RATE_HZ)


def in_columns(signal: np.ndarray) -> np.ndarray:
    found = measured(signal)
    return np.column_stack([found[name] for name in FEATURES])


class World(NamedTuple):
    """Training and held-out recordings, and a classifier fitted to others."""

    training: Hearts
    held_out: Hearts
    classifier: EcgClassifier

    def features(self, signal: np.ndarray) -> np.ndarray:
        return classify(self.classifier, signal, RATE_HZ)[1]


@pytest.fixture(scope="module")
def world() -> World:
    others = hearts(9)
    labels = np.zeros((COUNT, 5))
    # Something to learn that needs shape, rate and leads.
    labels[:, 0] = others.condition
    labels[:, 1] = measured(others.signal)["t_amplitude_mv"][:, 6] > 0.3
    labels[:, 2] = measured(others.signal)["r_amplitude_mv"][:, 10] > 1.3
    shape, training = ClassifierArchitecture(width=8, stages=3, features=16), ClassifierTraining(60, 32, 3e-3, 1)
    return World(hearts(1), hearts(2), train_classifier(others.signal, labels, shape, training, RATE_HZ))


@pytest.fixture(scope="module")
def sets(world: World) -> dict[str, Hearts]:
    """An honest set and what may be wrong with it."""
    rng, honest = np.random.default_rng(3), hearts(3)
    signal, condition = honest
    few = rng.integers(4, size=COUNT)
    copies = signal.copy()
    copies[:30] = world.training.signal[:30]
    return {
        "honest": honest,
        "noise": Hearts(signal + rng.normal(0, 0.2, signal.shape).astype(np.float32), condition),
        "collapse": Hearts(signal[few], condition[few]),
        "reversal": Hearts(np.ascontiguousarray(signal[:, :, ::-1]), condition),
        "swapped leads": Hearts(np.ascontiguousarray(signal[:, ::-1]), condition),
        "shuffled conditions": Hearts(signal, rng.permutation(condition)),
        "copies": Hearts(copies, np.concatenate([world.training.condition[:30], condition[30:]])),
    }


def drawn(real: np.ndarray, other: np.ndarray, distance: Callable[[np.ndarray, np.ndarray], float]) -> Estimate:
    pairs = fidelity.drawn_pairs((len(real), len(other)), DRAWN, DRAWS, 1)
    values = np.array([distance(real[one], other[two]) for one, two in pairs])
    return metrics.percentile_interval(float(values.mean()), values)


def by_features(distance: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[World, Hearts], Estimate]:
    def judge(world: World, ecgs: Hearts) -> Estimate:
        space = fidelity.fit_principal_components(world.features(world.training.signal), DRAWN)
        real, other = (space.transform(world.features(each.signal)) for each in (world.held_out, ecgs))
        return drawn(real, other, distance)

    return judge


def by_measurements(world: World, ecgs: Hearts) -> Estimate:
    training = in_columns(world.training.signal)
    space = MeasurementSpace.fit(training)
    reduced = fidelity.fit_principal_components(space.points(training), DRAWN)
    points = [reduced.transform(space.points(in_columns(each.signal))) for each in (world.held_out, ecgs)]
    return drawn(points[0], points[1], fidelity.frechet_distance)


def area(scores: np.ndarray) -> Estimate:
    half = len(scores) // 2
    return metrics.auc(np.repeat([False, True], half), scores, np.arange(2 * half), 100, 1)


def by_spectra(world: World, ecgs: Hearts) -> Estimate:
    first, second = (discriminators.spectral_descriptors(each.signal, RATE_HZ) for each in (world.held_out, ecgs))
    return area(discriminators.linear_scores(first, second, np.arange(2 * COUNT), 1))


def by_crops(world: World, ecgs: Hearts) -> Estimate:
    signals = world.held_out.signal, ecgs.signal
    return area(discriminators.convolutional_scores(*signals, np.arange(2 * COUNT), RATE_HZ, TRAINING))


def by_beats(world: World, ecgs: Hearts) -> Estimate:
    beats = [
        discriminators.beats_to_tell(each.signal, locate_r_peaks(each.signal, RATE_HZ), RATE_HZ)[1]
        for each in (world.held_out, ecgs)
    ]
    fewest = min(map(len, beats))
    rate_hz = discriminators.BEAT_RATE_HZ
    groups = np.arange(2 * fewest)
    return area(discriminators.convolutional_scores(beats[0][:fewest], beats[1][:fewest], groups, rate_hz, TRAINING))


def by_rate_in_condition(world: World, ecgs: Hearts) -> Estimate:
    slow = [
        (measured(each.signal)["heart_rate_bpm"][each.condition == 1], np.flatnonzero(each.condition == 1))
        for each in (world.held_out, ecgs)
    ]
    return compared_intervals(slow[0], slow[1], (), 100, 1)[0]


def by_copies(world: World, ecgs: Hearts) -> Estimate:
    space = fidelity.fit_principal_components(world.features(world.training.signal), COUNT)
    points = [space.transform(world.features(each.signal)) for each in (ecgs, world.held_out, world.training)]
    return memorisation(points[0], points[1], points[2], np.arange(2 * COUNT), 100, 1).near


JUDGES: dict[str, Callable[[World, Hearts], Estimate]] = {
    "FID": by_features(fidelity.frechet_distance),
    "KID": by_features(fidelity.kernel_distance),
    "uncovered": by_features(lambda real, other: 1 - fidelity.manifold_overlap(real, other)["coverage"]),
    "measurements": by_measurements,
    "linear discriminator": by_spectra,
    "convolutional discriminator": by_crops,
    "median-beat discriminator": by_beats,
    "heart rate in condition": by_rate_in_condition,
    "copied": by_copies,
}


@pytest.mark.parametrize("metric", NOTICED)
def test_what_must_be_noticed_is(metric: str, world: World, sets: dict[str, Hearts]) -> None:
    judge = JUDGES[metric]
    honest = judge(world, sets["honest"])
    for damage in NOTICED[metric]:
        found = judge(world, sets[damage])
        assert found.low > honest.high, f"{metric} of {damage}: {found}, honest {honest}"


@pytest.mark.parametrize("metric", ["FID", "measurements"])
def test_planted_copies_bring_no_distance_up(metric: str, world: World, sets: dict[str, Hearts]) -> None:
    """Why data copying has a row of its own: by these metrics a cohort of copies is as good as one of new people."""
    judge = JUDGES[metric]
    assert judge(world, sets["copies"]).low <= judge(world, sets["honest"]).high
