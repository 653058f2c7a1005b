"""Shapes of the networks: plain settings, saved beside the weights, importable without PyTorch."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Architecture(BaseModel):
    """Base of all shapes: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AutoencoderArchitecture(Architecture):
    """Convolutional latent autoencoder over the eight independent leads."""

    width: int = Field(64, ge=8, description="Channels of the first level.")
    latent_channels: int = Field(16, ge=1, description="Channels of the latent.")
    downsampling: int = Field(8, description="Samples per latent step; a power of two.")
    blocks: int = Field(1, ge=1, description="Residual blocks per level.")


class BeatDecoderArchitecture(Architecture):
    """Decoder from a latent to one canonical beat, 8 leads × beat samples."""

    width: int = Field(96, ge=8, description="Hidden channels.")


class DenoiserArchitecture(Architecture):
    """Conditional 1-D U-Net over the latent, with cross-attention to the condition tokens."""

    width: int = Field(80, ge=16, description="Channels of the first level.")
    multipliers: tuple[int, ...] = Field(
        (1, 2, 2), description="Channel multiplier per level; each level halves the length."
    )
    blocks: int = Field(2, ge=1, description="Residual blocks per level.")
    token_width: int = Field(128, ge=16, description="Width of a condition token.")
    statement_tokens: int = Field(4, ge=1, description="Statements a condition may hold, each one token.")
    knowledge_tokens: int = Field(3, ge=0, description="Retrieved knowledge entries, each one token.")


class DetailArchitecture(Architecture):
    """Detail head: a small flow at signal level that generates what the autoencoder smooths away."""

    width: int = Field(96, ge=8, multiple_of=2, description="Channels.")
    blocks: int = Field(8, ge=1, description="Residual blocks.")


class PriorArchitecture(Architecture):
    """Prior of a recording's traits, its beat and its levels: a small flow over their principal components."""

    components: int = Field(80, ge=1, description="Principal components of the event amplitudes that are kept.")
    width: int = Field(256, ge=8, description="Hidden features.")
    blocks: int = Field(3, ge=1, description="Residual blocks.")
    token_width: int = Field(128, ge=16, description="Width of a condition token.")


class BeatPriorArchitecture(Architecture):
    """Prior of a recording's usual and ectopic beat: a small flow over their principal components."""

    components: int = Field(80, ge=1, description="Principal components of usual beats that are kept.")
    ectopic_components: int = Field(24, ge=1, description="Principal components of ectopic beats that are kept.")
    width: int = Field(128, ge=8, description="Hidden features.")
    blocks: int = Field(3, ge=1, description="Residual blocks.")
    token_width: int = Field(64, ge=16, description="Width of a condition token.")
    queries: int = Field(4, ge=1, description="Learned queries that attend to the condition tokens.")
    coarse_keys: bool = Field(
        True, description="Whether the prior sees the band of an age and the heart rate to 5 bpm instead of numbers."
    )


class RhythmStatistics(Architecture):
    """When hearts of one rhythm beat: robust numbers over the training recordings of at least 20 patients."""

    patients: int = Field(ge=0, description="Training patients behind the numbers; 0 where the simulator's stand in.")
    heart_rate_bpm: float = Field(gt=0, description="Median heart rate, in beats per minute.")
    heart_rate_spread_bpm: float = Field(gt=0, description="Interquartile range of heart rates over 1.349.")
    heart_rate_range_bpm: tuple[float, float] = Field(description="5 % and 95 % of heart rates.")
    rr_variability: float = Field(gt=0, description="Median of the standard deviation of RR over its mean.")
    rr_variability_log_spread: float = Field(ge=0, description="Interquartile range of its logarithm over 1.349.")
    ectopic_share: float = Field(0.0, ge=0, lt=1, description="Mean share of premature beats.")

    @classmethod
    def usual(
        cls, heart_rate_range_bpm: tuple[float, float], rr_variability: float, ectopic_share: float = 0.0
    ) -> RhythmStatistics:
        """Numbers that no recording supports: rates spread about the middle of a range, log variability by a half."""
        low, high = heart_rate_range_bpm
        return cls(
            patients=0,
            heart_rate_bpm=(low + high) / 2,
            heart_rate_spread_bpm=(high - low) / 3.29,
            heart_rate_range_bpm=(low, high),
            rr_variability=rr_variability,
            rr_variability_log_spread=0.5,
            ectopic_share=ectopic_share,
        )


class SamplingCorrection(Architecture):
    """What a solver loses on average, to be given back (`models.latent_diffusion.sampling_correction`)."""

    level_gain: tuple[float, ...] = Field((), description="Per level, log gain of what is beside the simulated ECG.")
    variation_factor: float = Field(1.0, description="Factor of what differs from beat to beat after that gain.")
    descriptor_offset: tuple[float, ...] = Field(
        (), description="Per descriptor of a decoded signal, by how much generated ones exceed recordings."
    )


