"""Typed settings of every stage. A profile in `prefect.yaml` is one `Settings` object; unknown keys are refused."""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticUndefined

from models.architecture import (
    AutoencoderArchitecture,
    BeatDecoderArchitecture,
    ClassifierArchitecture,
    DenoiserArchitecture,
    DetailArchitecture,
)


def operational(default: Any = PydanticUndefined, **arguments: Any) -> Any:
    """A setting that changes how a stage runs but not what it makes; it is left out of the stage's digest."""
    return Field(default, json_schema_extra={"operational": True}, **arguments)


class Section(BaseModel):
    """Base of all settings: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def for_digest(self) -> dict[str, Any]:
        """The settings that shape the result, as JSON values."""
        kept: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("operational"):
                continue
            value = getattr(self, name)
            kept[name] = (
                value.for_digest() if isinstance(value, Section) else self.model_dump(mode="json", include={name})[name]
            )
        return kept


class WarehouseSettings(Section):
    """Where data is kept."""

    uri: str = operational(
        default_factory=lambda: os.environ.get("WAREHOUSE_URI", "einthoven-warehouse"),
        description="Warehouse folder; the environment variable WAREHOUSE_URI sets the default.",
    )


class ComputeSettings(Section):
    """How Ray is used. RAY_ADDRESS, if set, names a running cluster; otherwise a local Ray starts."""

    cpus: int | None = operational(None, ge=1, description="CPUs of the local Ray; null for all.")
    object_store_mb: int = operational(400, ge=80, description="Object store of the local Ray, in MB.")


class SimulationSettings(Section):
    """The simulated dataset, written as WFDB in PTB-XL's layout."""

    recordings: int = Field(700, ge=20, description="Recordings to simulate.")
    seed: int = Field(1, description="Seed of patients, rhythms and noise.")
    damaged_files: int = Field(
        5, ge=0, description="Deliberately broken files among them, which ingestion must quarantine."
    )


class SourceSettings(Section):
    """Where real recordings come from."""

    kind: Literal["simulated", "ptbxl"] = Field(description="Dataset layout to read.")
    path: str | None = operational(None, description="Dataset folder; null only for the simulated source.")
    simulation: SimulationSettings = Field(
        default_factory=SimulationSettings, description="Used when kind is simulated."
    )

    @model_validator(mode="after")
    def _simulated_has_no_path(self) -> SourceSettings:
        if self.kind == "simulated" and self.path is not None:
            raise ValueError("the simulated source takes no path; choose another profile, or leave --data out")
        return self


class IngestionSettings(Section):
    """Reading, checking and splitting recordings."""

    sampling_rate_hz: Literal[100, 500] = Field(100, description="Sampling rate to ingest, in Hz.")
    duration_s: float = Field(10.0, gt=0, description="Length of a recording, in seconds.")
    validation_folds: tuple[int, ...] = Field((9,), description="Patient-disjoint folds for validation.")
    test_folds: tuple[int, ...] = Field((10,), description="Patient-disjoint folds for testing.")
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


class RetrievalWeights(Section):
    """Weights of the similarity between a request and a knowledge entry; they need not sum to 1."""

    embedding: float = Field(0.5, ge=0, description="Weight of the cosine similarity of the texts.")
    statements: float = Field(0.4, ge=0, description="Weight of the Jaccard similarity of statement sets.")
    demographics: float = Field(0.1, ge=0, description="Weight of the match of sex and age band.")


class KnowledgeSettings(Section):
    """The clinical knowledge base: evidence, language model, audit, retrieval."""

    model: str = Field("local", description="'local', or a model as LangChain names it, e.g. 'openai:gpt-5'.")
    allow_remote: bool = operational(
        False, description="Allow a model that runs elsewhere to see the (aggregate) evidence."
    )
    min_patients: int = Field(20, ge=5, description="Training patients a condition needs to get an entry.")
    max_conditions: int | None = Field(
        None, ge=1, description="Write only the N best supported conditions; null for all."
    )
    max_attempts: int = Field(
        2, ge=1, description="Times the model is asked before the entry is rendered from evidence."
    )
    min_claims: int = Field(2, ge=1, description="Surviving claims an entry needs.")
    min_support: float = Field(0.6, ge=0.5, le=1, description="Share of recordings that must satisfy a claim.")
    findings: int = Field(4, ge=1, le=8, description="Findings that the model is asked for per entry.")
    by_sex_and_age: bool = Field(
        False, description="Also an entry per condition, sex and age band with enough patients."
    )
    temperature: float = Field(0.2, ge=0, le=2, description="Temperature of the model; 0 takes its likeliest words.")
    seed: int = Field(1, description="Seed of the local model's sampling.")
    max_retries: int = operational(3, ge=0, description="Times a failed call of the model is tried again.")
    retry_wait_s: float = operational(
        2.0, ge=0, description="Wait before the first retry, in seconds; doubles each time."
    )
    top_k: int = Field(3, ge=1, le=8, description="Entries retrieved per condition.")
    weights: RetrievalWeights = Field(default_factory=RetrievalWeights, description="Weights of retrieval.")


