"""What `benchmarks.swap` knows of the chain that generates: which of its parts can be given another condition.

Every generator draws a rhythm, then beats, and its denoiser (a flow's transformer) makes an ECG of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow.compute as pc
import torch

from models.conditioning import KNOWLEDGE_FIELDS, ConditionTensors
from models.flow.generator import FlowGenerator
from models.latent_diffusion.generator import Generator
from tasks.conditions.cohort_design import design_cohort, row_seed
from tasks.generation.task import DESIGN_COLUMNS
from tasks.settings import CohortSettings
from tasks.training.model_folder import condition_embedder, load_config, load_generator
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

UNSWAPPED: Final = "nothing"
PARTS: Final = ("rhythm", "beats", "denoiser")
EVERYTHING: Final = "everything"
SHUFFLED, DROPPED = "everything, knowledge of other rows", "everything, no knowledge"
UNMEASURED: Final = "everything, no measurements of similar patients"
OTHER_FINDINGS, NO_FINDINGS = "everything, findings of other rows", "everything, no findings"
VARIANTS: Final = (UNSWAPPED, *PARTS, EVERYTHING, SHUFFLED, DROPPED, UNMEASURED, OTHER_FINDINGS, NO_FINDINGS)
"""Which parts are given condition B in A's place, in the order of the ladder; then all of them, with B's knowledge
entries dealt to other rows, or none, or without what their patients measure; with findings of other rows, or none."""


class Chain:
    """The generator behind a cohort and what its rows ask for.

    Args:
        store: the warehouse.
        cohort: a cohort that was generated there, whose model and knowledge base are still there.
    """

    def __init__(self, store: Store, cohort: Reference) -> None:
        behind = {one.kind: one for one in store.manifest(cohort).lineage.inputs}
        recordings, model, knowledge = (behind[kind] for kind in ("recordings", "model", "knowledge"))
        self.settings = CohortSettings.model_validate(store.manifest(cohort).lineage.settings)
        self.facts = store.facts(recordings, RecordingsFacts)
        known = store.read(recordings, "recordings", DESIGN_COLUMNS)
        train = known.filter(pc.equal(known["split"], "train"))
        self.design = design_cohort(train, self.settings, self.facts.statements)
        folder = store.path(model)
        self.generator, config = load_generator(folder), load_config(folder)
        self.embedder = condition_embedder(config, store.read(knowledge, "knowledge") if knowledge.rows else None)

    def conditions(self, rows: Sequence[int]) -> ConditionTensors:
        """What rows of the cohort ask for."""
        asked = [self.design.ask(self.settings.seed, int(row), self.facts.statements) for row in rows]
        return self.embedder(asked)[0]

    def seeds(self, rows: Sequence[int]) -> list[int]:
        """Seeds of rows of the cohort."""
        return [row_seed(self.settings.seed, int(row)) for row in rows]

    def ladder(self, usual: ConditionTensors, swapped: ConditionTensors, seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """`ladder` with this generator, sampled as the cohort was."""
        return ladder(self.generator, usual, swapped, seeds, self.settings.sampling)


def ladder(
    generator: Generator | FlowGenerator,
    usual: ConditionTensors,
    swapped: ConditionTensors,
    seeds: Sequence[int],
    sampling: Mapping[str, float],
) -> dict[str, np.ndarray]:
    """The ECGs of every variant: (B, 8, samples) mV each, from the same seeds.

    Args:
        usual, swapped: B conditions A and B.
        seeds: B seeds.
        sampling: arguments of `Generator.sample` that conditions do not decide.
    """
    shuffled = with_knowledge_of(swapped, torch.arange(len(swapped)).roll(1))
    conditions = {
        UNSWAPPED: (usual, usual, usual),
        "rhythm": (swapped, usual, usual),
        "beats": (usual, swapped, usual),
        "denoiser": (usual, usual, swapped),
        EVERYTHING: (swapped, swapped, swapped),
        SHUFFLED: (shuffled, shuffled, shuffled),
        DROPPED: (swapped.without_knowledge(),) * 3,
        UNMEASURED: (swapped.without("measurements"),) * 3,
        OTHER_FINDINGS: (swapped.with_fields_of(["findings"], torch.arange(len(swapped)).roll(1)),) * 3,
        NO_FINDINGS: (swapped.without("findings"),) * 3,
    }
    return {
        variant: generator.sample(
            of_denoiser,
            seeds,
            rhythm_of=of_rhythm,
            beats_of=of_beats,
            **sampling,  # type: ignore[arg-type]
        ).numpy()
        for variant, (of_rhythm, of_beats, of_denoiser) in conditions.items()
    }


def with_knowledge_of(condition: ConditionTensors, rows: torch.Tensor) -> ConditionTensors:
    """The conditions with the knowledge entries of other rows: their sentences and what their patients measure.

    Args:
        rows: (B,) the row whose entries each row is given.
    """
    return condition.with_fields_of(KNOWLEDGE_FIELDS, rows)
