"""The privacy audit and the bounds of the gate."""

from __future__ import annotations

from pydantic import Field

from tasks.settings.settings_section import Section


class PrivacySettings(Section):
    """The audit and the thresholds that gate a release."""

    seed: int = Field(1, description="Seed of sampling and bootstraps.")
    bootstrap_samples: int = Field(200, ge=20, description="Bootstrap resamples per confidence interval.")
    max_membership_auc: float = Field(
        0.6,
        gt=0.5,
        le=1,
        description="Bound on the upper end of the membership AUC's interval; an honest cohort's end is near 0.53 with "
        "430 held-out recordings, and up to 0.6 with 140.",
    )
    max_membership_tpr: float = Field(
        0.1, gt=0.01, le=1, description="Bound on the upper end of the share of members found at 1 % false positives."
    )
    max_near_copy_share: float = Field(
        0.0, ge=0, le=1, description="Bound on the share of ECGs that copy a training recording."
    )
    near_copy_correlation: float = Field(0.95, gt=0, le=1, description="Lag-aligned correlation that counts as a copy.")
    min_group_patients: int = Field(
        5, ge=1, description="Bound on k: training patients behind each released condition."
    )