class PhysicsSettings(Section):
    """The physics terms of the diffusion objective and what they weigh; each can be switched off."""

    simulator: bool = Field(True, description="Use the simulator ODE term L_Euler.")
    inter_lead: bool = Field(True, description="Use the limb-lead ODE term L_inter.")
    phase_channels: bool = Field(
        True,
        description="Show the denoiser the cardiac phase: of the recording's R peaks in training, of a simulated RR "
        "series in generation.",
    )
    simulator_weight: float = Field(
        0.05, ge=0, description="Weight λ of L_Euler, whose residual is relative to typical slopes."
    )
    inter_lead_weight: float = Field(
        0.05, ge=0, description="Weight γ of L_inter, whose residual is relative to typical slopes."
    )
    fit_steps: int = Field(
        300, ge=1, description="Gradient steps of the fit of simulator parameters per class and lead."
    )

    def weights(self) -> dict[str, float]:
        """The terms that are on and their weights; a term that is off or weighs nothing is not computed at all."""
        terms = {
            "euler": self.simulator_weight if self.simulator else 0.0,
            "inter_lead": self.inter_lead_weight if self.inter_lead else 0.0,
        }
        return {name: weight for name, weight in terms.items() if weight > 0}


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
    crop_share: float = Field(1.0, gt=0, le=1, description="Share of a recording that a step sees, at a random place.")
    gain_spread: float = Field(
        0.2, ge=0, description="Standard deviation of the log gain that training recordings get."
    )


class DiffusionTraining(Section):
    """Stage 2: conditional diffusion in the latent."""

    architecture: DenoiserArchitecture = Field(default_factory=DenoiserArchitecture, description="Denoiser shape.")
    steps: int = Field(2000, ge=1, description="Optimiser steps.")
    batch_size: int = Field(64, ge=1, description="Latents per step, over all workers.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate.")
    ema_decay: float = Field(0.999, gt=0, lt=1, description="Decay of the averaged weights that generate.")
    condition_dropout: float = Field(
        0.1, ge=0, lt=1, description="Chance that a condition field is hidden, per field and row."
    )
    unconditional: float = Field(0.1, ge=0, lt=1, description="Chance that the whole condition is hidden, per row.")
    shifts: int = Field(
        8,
        ge=1,
        description="Shifts of less than a latent step at which training recordings are encoded, so that few recordings "
        "teach more; 1 for none.",
    )
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
    group_patients: int = Field(5, ge=1, description="Training patients that make such a group; as in the cohort.")
    timesteps: int = Field(1000, ge=10, description="Diffusion time steps.")
    physics: PhysicsSettings = Field(default_factory=PhysicsSettings, description="Physics terms.")
    experience: bool = Field(True, description="Give retrieved knowledge entries to the model.")


class DetailTraining(Section):
    """Stage 3: the detail head, which generates what the autoencoder smooths away."""

    enabled: bool = Field(True, description="Train a detail head and let generation use it.")
    architecture: DetailArchitecture = Field(default_factory=DetailArchitecture, description="Detail head's shape.")
    steps: int = Field(2000, ge=1, description="Optimiser steps.")
    batch_size: int = Field(32, ge=1, description="Recordings per step, over all workers.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate.")
    ema_decay: float = Field(0.99, gt=0, lt=1, description="Decay of the averaged weights that generate.")
    crop_share: float = Field(0.4, gt=0, le=1, description="Share of a recording that a step sees, at a random place.")


class DistillationTraining(Section):
    """Stage 4, off by default: a student that samples with one network pass per step instead of two."""

    steps: int = Field(0, ge=0, description="Optimiser steps; 0 trains no student.")
    batch_size: int = Field(64, ge=1, description="Latents per step, over all workers.")
    learning_rate: float = Field(3e-4, gt=0, description="Peak learning rate.")
    ema_decay: float = Field(0.99, gt=0, lt=1, description="Decay of the averaged weights that generate.")
    guidance: float = Field(2.0, gt=1, description="Guidance scale that the student learns.")


