"""Settings of the generator's training, one section per stage."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, model_validator

from models.architecture import (
    AutoencoderArchitecture,
    BeatDecoderArchitecture,
    BeatPriorArchitecture,
    DenoiserArchitecture,
    DetailArchitecture,
    FlowArchitecture,
    PriorArchitecture,
)
from tasks.settings.settings_section import Section, Seed, operational

UNKNOWN_TO_AUTOENCODER: Final = ("generator", "diffusion", "prior", "flow")
"""Settings of training that do not shape the autoencoder."""


class PhysicsTerms(Section):
    """The paper's physics terms.

    They weigh nothing by default: in the ablation of latent diffusion (docs/benchmarks.md) they brought beats nearer to
    the equation than people's are, and FID up.
    """

    simulator_weight: float = Field(
        0.0,
        ge=0,
        description="Weight λ of the paper's L_Euler, whose residual is relative to typical slopes; 0 for none.",
    )
    inter_lead_weight: float = Field(
        0.0,
        ge=0,
        description="Weight γ of the paper's L_inter, whose residual is relative to typical slopes; 0 for none.",
    )

    def weights(self) -> dict[str, float]:
        """The terms that weigh anything; one that does not is not computed at all."""
        terms = {"euler": self.simulator_weight, "inter_lead": self.inter_lead_weight}
        return {name: weight for name, weight in terms.items() if weight > 0}


class PhysicsSettings(PhysicsTerms):
    """How physics enters the denoiser; each form can be switched."""

    phase_channels: bool = Field(
        True,
        description="Show the denoiser the cardiac phase: of the recording's R peaks in training, of a simulated RR "
        "series in generation.",
    )
    simulated_ecg: bool = Field(
        True,
        description="Show the denoiser a simulated ECG: of the recording's usual beat in training, of a beat drawn for "
        "the condition in generation.",
    )


class AutoencoderTraining(Section):
    """Stage 1: autoencoder and beat decoder."""

    architecture: AutoencoderArchitecture = Field(
        default_factory=AutoencoderArchitecture, description="Autoencoder shape."
    )
    beat_decoder: BeatDecoderArchitecture = Field(
        default_factory=BeatDecoderArchitecture, description="Beat decoder shape."
    )
    steps: int = Field(1000, ge=1, description="Optimiser steps.")
    batch_size: int = Field(32, ge=1, description="Recordings per step, over all workers.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate.")
    kl_weight: float = Field(1e-4, ge=0, description="Weight β of the KL term.")
    beat_weight: float = Field(0.5, ge=0, description="Weight of L_beat.")
    spectral_weight: float = Field(0.05, ge=0, description="Weight α of the log-spectral term.")


class DiffusionTraining(Section):
    """Stage 4: conditional diffusion in the latent."""

    architecture: DenoiserArchitecture = Field(default_factory=DenoiserArchitecture, description="Denoiser shape.")
    steps: int = Field(2000, ge=1, description="Optimiser steps.")
    batch_size: int = Field(64, ge=1, description="Latents per step, over all workers.")
    learning_rate: float = Field(5e-4, gt=0, description="Peak learning rate.")
    ema_decay: float = Field(0.999, gt=0, lt=1, description="Decay of the averaged weights that generate.")
    crop_share: float = Field(
        0.85, gt=0, le=1, description="Share of a recording's latent that a step sees, at a random place."
    )
    group_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Chance that a training recording is shown with its group's condition instead of its own, per row. "
        "A cohort asks for groups only.",
    )
    physics: PhysicsSettings = Field(default_factory=PhysicsSettings, description="Physics terms.")
    levels: bool = Field(
        True,
        description="Draw how strong a recording is beside the simulated ECG, per latent channel and frequency band, "
        "tell the denoiser, and give back what sampling loses of it on average.",
    )
    experience: bool = Field(True, description="Give retrieved knowledge entries to the model.")

    @property
    def draws_traits(self) -> bool:
        """Whether generation draws a beat or levels, for which there has to be a prior."""
        return self.physics.simulated_ecg or self.levels


class DetailTraining(Section):
    """Stage 2: the detail head, which generates what the autoencoder smooths away."""

    enabled: bool = Field(True, description="Train a detail head and let generation use it.")
    architecture: DetailArchitecture = Field(default_factory=DetailArchitecture, description="Detail head's shape.")
    steps: int = Field(2000, ge=1, description="Optimiser steps.")
    batch_size: int = Field(32, ge=1, description="Recordings per step, over all workers.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate.")


class PriorTraining(Section):
    """Stage 3: the prior, from which the beat of a simulated ECG and the levels of a recording are drawn."""

    architecture: PriorArchitecture = Field(default_factory=PriorArchitecture, description="Shape of the prior.")
    steps: int = Field(600, ge=1, description="Optimiser steps; few, since it has little to learn and soon overfits.")
    batch_size: int = Field(256, ge=1, description="Recordings per step, over all workers.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate.")


class PatientPrivacySettings(Section):
    """Differential privacy of training patients (DP-SGD); off unless ε is set. It needs `einthoven[privacy]`."""

    epsilon: float | None = Field(
        None,
        gt=0,
        description="ε that all steps together may cost a patient; null for no differential privacy.",
    )
    delta: float = Field(
        1e-5, gt=0, lt=1, description="δ of the guarantee; to be well below one over the number of patients."
    )
    patients_per_step: int = Field(
        1024,
        ge=1,
        description="Expected patients in a step, each with one recording; in place of batch_size.",
    )
    largest_gradient: float = Field(1.0, gt=0, description="Norm to which the gradient of a patient is clipped.")


class BeatsTraining(Section):
    """The prior of usual and ectopic beats that guide a flow; held-out patients say when it has learned enough."""

    architecture: BeatPriorArchitecture = Field(
        default_factory=BeatPriorArchitecture, description="Shape of the prior."
    )
    steps: int = Field(3600, ge=1, description="Optimiser steps at most.")
    batch_size: int = Field(256, ge=1, description="Recordings per step.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate.")
    privacy: PatientPrivacySettings = Field(
        default_factory=PatientPrivacySettings, description="Differential privacy of patients in the prior."
    )


class StudentTraining(Section):
    """A student of the flow, which needs one to four evaluations for an ECG."""

    enabled: bool = Field(False, description="Train a student; a cohort of at most four `sampler_steps` is its work.")
    steps: int = Field(2000, ge=1, description="Optimiser steps, each about as long as two of the flow's.")
    batch_size: int = Field(128, ge=1, description="Recordings per step, over all workers.")
    learning_rate: float = Field(3e-4, gt=0, description="Peak learning rate.")


class FlowTraining(Section):
    """The flow: one transformer from noise to eight leads."""

    architecture: FlowArchitecture = Field(default_factory=FlowArchitecture, description="Transformer shape.")
    beats: BeatsTraining = Field(default_factory=BeatsTraining, description="Training of the prior of beats.")
    steps: int = Field(5000, ge=1, description="Optimiser steps.")
    batch_size: int = Field(128, ge=1, description="Recordings per step, over all workers.")
    learning_rate: float = Field(8e-4, gt=0, description="Peak learning rate.")
    ema_decay: float = Field(0.9993, gt=0, lt=1, description="Decay of the averaged weights that generate.")
    crop_share: float = Field(0.8, gt=0, le=1, description="Share of a recording that a step sees, at a random place.")
    group_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Chance that a training recording is shown with its group's condition instead of its own, per row.",
    )
    experience: bool = Field(True, description="Give retrieved knowledge entries to the model.")
    physics: PhysicsTerms = Field(
        default_factory=PhysicsTerms, description="Terms of the objective that ask beats to obey the simulator."
    )
    privacy: PatientPrivacySettings = Field(
        default_factory=PatientPrivacySettings,
        description="Differential privacy of patients in the transformer; the prior needs it too then.",
    )
    student: StudentTraining = Field(default_factory=StudentTraining, description="Training of a student afterwards.")

    @model_validator(mode="after")
    def _nothing_of_other_patients_is_shown_without_noise(self) -> FlowTraining:
        if self.privacy.epsilon is not None and self.beats.privacy.epsilon is None:
            raise ValueError(
                "privacy.epsilon needs beats.privacy.epsilon: the transformer is shown beats in coordinates of the "
                "prior, which would come from all training patients"
            )
        if self.beats.privacy.epsilon is not None and (self.group_share > 0 or self.experience):
            raise ValueError(
                "privacy.epsilon needs group_share 0 and experience false: groups and knowledge entries are made from "
                "all training patients without noise"
            )
        if self.privacy.epsilon is not None and (self.student.enabled or self.physics.weights()):
            raise ValueError(
                "privacy.epsilon needs physics weights 0 and no student: both read training recordings without noise"
            )
        return self


class TrainingSettings(Section):
    """Training of the generator through Ray Train."""

    generator: Literal["latent_diffusion", "flow"] = Field(
        "latent_diffusion",
        description="Which generator is trained: diffusion in the latent of an autoencoder, or one transformer on the "
        "signal itself, which needs no autoencoder.",
    )
    seed: Seed = Field(1, description="Seed of initialisation, batches and noise.")
    workers: int = Field(1, ge=1, description="Data-parallel workers.")
    use_gpu: bool = Field(False, description="One GPU per worker.")
    precision: Literal["bf16", "fp32"] = Field("bf16", description="Autocast precision of the forward pass.")
    checkpoint_every_steps: int = operational(250, ge=1, description="Optimiser steps between checkpoints.")
    report_every_steps: int = operational(50, ge=1, description="Optimiser steps between reported losses.")
    max_failures: int = operational(
        2, ge=0, description="Worker failures that are survived by resuming from a checkpoint."
    )
    autoencoder: AutoencoderTraining = Field(default_factory=AutoencoderTraining, description="Stage 1.")
    diffusion: DiffusionTraining = Field(default_factory=DiffusionTraining, description="Stage 4.")
    detail: DetailTraining = Field(default_factory=DetailTraining, description="Stage 2.")
    prior: PriorTraining = Field(default_factory=PriorTraining, description="Stage 3.")
    flow: FlowTraining = Field(default_factory=FlowTraining, description="In place of all stages.")

    @property
    def of_generator(self) -> DiffusionTraining | FlowTraining:
        """Training of the network that sees conditions and makes ECGs."""
        return self.flow if self.generator == "flow" else self.diffusion

    @property
    def autoencoder_stages(self) -> tuple[str, ...]:
        """Stages that learn from waveforms alone, in order; models that differ in the rest share what they leave."""
        return ("autoencoder", "detail") if self.detail.enabled else ("autoencoder",)

    @property
    def generator_stages(self) -> tuple[str, ...]:
        """Stages of the training loop that learn what conditions mean, in order."""
        if self.generator == "flow":
            return ("flow", "student") if self.flow.student.enabled else ("flow",)
        return ("prior", "denoiser") if self.diffusion.draws_traits else ("denoiser",)

    def for_autoencoder_digest(self) -> dict[str, Any]:
        """What of this shapes the autoencoder and the detail head."""
        return {name: value for name, value in self.for_digest().items() if name not in UNKNOWN_TO_AUTOENCODER}

    @model_validator(mode="after")
    def _workers_share_batches_evenly(self) -> TrainingSettings:
        sizes = {
            "autoencoder": self.autoencoder.batch_size,
            "diffusion": self.diffusion.batch_size,
            "detail": self.detail.batch_size,
            "prior": self.prior.batch_size,
            "flow": self.flow.batch_size,
            "flow.student": self.flow.student.batch_size,
        }
        for name, size in sizes.items():
            if size % self.workers:
                raise ValueError(f"{name}.batch_size {size} does not divide by workers {self.workers}")
        if self.workers > 1 and self.flow.privacy.epsilon is not None:
            raise ValueError("flow.privacy.epsilon needs workers 1: patients are sampled for a step as a whole")
        return self
