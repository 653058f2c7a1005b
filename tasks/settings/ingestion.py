"""Reading, checking and splitting recordings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.settings.settings_section import Section, operational

Fold = Annotated[int, Field(ge=1, le=10)]


class IngestionSettings(Section):
    """Reading, checking and splitting recordings."""

    sampling_rate_hz: Literal[100, 250, 500] = Field(
        100, description="Sampling rate to ingest, in Hz; the model's, too."
    )
    duration_s: float = Field(
        10.0, ge=2, le=60, description="Length of a recording, in seconds; of generated ECGs too."
    )
    windows: Literal["first", "all"] = Field(
        "first",
        description="Which windows of that length a longer record gives: its first, or all, one after the other. "
        "A rest that fills none is left out. All windows of a patient are in one split.",
    )
    validation_folds: tuple[Fold, ...] = Field((9,), description="Patient-disjoint folds for validation.")
    test_folds: tuple[Fold, ...] = Field((10,), description="Patient-disjoint folds for testing.")
    max_recordings: int | None = Field(
        None, ge=1, description="Read only the first N recordings of the source; null for all."
    )
    recordings_per_part: int = Field(512, ge=1, description="Recordings per Parquet file.")
    workers: int = operational(2, ge=1, description="Ray workers that read files.")

    @model_validator(mode="after")
    def _folds_are_disjoint(self) -> IngestionSettings:
        if shared := sorted(set(self.validation_folds) & set(self.test_folds)):
            raise ValueError(f"fold {', '.join(map(str, shared))} cannot be both validation and test")
        return self
