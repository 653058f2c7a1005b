"""What a flow generator needs beside its weights; importable without PyTorch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.architecture import Architecture, BeatPriorArchitecture, FlowArchitecture
from models.rhythm.statistics import SeriesStatistics


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
    rows_at_once: int = Field(64, ge=1, description="Rows the networks always see together; see Generator.sample.")
