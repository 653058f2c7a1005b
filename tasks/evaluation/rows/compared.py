"""What the rows of an evaluation compare: real recordings, a cohort, and what a classifier reads in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.ecg_sets import EcgSet
from tasks.settings import EvaluationSettings


@dataclass(frozen=True)
class Compared:
    """The sets to compare, with classifier features (n, features) and probabilities (n, 5) of each.

    `reconstructed` are training recordings through the autoencoder of the cohort's model; None where there is no model.
    """

    train: EcgSet
    held_out: EcgSet
    synthetic: EcgSet
    features: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    rate_hz: int
    settings: EvaluationSettings
    reconstructed: EcgSet | None = None

    @property
    def seed(self) -> int:
        """Seed of every draw."""
        return self.settings.seed

    @property
    def samples(self) -> int:
        """Bootstrap resamples."""
        return self.settings.bootstrap_samples