class SolverRule(Architecture):
    """A solver of a few steps that was fitted to a denoiser (`models.latent_diffusion.fitted_solver`)."""

    times: tuple[int, ...] = Field(description="Time steps at which the denoiser is asked, from pure noise on.")
    weights: tuple[tuple[float, ...], ...] = Field(
        description="Per step, the weights of the estimates of clean latents so far."
    )
    correction: SamplingCorrection = Field(
        default_factory=SamplingCorrection, description="What it loses on average with this denoiser."
    )

    @model_validator(mode="after")
    def _every_step_weighs_all_before(self) -> SolverRule:
        if [len(each) for each in self.weights] != list(range(1, len(self.times) + 1)):
            raise ValueError("step k of a solver has k weights")
        return self


class GeneratorConfig(Architecture):
    """Everything but the weights that a generator needs, saved beside them."""

    autoencoder: AutoencoderArchitecture = Field(description="Autoencoder shape.")
    beat_decoder: BeatDecoderArchitecture = Field(description="Beat decoder shape.")
    denoiser: DenoiserArchitecture = Field(description="Denoiser shape.")
    sampling_rate_hz: int = Field(ge=1, description="Sampling rate of the recordings, in Hz.")
    samples: int = Field(ge=8, description="Samples of a recording.")
    lead_scale_mv: tuple[float, ...] = Field(
        description="Standard deviation of each independent lead over training data, in mV."
    )
    latent_mean: tuple[float, ...] = Field(description="Mean of each latent channel over training data.")
    latent_std: tuple[float, ...] = Field(description="Standard deviation of each latent channel over training data.")
    detail: DetailArchitecture | None = Field(None, description="Detail head's shape; null for a model without one.")
    experience: bool = Field(True, description="Whether the denoiser sees retrieved knowledge entries.")
    precision: Literal["bf16", "fp32"] = Field("bf16", description="Autocast precision of the denoiser when sampling.")
    phase_channels: bool = Field(False, description="Whether the denoiser sees cardiac-phase channels.")
    simulated_ecg: bool = Field(False, description="Whether the denoiser sees a simulated ECG.")
    levels: bool = Field(False, description="Whether a recording's levels condition the denoiser.")
    prior: PriorArchitecture | None = Field(
        None, description="Shape of the prior of beats and levels; null for a denoiser that sees neither."
    )
    rhythms: dict[str, RhythmStatistics] = Field(
        default_factory=dict,
        description="Rhythm to what training recordings of it showed; needed for phase channels and simulated ECGs.",
    )
    solvers: tuple[SolverRule, ...] = Field(
        (), description="Solvers fitted to the denoiser, each for its number of steps; others are solved by UniPC."
    )
    rows_at_once: int = Field(64, ge=1, description="Rows the networks always see together; see Generator.sample.")

    @model_validator(mode="after")
    def _traits_need_a_prior(self) -> GeneratorConfig:
        if (self.simulated_ecg or self.levels) != (self.prior is not None):
            raise ValueError("a generator has a prior where it draws beats (simulated_ecg) or levels, and only there")
        return self


class FlowArchitecture(Architecture):
    """Transformer over patches of the filtered signal and condition tokens (`models.flow.transformer`)."""

    width: int = Field(192, ge=16, description="Features of a patch and of a condition token.")
    depth: int = Field(4, ge=1, description="Blocks.")
    heads: int = Field(3, ge=1, description="Attention heads; each has an even number of features.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of a block's output features hidden in training.")
    statement_tokens: int = Field(
        8, ge=1, description="Statements and coded views a condition may hold, each one token."
    )
    knowledge_tokens: int = Field(3, ge=0, description="Retrieved knowledge entries, each one token.")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> FlowArchitecture:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is no even number of features for each of {self.heads} heads")
        return self


FLOW_SIZES: Final = {
    "S": FlowArchitecture(),
    "L": FlowArchitecture(width=320, depth=10, heads=5, dropout=0.1),
}
"""Shapes by name: one that two processor cores train in an hour, one for a GPU."""


class ClassifierArchitecture(Architecture):
    """Residual 1-D convolutional superclass classifier; its penultimate features serve FID."""

    width: int = Field(32, ge=8, description="Channels of the first stage.")
    stages: int = Field(4, ge=2, description="Stages; each halves the length.")
    features: int = Field(128, ge=16, description="Penultimate features.")


class AlignmentArchitecture(Architecture):
    """Contrastive encoder of ECGs and texts into one space."""

    width: int = Field(32, ge=8, description="Channels of the ECG tower's first stage.")
    stages: int = Field(4, ge=2, description="Stages of the ECG tower; each halves the length.")
    features: int = Field(128, ge=16, description="Features of either tower before its projection.")
    embedding: int = Field(64, ge=8, description="Dimensions of the shared space.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of features hidden in training, in either tower.")


class BeatEncoderArchitecture(Architecture):
    """Convolutional encoder of mean beats that recognises people (`models.privacy.beat_encoder`)."""

    width: int = Field(48, ge=8, description="Channels of the first stage.")
    embedding: int = Field(128, ge=8, description="Dimensions of the identifying space.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of features hidden in training.")
