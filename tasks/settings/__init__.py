"""Typed settings of every stage. A profile in `prefect.yaml` is one `Settings` object; unknown keys are refused."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field, field_validator, model_validator

from models.architecture import AlignmentArchitecture, ClassifierArchitecture
from tasks.settings.settings_section import Section, operational
from tasks.settings.training import TrainingSettings
from warehouse.sources.registry import SOURCES


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

    kind: str = Field(description="Kind of dataset, which chooses its reader.", json_schema_extra={"enum": [*SOURCES]})
    path: str | None = operational(None, description="Dataset folder; null only for the simulated source.")
    rehash: bool = operational(
        False, description="Read every file of the dataset again, whatever its size and modification time."
    )
    simulation: SimulationSettings = Field(
        default_factory=SimulationSettings, description="Used when kind is simulated."
    )

    @field_validator("kind")
    @classmethod
    def _kind_has_a_reader(cls, kind: str) -> str:
        if kind not in SOURCES:
            raise ValueError(f"no dataset of this kind can be read; known are {', '.join(SOURCES)}")
        return kind

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
    min_support: float = Field(
        0.6, ge=0.5, le=1, description="Share of recordings that must satisfy a claim, with 95 % confidence."
    )
    findings: int = Field(4, ge=1, le=8, description="Findings that the model is asked for per entry.")
    by_sex_and_age: bool = Field(
        True, description="Also an entry per condition, sex and age band with enough patients."
    )
    typical_patients: int = Field(
        50, ge=5, description="Patients most like their condition's others, whose reports the model is told about."
    )
    report_lines: int = Field(
        2, ge=0, description="Report lines the model is shown, each shared by at least min_patients patients' reports."
    )
    temperature: float = Field(0.2, ge=0, le=2, description="Temperature of the model; 0 takes its likeliest words.")
    seed: int = Field(1, description="Seed of the local model's sampling.")
    max_retries: int = operational(3, ge=0, description="Times a failed call of the model is tried again.")
    retry_wait_s: float = operational(
        2.0, ge=0, description="Wait before the first retry, in seconds; doubles each time."
    )
    timeout_s: float = operational(
        60.0, gt=0, description="Longest wait for an answer of a model that is not local, in seconds."
    )
    concurrency: int = operational(
        4, ge=1, le=64, description="Questions asked at once of a model that is not local; the local one takes one."
    )
    requests_per_minute: float | None = operational(
        None, gt=0, description="Most questions per minute to a model that is not local; null for no limit."
    )
    top_k: int = Field(3, ge=1, le=8, description="Entries retrieved per condition.")
    weights: RetrievalWeights = Field(default_factory=RetrievalWeights, description="Weights of retrieval.")


class CohortSettings(Section):
    """A cohort: how many ECGs, for which conditions, sampled how."""

    name: str = Field("cohort", pattern=r"^[a-z0-9][a-z0-9-]*$", description="Name of the cohort.")
    size: int = Field(500, ge=1, description="Synthetic ECGs.")
    seed: int = Field(1, ge=0, description="Cohort seed; each row's seed derives from it and the row number.")
    min_patients: int = Field(
        5, ge=1, description="Patients who must share (age band, sex, statements) for it to be asked for."
    )
    sampler_steps: int = Field(
        4,
        ge=0,
        description="Denoising steps, by a solver fitted to the model for 3 to 8; 0 for the simulator's ECGs of "
        "drawn beats, which tell what the denoiser adds.",
    )
    detail_steps: int = Field(2, ge=1, description="Solver steps of the detail head.")
    guidance: float = Field(
        1.0,
        ge=1,
        description="Classifier-free guidance scale of the denoiser: 1 for none; more makes ECGs more typical of their "
        "condition, and takes two network passes a step.",
    )
    trait_guidance: float = Field(
        1.25,
        ge=1,
        description="Guidance scale by which the beat and the levels drawn for an ECG are typical of its condition; 1 "
        "for none.",
    )
    rows_per_part: int = Field(256, ge=1, description="ECGs per Parquet file; the unit of resumption.")
    batch_size: int = operational(
        256, ge=1, description="ECGs handed to the model at once, of which each thread makes 64 at a time."
    )
    workers: int = operational(1, ge=1, description="Ray actors that generate.")
    use_gpu: bool = Field(
        False, description="One GPU per actor; its arithmetic differs from a processor's in the last digits."
    )


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

    seed: int = Field(1, description="Seed of classifiers and bootstraps.")
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
    bootstrap_samples: int = Field(200, ge=20, description="Bootstrap resamples per confidence interval.")
    neighbours: int = Field(5, ge=1, description="k of precision, recall, density and coverage.")
    alignment: AlignmentSettings = Field(default_factory=AlignmentSettings, description="ECG–text alignment encoder.")


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
