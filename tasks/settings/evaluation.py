"""Evaluation: classifiers, the ECG–text encoder, bootstraps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.architecture import AlignmentArchitecture, ClassifierArchitecture
from tasks.settings.settings_section import Section, Seed

ReportedSplit = Literal["validation", "test"]


class AlignmentSettings(Section):
    """The ECG–text encoder behind the CLIP score; validation chooses the step whose weights are kept."""

    architecture: AlignmentArchitecture = Field(
        default_factory=AlignmentArchitecture, description="Shape of both towers."
    )
    steps: int = Field(1200, ge=1, description="Optimiser steps at most.")
    batch_size: int = Field(64, ge=2, description="Recordings per step, each contrasted with all others of the step.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate.")
    check_every_steps: int = Field(25, ge=1, description="Optimiser steps between looks at the validation split.")
    patience: int = Field(8, ge=1, description="Looks without a lower validation loss after which training stops.")


class EvaluationSettings(Section):
    """Whether the cohort looks right and whether it helps a downstream classifier."""

    seed: Seed = Field(1, description="Seed of classifiers and bootstraps.")
    split: ReportedSplit = Field(
        "test",
        description="Real recordings that the cohort is compared with: `test` for reports, `validation` for choices.",
    )
    downstream: bool = Field(
        True, description="Also train classifiers on real and synthetic ECGs and compare them on real ones."
    )
    classifier: ClassifierArchitecture = Field(
        default_factory=ClassifierArchitecture, description="Reference classifier."
    )
    use_gpu: bool = Field(False, description="Train classifiers on a GPU.")
    classifier_steps: int = Field(600, ge=1, description="Optimiser steps of each classifier.")
    batch_size: int = Field(64, ge=1, description="Recordings per step.")
    learning_rate: float = Field(3e-3, gt=0, description="Peak learning rate.")
    discriminator_steps: int = Field(
        300, ge=1, description="Optimiser steps of each convolutional discriminator, of crops or of median beats."
    )
    bootstrap_samples: int = Field(200, ge=20, description="Bootstrap resamples per confidence interval.")
    alignment: AlignmentSettings = Field(default_factory=AlignmentSettings, description="ECG–text alignment encoder.")
