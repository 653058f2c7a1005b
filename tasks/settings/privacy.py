"""The privacy audit and the bounds of the gate."""

from __future__ import annotations

from pydantic import Field

from models.architecture import BeatEncoderArchitecture
from tasks.settings.settings_section import Section, Seed


class BeatEncoderSettings(Section):
    """The encoder that recognises people by their beats; trained once per recordings."""

    architecture: BeatEncoderArchitecture = Field(
        default_factory=BeatEncoderArchitecture, description="Shape of the encoder."
    )
    steps: int = Field(800, ge=1, description="Optimiser steps.")
    batch_patients: int = Field(192, ge=2, description="Patients per step, each with two beats.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate.")


class ModelAuditSettings(Section):
    """Attacks on the model itself; bounds are those of `privacy`."""

    keyed_people: int = Field(1000, ge=1, description="Members, and held-out people, whose own condition is asked for.")
    keyed_seeds: int = Field(50, ge=1, description="Draws for each of their conditions.")
    shadow_priors: int = Field(
        32, ge=4, multiple_of=2, description="Priors trained on half of the people each; a Ray task each."
    )
    shadow_denoisers: int = Field(
        0, ge=0, multiple_of=2, description="Denoisers trained likewise, at least 8 to say anything; 0 for none: slow."
    )
    denoiser_recordings: int = Field(
        400, ge=4, description="Recordings that shadow denoisers are trained and judged on, half of them of members."
    )


class PrivacySettings(Section):
    """The audit and the thresholds that gate a release; docs/privacy.md gives the reasons of each."""

    seed: Seed = Field(1, description="Seed of the encoder, canaries, sampling and bootstraps.")
    bootstrap_samples: int = Field(200, ge=20, description="Bootstrap resamples per confidence interval.")
    encoder: BeatEncoderSettings = Field(default_factory=BeatEncoderSettings, description="Identifying space.")
    trials: int = Field(20, ge=20, description="Times that canaries are planted per kind and share.")
    min_power: float = Field(
        0.95, ge=0, le=1, description="Share of trials in which an attack must find its canaries, or it proves nothing."
    )
    max_beat_share: float = Field(
        0.005,
        gt=0,
        le=1,
        description="Bound on the upper end of the share of ECGs with a beat nearer to a training beat than other "
        "people's come.",
    )
    max_near_copy_share: float = Field(
        0.0, ge=0, le=1, description="Bound on the share of ECGs that copy a training recording."
    )
    max_membership_auc: float = Field(
        0.55, gt=0.5, le=1, description="Bound on the upper end of the AUC of membership inference."
    )
    max_membership_tpr_at_1: float = Field(
        0.02, gt=0.01, le=1, description="Bound on the upper end of the share of members found at 1 % false positives."
    )
    max_membership_tpr_at_10: float = Field(
        0.12, gt=0.1, le=1, description="Bound on the upper end of the share of members found at 10 % false positives."
    )
    min_group_patients: int = Field(
        10, ge=1, description="Bound on k: training patients behind each released condition."
    )
