"""A model under attack, whatever kind of generator it is: what it learned from, its losses, and what it draws."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.conditioning import ConditionTensors
from models.flow.generator import FlowGenerator
from models.latent_diffusion.generator import Generator
from tasks.conditions.condition import ConditionEmbedder, StatementFacts
from tasks.ecg_sets import EcgSet
from tasks.privacy.white_box.shadow_training import StoredLearner
from tasks.settings.training import TrainingSettings

Draw = Callable[[ConditionTensors, Sequence[int]], np.ndarray]
"""Conditions and as many seeds to (n, coordinates) of beats drawn for them, weighted as in the loss of the prior."""


@dataclass(frozen=True)
class Keyed:
    """Recordings of people whose condition can be asked for.

    Attributes:
        ecgs: the recordings.
        beats: (n, coordinates) of their usual beats, weighted like what is drawn.
        condition: of each.
    """

    ecgs: EcgSet
    beats: np.ndarray
    condition: ConditionTensors


class Attacked(Protocol):
    """A model and the recordings that it is attacked with: members, reference and non-members."""

    @property
    def keyed(self) -> dict[str, Keyed]:
        """Side to its recordings."""

    @property
    def draw(self) -> Draw:
        """Draws usual beats for conditions, as the prior gives them."""

    @property
    def patients(self) -> np.ndarray:
        """(n,) patient of every recording of members and non-members, one after the other."""

    def prior(self) -> tuple[StoredLearner, np.ndarray]:
        """What shadow priors learn from, and the model's own losses, (n, levels)."""

    def denoiser(self, rows: np.ndarray) -> tuple[StoredLearner, np.ndarray]:
        """The same of the denoiser, on some of the recordings."""


def attacked(
    generator: Generator | FlowGenerator,
    sides: dict[str, EcgSet],
    embedder: ConditionEmbedder,
    statements: StatementFacts,
    findings: Collection[str],
    training: TrainingSettings,
) -> Attacked | None:
    """A generator with the recordings that it is attacked with; None if it draws no beats.

    Args:
        sides: usable recordings of "members", "reference" (validation) and "non-members".
        embedder: makes conditions as training did.
        statements: of the recordings.
        findings: of reports that the generator has learned.
        training: how the generator was trained.
    """
    from tasks.privacy.white_box.attacked_diffusion import AttackedDiffusion
    from tasks.privacy.white_box.attacked_flow import AttackedFlow

    if isinstance(generator, FlowGenerator):
        return AttackedFlow.of(generator, sides, embedder, statements, findings, training)
    if generator.prior is None or generator.prior.events is None:
        return None
    return AttackedDiffusion.of(generator, sides, embedder, statements, findings, training)
