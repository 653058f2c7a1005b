"""What the draws of a prior are good for."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks.prevention.inputs import People
from models.beats.beats import Beats
from models.beats.measured import measured_beats
from models.evaluation.discriminators import linear_scores
from models.evaluation.interval_distances import FEWEST_FOR_DISTANCE, weighted_distance
from models.evaluation.metrics import Estimate, auc, macro_auc
from models.simulator.beat_components import EventComponents
from models.superclasses import SUPERCLASSES

RESAMPLES: Final = 200
FEATURES: Final = ("pr_ms", "qrs_ms", "qt_ms", "axis_deg", "r_amplitude_mv", "t_amplitude_mv")
"""Amplitudes of the twelve leads are compared lead by lead."""


def measurement_distances(beats: Beats, asked: People, real: People) -> dict[str, float]:
    """Wasserstein-1 distance of drawn and real measurements within a superclass, in standard deviations of real ones.

    Args:
        beats: drawn, or of other real people.
        asked: people whose conditions `beats` are of.
        real: people to compare with.

    Returns:
        Feature to the mean over superclasses with enough of both, and over leads; those with none are left out.
    """
    drawn, found = measured_beats(beats.usual, asked.rr_s), measured_beats(real.examples.beats.usual, real.rr_s)
    distances: dict[str, float] = {}
    for name in FEATURES:
        columns = [one.reshape(len(one), -1) for one in (drawn[name], found[name])]
        of_feature = []
        for number in range(len(SUPERCLASSES)):
            first, second = (one[people.labels[:, number]] for one, people in zip(columns, (asked, real), strict=True))
            of_feature += [_relative_distance(a, b) for a, b in zip(first.T, second.T, strict=True)]
        known = [one for one in of_feature if one is not None]
        if known:
            distances[name] = float(np.mean(known))
    return distances


def _relative_distance(first: np.ndarray, second: np.ndarray) -> float | None:
    first, second = first[np.isfinite(first)], second[np.isfinite(second)]
    if min(len(first), len(second)) < FEWEST_FOR_DISTANCE or second.std() == 0:
        return None
    distance = weighted_distance(first, second, np.ones((1, len(first))), np.ones((1, len(second))))
    return float(distance[0] / second.std())


def discriminator(beats: Beats, real: People, components: EventComponents, seed: int) -> Estimate:
    """AUC of a logistic regression on coordinates that tells drawn beats from real ones, patients never shared."""
    rows = [components.coordinates(one).numpy() for one in (real.examples.beats.usual, beats.usual)]
    groups = np.concatenate([real.examples.patients.numpy(), -1 - np.arange(len(beats))])
    scores = linear_scores(rows[0], rows[1], groups, seed)
    return auc(np.repeat([False, True], [len(rows[0]), len(rows[1])]), scores, groups, RESAMPLES, seed)


def classifier(beats: Beats, labels: np.ndarray, test: People, components: EventComponents, seed: int) -> Estimate:
    """Macro AUC over superclasses, on real people, of a small network that learned from these beats alone.

    Args:
        beats: to learn from.
        labels: (n, 5) bool, of each.
        test: real people that it is tested on.
    """
    scaler = StandardScaler().fit(components.coordinates(beats.usual).numpy())
    points, tested = (
        scaler.transform(components.coordinates(one).numpy()) for one in (beats.usual, test.examples.beats.usual)
    )
    network = MLPClassifier((64,), alpha=1e-2, batch_size=256, max_iter=100, early_stopping=True, random_state=seed)
    scores = network.fit(points, labels.astype(int)).predict_proba(tested)
    return macro_auc(test.labels, scores, test.examples.patients.numpy(), RESAMPLES, seed)


def common_components(training: People) -> EventComponents:
    """Coordinates in which all priors are judged alike."""
    components = EventComponents(80)
    with torch.no_grad():
        components.fit(training.examples.beats.usual)
    return components
