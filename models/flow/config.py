"""What a flow generator needs beside its weights; importable without PyTorch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.architecture import Architecture, BeatPriorArchitecture, FlowArchitecture
from models.rhythm.statistics import SeriesStatistics


class SteeringClaim(Architecture):
    """What guides drawn for a condition satisfy as often as patients do: a rule, or a claim of a knowledge base."""

    statement: str = Field(description="Statement of the condition, first or not.")
    sex: str | None = Field(None, description="Sex that it is about; null for both.")
    age_band: str | None = Field(None, description="Age band that it is about; null for all.")
    feature: str = Field(description="Measured feature.")
    lead: str | None = Field(None, description="Lead or territory; null where the feature is of no lead.")
    comparison: Literal["above", "below", "between", "present", "absent"]
    value: float = Field(description="Number that the feature is compared with, the lower one of two.")
    upper: float | None = Field(None, description="The higher number of two.")
    share: float = Field(ge=0, le=1, description="Share of training recordings of the condition that satisfy it.")
    patients: int = Field(ge=0, description="Patients behind the share.")
    weight: float = Field(description="λ by which drawn guides that satisfy it are preferred, or, below 0, avoided.")


class FlowConfig(Architecture):
    """Everything but the weights that a flow generator needs, saved beside them."""

    kind: Literal["flow"] = Field("flow", description="What tells this from the configuration of latent diffusion.")
    denoiser: FlowArchitecture = Field(description="Shape of the transformer.")
    prior: BeatPriorArchitecture = Field(description="Shape of the prior of beats.")
    sampling_rate_hz: int = Field(ge=10, description="Sampling rate of the recordings, in Hz.")
    samples: int = Field(ge=8, description="Samples of a recording.")
    experience: bool = Field(True, description="Whether the transformer sees retrieved knowledge entries.")
    student: bool = Field(False, description="Whether there is a student beside the transformer, for few steps.")
    precision: Literal["bf16", "fp32"] = Field("bf16", description="Precision of the transformer when sampling.")
    statistics: SeriesStatistics = Field(description="What rhythms are drawn from.")
    claims: tuple[SteeringClaim, ...] = Field((), description="What drawn guides are chosen by; none for no choice.")
    rows_at_once: int = Field(64, ge=1, description="Rows the networks always see together; see Generator.sample.")