class TrainingSettings(Section):
    """Training of the generator through Ray Train."""

    seed: int = Field(1, description="Seed of initialisation, batches and noise.")
    workers: int = Field(1, ge=1, description="Data-parallel workers.")
    use_gpu: bool = Field(False, description="One GPU per worker.")
    precision: Literal["bf16", "fp32"] = Field("bf16", description="Autocast precision of the forward pass.")
    compile: bool = Field(False, description="Use torch.compile; slower on small CPU runs.")
    checkpoint_every_steps: int = operational(250, ge=1, description="Optimiser steps between checkpoints.")
    report_every_steps: int = operational(50, ge=1, description="Optimiser steps between reported losses.")
    max_failures: int = operational(
        2, ge=0, description="Worker failures that are survived by resuming from a checkpoint."
    )
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay.")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of the steps that warm the learning rate up.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    autoencoder: AutoencoderTraining = Field(default_factory=AutoencoderTraining, description="Stage 1.")
    diffusion: DiffusionTraining = Field(default_factory=DiffusionTraining, description="Stage 2.")
    detail: DetailTraining = Field(default_factory=DetailTraining, description="Stage 3.")
    distillation: DistillationTraining = Field(default_factory=DistillationTraining, description="Stage 4.")

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages that are trained, in order."""
        optional = {"detail": self.detail.enabled, "student": self.distillation.steps > 0}
        return ("autoencoder", "denoiser", *(stage for stage, wanted in optional.items() if wanted))

    @model_validator(mode="after")
    def _workers_share_batches_evenly(self) -> TrainingSettings:
        sizes = {
            "autoencoder": self.autoencoder.batch_size,
            "diffusion": self.diffusion.batch_size,
            "detail": self.detail.batch_size,
            "distillation": self.distillation.batch_size,
        }
        for name, size in sizes.items():
            if size % self.workers:
                raise ValueError(f"{name}.batch_size {size} does not divide by workers {self.workers}")
        return self


class CohortSettings(Section):
    """A cohort: how many ECGs, for which conditions, sampled how."""

    name: str = Field("cohort", pattern=r"^[a-z0-9][a-z0-9-]*$", description="Name of the cohort.")
    size: int = Field(500, ge=1, description="Synthetic ECGs.")
    seed: int = Field(1, ge=0, description="Cohort seed; each row's seed derives from it and the row number.")
    min_patients: int = Field(
        5, ge=1, description="Patients who must share (age band, sex, statements) for it to be asked for."
    )
    sampler_steps: int = Field(16, ge=1, description="Denoising steps.")
    guidance: float = Field(2.0, ge=1, description="Classifier-free guidance scale; 1 for none.")
    fast: bool = Field(
        False,
        description="Let the distilled student sample, one network pass per step; guidance must be what it learned.",
    )
    rows_per_part: int = Field(256, ge=1, description="ECGs per Parquet file; the unit of resumption.")
    batch_size: int = operational(64, ge=1, description="ECGs sampled at once.")
    workers: int = operational(1, ge=1, description="Ray actors that generate.")
    use_gpu: bool = Field(
        False, description="One GPU per actor; its arithmetic differs from a processor's in the last digits."
    )


class EvaluationSettings(Section):
    """Whether the cohort looks right and whether it helps a downstream classifier."""

    seed: int = Field(1, description="Seed of classifiers and bootstraps.")
    classifier: ClassifierArchitecture = Field(
        default_factory=ClassifierArchitecture, description="Reference classifier."
    )
    use_gpu: bool = Field(False, description="Train classifiers on a GPU.")
    classifier_steps: int = Field(600, ge=1, description="Optimiser steps of each classifier.")
    batch_size: int = Field(64, ge=1, description="Recordings per step.")
    learning_rate: float = Field(3e-3, gt=0, description="Peak learning rate.")
    bootstrap_samples: int = Field(200, ge=20, description="Bootstrap resamples per confidence interval.")
    neighbours: int = Field(5, ge=1, description="k of precision, recall, density and coverage.")


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


class ReleaseSettings(Section):
    """What a release says about itself."""

    name: str = Field(
        "einthoven", pattern=r"^[a-z0-9][a-z0-9-]*$", description="Release name: its folder under releases/."
    )
    title: str = Field("Synthetic 12-lead ECG cohort", description="Title of the dataset card.")
    license: str = Field("CC-BY-4.0", description="Licence of the synthetic data, as an SPDX identifier.")
    creator: str = Field("Einthoven", description="Who publishes it.")
    citation: str = Field("", description="Works to cite, in particular the source dataset.")
    smallest_cell: int = Field(
        5, ge=5, description="Smallest count of real recordings shown in the report; others are suppressed."
    )


class Settings(Section):
    """A profile: everything a run needs."""

    profile: str = operational("custom", description="Name of the profile it was read from.")
    warehouse: WarehouseSettings = Field(default_factory=WarehouseSettings, description="Where data is kept.")
    compute: ComputeSettings = Field(default_factory=ComputeSettings, description="How Ray is used.")
    source: SourceSettings = Field(description="Where real recordings come from.")
    ingestion: IngestionSettings = Field(default_factory=IngestionSettings, description="Ingestion.")
    knowledge: KnowledgeSettings = Field(default_factory=KnowledgeSettings, description="Knowledge base.")
    training: TrainingSettings = Field(default_factory=TrainingSettings, description="Training.")
    cohort: CohortSettings = Field(default_factory=CohortSettings, description="Generation.")
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings, description="Evaluation.")
    privacy: PrivacySettings = Field(default_factory=PrivacySettings, description="Privacy audit.")
    release: ReleaseSettings = Field(default_factory=ReleaseSettings, description="Release.")
