"""What the rows of an evaluation compare: real recordings, a cohort, and what a classifier reads in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tasks.ecg_sets import EcgSet
from tasks.settings import EvaluationSettings


@dataclass(frozen=True)
class Compared:
    """The sets to compare, with classifier features (n, features) and probabilities (n, 5) of each.

    Attributes:
        train: real recordings that the generator may have learned from.
        held_out: real recordings of the split that is reported on.
        reconstructed: training recordings through the autoencoder of the cohort's model; None where there is no model
            with an autoencoder.
        unseen: (train,) bool, training recordings of patients that the classifier did not learn from; None for all.
    """

    train: EcgSet
    held_out: EcgSet
    synthetic: EcgSet
    features: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    rate_hz: int
    settings: EvaluationSettings
    reconstructed: EcgSet | None = None
    unseen: np.ndarray | None = None

    @property
    def seed(self) -> int:
        """Seed of every draw."""
        return self.settings.seed

    @property
    def samples(self) -> int:
        """Bootstrap resamples."""
        return self.settings.bootstrap_samples

    @property
    def of_reference(self) -> np.ndarray:
        """(train,) bool: training recordings that stand for real ones beside held-out recordings."""
        return np.ones(len(self.train), dtype=bool) if self.unseen is None else self.unseen

    @cached_property
    def reference(self) -> EcgSet:
        """Real recordings that neither share a patient with held-out ones nor were learned by the classifier."""
        return self.train.take(self.of_reference)

    @property
    def subjects(self) -> dict[str, EcgSet]:
        """Sets that are held against held-out recordings, by the name of the rows' subject."""
        reconstructed = {} if self.reconstructed is None else {"reconstruction": self.reconstructed}
        return {"synthetic": self.synthetic, **reconstructed, REAL: self.reference}

    def features_of(self, subject: str) -> np.ndarray:
        """Classifier features, (n, features), of one of the subjects."""
        if subject == REAL:
            return self.features["train"][self.of_reference]
        return self.features[{"reconstruction": "reconstructed"}.get(subject, subject)]


REAL = "real training recordings"
