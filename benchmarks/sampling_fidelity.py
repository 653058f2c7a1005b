"""What speed costs: FID of each way of sampling over that of many steps."""

from __future__ import annotations

from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.record import Check
from benchmarks.trained_model import Trained, Way
from models.evaluation.classifier import classify
from models.evaluation.fidelity import fit_principal_components, frechet_distance
from models.evaluation.metrics import Estimate, percentile_interval
from models.flow.generator import FlowGenerator
from tasks.ecg_sets import read_recordings
from tasks.evaluation.networks.classifier import load_classifier, reference_classifier
from tasks.settings import Settings

MANY_STEPS: Final = 250
"""Network evaluations that the FID of few is compared with."""
PART: Final = 256
"""ECGs between two looks at the progress."""
DRAWS: Final = 200
DRAWN_SHARE: Final = 0.8


def fidelity_checks(trained: Trained, settings: Settings, ways: list[Way], rows: int) -> list[Check]:
    """FID of each way of sampling over that of many steps: same conditions, same seeds, same held-out recordings."""
    store, recordings = trained.store, trained.recordings
    classifier = load_classifier(
        store.path(reference_classifier(settings.evaluation, recordings, settings.compute, store))
    )
    rate_hz = trained.generator.config.sampling_rate_hz

    def features(signal: np.ndarray) -> np.ndarray:
        return classify(classifier, signal, rate_hz)[1]

    training, held_out = (
        features(read_recordings(store, recordings, split).signal) for split in ("train", "validation")
    )
    drawn = int(DRAWN_SHARE * min(rows, len(held_out)))
    space = fit_principal_components(training, drawn)
    real = space.transform(held_out)
    # A step of Heun's method has two evaluations, of the old chain's solver one.
    steps = MANY_STEPS // 2 if isinstance(trained.generator, FlowGenerator) else MANY_STEPS
    many = Way("many", steps, ways[0].guidance, by_student=False)
    made = {}
    for way in (many, *ways):
        parts = range(0, rows, PART)
        shown = track(parts, way.label, console=Console(stderr=True))
        signal = np.concatenate([trained.sample_part(way, range(at, min(at + PART, rows))) for at in shown])
        made[way.label] = space.transform(features(signal))
    rng = np.random.default_rng(1)
    found: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(DRAWS):
        # The same rows of every set: what is left is the sampler's.
        of_real, of_made = rng.choice(len(real), drawn, replace=False), rng.choice(rows, drawn, replace=False)
        for name, each in made.items():
            found[name].append(frechet_distance(real[of_real], each[of_made]))
    distances = {name: np.array(values) for name, values in found.items()}

    def check(name: str, values: np.ndarray, **more: object) -> Check:
        estimate: Estimate = percentile_interval(float(values.mean()), values)
        return Check.model_validate({"name": name, **estimate._asdict(), "n": drawn, "seeds": [1], **more})

    checks = [check(f"{many.label}: FID", distances[many.label])]
    for way in ways:
        checks += [
            check(f"{way.label}: FID", distances[way.label]),
            check(
                f"{way.label}: FID over that at {many.label}",
                distances[way.label] / distances[many.label],
                unit="×",
                target=way.dearer,
                comparison="<=",
            ),
        ]
    return checks
