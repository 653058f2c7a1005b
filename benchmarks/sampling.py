"""How fast does the trained model generate, and does speed cost fidelity?

`python -m benchmarks.sampling [--quick] [--profile P] [--data PATH] [--model ID]` takes the profile's model, training
it if need be, or any model in the warehouse, and times whole ECGs in mV, in turns with 1000 ancestral steps of a U-Net
of DiffuSETS' published shape (`benchmarks.diffusets`; a share of the steps is timed, since all cost the same). That one
runs with the batch size, precision and use of threads that suit it best, the model as cohorts are generated. FID is
measured against held-out recordings, of the same conditions and seeds at the default steps and at 250. The share of the
machine's peak is that of multiplications and additions in matrix products and convolutions, counted by PyTorch.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pyarrow.compute as pc
import torch
from rich.console import Console
from rich.progress import track
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.diffusets import STEPS, TEXT_SIZE, PublishedUNet, sample_ancestrally
from benchmarks.peak import PRECISIONS, peak_flops
from benchmarks.record import Check, arguments, publish
from benchmarks.timing import in_turns, rate, rate_ratio
from flows.profiles import load_settings
from flows.train import train_model
from models.conditioning import ConditionTensors
from models.evaluation.classifier import classify
from models.evaluation.fidelity import fit_principal_components, frechet_distance
from models.evaluation.metrics import Estimate, percentile_interval
from models.flow.generator import FlowGenerator
from models.latent_diffusion.generator import Generator
from models.latent_diffusion.row_groups import in_groups
from tasks.conditions.cohort_design import design_cohort, row_seed
from tasks.conditions.condition import ConditionEmbedder, StatementFacts
from tasks.ecg_sets import read_recordings
from tasks.evaluation.networks.classifier import load_classifier, reference_classifier
from tasks.generation.task import DESIGN_COLUMNS, PartWriter
from tasks.settings import Settings
from warehouse.errors import EinthovenError
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

MANY_STEPS: Final = 250
"""What the FID of few steps is compared with."""
FAST_STEPS: Final = 3
SHARE_TARGET: Final = 35.0
BATCHES: Final = (4, 16, 64)
"""Batch sizes tried for the published shape; 4 is what its released settings generate at once."""
TIMED_STEPS: Final = 20
PART: Final = 256
"""ECGs between two looks at the progress."""
DRAWS: Final = 200
DRAWN_SHARE: Final = 0.8


@dataclass(frozen=True)
class Way:
    """A way to sample the model: its steps and guidance, and what is asked of it.

    Attributes:
        times_faster: target of its speed over the published shape.
        dearer: target of its FID over that of `MANY_STEPS` steps.
    """

    name: str
    steps: int
    guidance: float
    times_faster: float
    dearer: float


def ways_to_sample(settings: Settings) -> list[Way]:
    """The default, and a fast setting of fewer steps."""
    cohort = settings.cohort
    return [
        Way("default", cohort.sampler_steps, cohort.guidance, times_faster=100.0, dearer=1.02),
        Way("fast", FAST_STEPS, 1.0, times_faster=300.0, dearer=1.05),
    ]


@dataclass(frozen=True)
class Published:
    """A way to run the published shape.

    Attributes:
        batch: ECGs that it makes at once.
        at_a_time: how many such batches are made side by side, by one thread each; 1 for one batch by all threads.
    """

    batch: int
    bf16: bool = False
    at_a_time: int = 1

    @property
    def ecgs(self) -> int:
        """ECGs of one turn."""
        return self.batch * self.at_a_time

    def sample(self, network: PublishedUNet, steps: int) -> torch.Tensor:
        """Latents of as many ECGs after the first `steps` of 1000 steps."""
        tokens = torch.randn(self.ecgs, 1, TEXT_SIZE + 3, generator=torch.Generator().manual_seed(1))

        def made(rows: list[int]) -> torch.Tensor:
            return sample_ancestrally(network, tokens[rows], torch.Generator().manual_seed(rows[0]), steps, self.bf16)

        rows = list(range(self.ecgs))
        return made(rows) if self.at_a_time == 1 else in_groups(made, len(rows), self.batch, "cpu")


@dataclass(frozen=True)
class Trained:
    """A model with everything that is needed to generate for the conditions of its cohort."""

    store: Store
    recordings: Reference
    generator: Generator | FlowGenerator
    condition: ConditionTensors
    seeds: list[int]
    trait_guidance: float
    embedder: ConditionEmbedder
    statements: StatementFacts

    def sample(self, way: Way, rows: int) -> np.ndarray:
        """The first rows of the cohort: (rows, 8, samples) mV."""
        return self.sample_part(way, range(rows))

    def sample_part(self, way: Way, rows: range) -> np.ndarray:
        """Some rows of the cohort: (rows, 8, samples) mV."""
        seeds = [self.seeds[row] for row in rows]
        return self.generator.sample(
            self.condition[rows],
            seeds,
            steps=way.steps,
            guidance=way.guidance,
            trait_guidance=self.trait_guidance,
        ).numpy()


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--model", help="id of a model in the warehouse; by default the profile's")
    given = parser.parse_args(words)
    settings, started = load_settings(given.profile, given.set, given.data), time.monotonic()
    compared_rows, turns = (128, 4) if given.quick else (1024, 12)
    torch.set_num_threads(threads := len(os.sched_getaffinity(0)))
    timed_rows = 64 * threads
    trained = load_trained(settings, given.model, compared_rows)
    ways = ways_to_sample(settings)
    say = Console(stderr=True).print
    say("measuring the machine's peak, and what batch suits the published shape")
    peaks = {name: peak_flops(name) for name in PRECISIONS}

    network = PublishedUNet().eval()
    best, released = _best_way(network, threads), Published(BATCHES[0])
    say(f"timing {turns} turns")
    seconds = in_turns(
        *(lambda _, way=way: trained.sample(way, timed_rows) for way in ways),  # type: ignore[misc]
        lambda _: best.sample(network, TIMED_STEPS),
        lambda _: released.sample(network, TIMED_STEPS),
        repetitions=turns,
    )
    *ours, published, published_batch = seconds.T
    done, done_batch = (one.ecgs * TIMED_STEPS / STEPS for one in (best, released))
    check = partial(Check, n=turns, seeds=[1])
    checks = []
    for way, own in zip(ways, ours, strict=True):
        name = f"{way.name} ({way.steps} steps, guidance {way.guidance:g})"
        found = rate_ratio(own, timed_rows, published, done)
        checks += [
            check(name=f"{name}: speed", **rate(own, timed_rows)._asdict(), unit="records/s"),
            check(
                name=f"{name}: over the published shape at its best batch, {best.batch}",
                **found._asdict(),
                unit="×",
                target=way.times_faster,
            ),
            check(
                name=f"{name}: over the published shape at its released batch, {released.batch}",
                **rate_ratio(own, timed_rows, published_batch, done_batch)._asdict(),
                unit="×",
            ),
        ]
    checks.append(check(name="published shape, 1000 steps", **rate(published, done)._asdict(), unit="records/s"))
    precision = trained.generator.config.precision
    peak = max(peaks[precision].values())
    flops = _flops(trained, ways[0])
    share = rate(ours[0], 1)
    checks.append(
        check(
            name=f"default: share of the machine's {precision} peak",
            **{end: 100 * flops * timed_rows * value / peak for end, value in share._asdict().items()},
            unit="%",
            target=SHARE_TARGET,
        )
    )
    say(f"generating {compared_rows} ECGs in each way and at {MANY_STEPS} steps, for FID")
    checks += _fidelity_checks(trained, settings, ways, compared_rows)
    publish(
        "sampling",
        checks,
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={
            "profile": given.profile,
            "model": given.model or "the profile's",
            "threads": threads,
            "precision": precision,
            "rows": {"timed": timed_rows, "at_once": trained.generator.config.rows_at_once, "compared": compared_rows},
            "published_shape": {
                "parameters": sum(weight.numel() for weight in network.parameters()),
                "batch": best.batch,
                "batches_at_a_time": best.at_a_time,
                "precision": "bf16" if best.bf16 else "fp32",
                "steps_timed": TIMED_STEPS,
            },
            "turns": turns,
        },
        details={
            "peak_gflops": {
                name: {kind: round(value / 1e9, 1) for kind, value in found.items()} for name, found in peaks.items()
            },
            "gflop_per_ecg": round(flops / 1e9, 2),
            "denoiser_parameters": sum(weight.numel() for weight in trained.generator.denoiser.parameters()),
            "seconds_per_turn": np.round(seconds, 4).tolist(),
        },
    )


def load_trained(settings: Settings, model_id: str | None, rows: int) -> Trained:
    """The profile's model, or any other of the warehouse, with the first conditions of its cohort.

    Raises:
        EinthovenError: there is no such model.
    """
    store = Store(settings.warehouse.uri)
    model = store.find("model", model_id) if model_id else train_model(settings)
    if model is None:
        raise EinthovenError(f"model {model_id} is not in {store.root}; leave --model out to train the profile's")
    inputs = {one.kind: one for one in store.manifest(model).lineage.inputs}
    recordings, knowledge = inputs["recordings"], inputs["knowledge"]
    facts = store.facts(recordings, RecordingsFacts)
    known = store.read(recordings, "recordings", DESIGN_COLUMNS)
    design = design_cohort(known.filter(pc.equal(known["split"], "train")), settings.cohort, facts.statements)
    writer = PartWriter(
        cohort="benchmark",
        settings=settings.cohort,
        design=design,
        model=model,
        knowledge=knowledge,
        statement_facts=facts.statements,
        simulated=facts.simulated,
        uri=str(store.root),
        threads=torch.get_num_threads(),
    )
    asked = [design.ask(settings.cohort.seed, row, facts.statements) for row in range(rows)]
    condition, _ = writer.embedder(asked)
    seeds = [row_seed(settings.cohort.seed, row) for row in range(rows)]
    cohort = settings.cohort
    return Trained(
        store,
        recordings,
        writer.generator,
        condition,
        seeds,
        cohort.trait_guidance,
        writer.embedder,
        facts.statements,
    )


def _best_way(network: PublishedUNet, threads: int) -> Published:
    """The way in which the published shape makes most ECGs per second."""

    def speed(way: Published) -> float:
        return way.ecgs / float(np.median(in_turns(lambda _: way.sample(network, 4), repetitions=3)))

    sides = sorted({1, threads})
    return max((Published(*way) for way in itertools.product(BATCHES, (False, True), sides)), key=speed)


def _flops(trained: Trained, way: Way) -> float:
    """Multiplications and additions per ECG."""
    at_once = trained.generator.config.rows_at_once
    with FlopCounterMode(display=False) as counter:
        trained.sample(way, at_once)
    return counter.get_total_flops() / at_once


def _fidelity_checks(trained: Trained, settings: Settings, ways: list[Way], rows: int) -> list[Check]:
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
    many = Way(f"{MANY_STEPS} steps", MANY_STEPS, ways[0].guidance, 0.0, 0.0)
    made = {}
    for way in (many, *ways):
        parts = range(0, rows, PART)
        shown = track(parts, f"{way.name}", console=Console(stderr=True))
        signal = np.concatenate([trained.sample_part(way, range(at, min(at + PART, rows))) for at in shown])
        made[way.name] = space.transform(features(signal))
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

    checks = [check(f"FID at {many.name}", distances[many.name])]
    for way in ways:
        checks += [
            check(f"{way.name}: FID", distances[way.name]),
            check(
                f"{way.name}: FID over that at {many.name}",
                distances[way.name] / distances[many.name],
                unit="×",
                target=way.dearer,
                comparison="<=",
            ),
        ]
    return checks


if __name__ == "__main__":
    main()
