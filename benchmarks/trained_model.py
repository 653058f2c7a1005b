"""A trained model of a warehouse with the conditions of its cohort, and the ways in which benchmarks sample it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pyarrow.compute as pc
import torch

from flows.train import train_model
from models.conditioning import ConditionTensors
from models.flow.generator import FlowGenerator
from models.latent_diffusion.generator import Generator
from tasks.conditions.cohort_design import design_cohort, row_seed
from tasks.conditions.condition import ConditionEmbedder, StatementFacts
from tasks.generation.task import DESIGN_COLUMNS, PartWriter
from tasks.settings import Settings
from warehouse.errors import EinthovenError
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

FAST_STEPS: Final = 3
MANY_EVALUATIONS: Final = 25
"""Network evaluations of a flow that is sampled as usual elsewhere: 13 steps of Heun's method."""


@dataclass(frozen=True)
class Way:
    """A way to sample the model: its steps and guidance, and what is asked of it.

    Attributes:
        times_faster: target of its speed over DiffuSETS' shape; None for none.
        dearer: target of its FID over that of `MANY_STEPS` steps; None for none.
        by_student: whether a student, where there is one, does few steps.
    """

    name: str
    steps: int
    guidance: float
    times_faster: float | None = None
    dearer: float | None = None
    by_student: bool = True

    @property
    def label(self) -> str:
        """Its name with what it is."""
        return f"{self.name} ({self.steps} steps, guidance {self.guidance:g})"


def ways_to_sample(settings: Settings, generator: Generator | FlowGenerator) -> list[Way]:
    """The default first, a fast setting of fewer steps, and what else a flow can do."""
    steps, guidance = settings.cohort.sampler_steps, settings.cohort.guidance
    ways = [
        Way("default", steps, guidance, times_faster=109.0, dearer=1.02),
        Way("fast", FAST_STEPS, 1.0, times_faster=300.0, dearer=1.05),
    ]
    if not isinstance(generator, FlowGenerator):
        return ways
    half = (MANY_EVALUATIONS + 1) // 2
    many = Way(f"{MANY_EVALUATIONS} evaluations of the same network", half, guidance, by_student=False)
    if generator.student is None:
        return [*ways, many]
    alone = [Way("without the student", number, guidance, by_student=False) for number in sorted({FAST_STEPS, steps})]
    return [*ways, *(Way("student", number, guidance) for number in (1, 2)), *alone, many]


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

    @property
    def name(self) -> str:
        """What kind of generator it is."""
        return "flow" if isinstance(self.generator, FlowGenerator) else "latent diffusion"

    def sample(self, way: Way, rows: int) -> np.ndarray:
        """The first rows of the cohort: (rows, 8, samples) mV."""
        return self.sample_part(way, range(rows))

    def sample_part(self, way: Way, rows: range) -> np.ndarray:
        """Some rows of the cohort: (rows, 8, samples) mV."""
        seeds = [self.seeds[row] for row in rows]
        generator = self.generator
        sample: Callable[..., torch.Tensor] = generator.sample
        if isinstance(generator, FlowGenerator):
            sample = partial(generator.sample, by_student=way.by_student)
        return sample(
            self.condition[rows],
            seeds,
            steps=way.steps,
            guidance=way.guidance,
            trait_guidance=self.trait_guidance,
        ).numpy()


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
