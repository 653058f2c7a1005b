"""Facts: small results of a stage that are worth reading without its data, one typed model per kind of dataset.

They are the interface between stages beside the tables: a stage writes them through its model (`Staging.commit`), and
whoever needs them reads them through the same model (`Store.facts`), so that a misspelt or missing fact is an error.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic needs it on Python 3.11

from warehouse.storage.reference import Kind

LossRow = dict[str, float | int | str | None]
"""One report of a training: `stage` (the network), `step`, losses, `learning_rate`, `steps_per_s`."""


class Facts(BaseModel):
    """Base of all facts: immutable, unknown names refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ClassVar[Kind]


class StatementFact(TypedDict):
    """What the vocabulary says of a statement; of one that it lacks, what the source says."""

    description: str
    superclass: str
    kind: str


class SourceFacts(Facts):
    """Of a simulated dataset."""

    kind = "source"

    simulated: bool
    conditions: dict[str, int] = Field(description="Simulated condition to number of recordings.")
    damaged: dict[str, str] = Field(description="Records that were damaged on purpose, and how.")


class RecordingsFacts(Facts):
    """Of ingested recordings."""

    kind = "recordings"

    statements: dict[str, StatementFact] = Field(description="Statement code to what it means.")
    listed: int = Field(description="Records that the source lists.")
    read: int = Field(
        description="Windows read of them, a record that gave none counted once: recordings kept and quarantined."
    )
    splits: dict[str, int] = Field(description="Recordings per split.")
    quarantined: dict[str, int] = Field(description="Reason to number of refused records, or windows of them.")
    source: str = Field(description="Name of the source.")
    simulated: bool
    samples: int = Field(description="Samples per lead.")
    sampling_rate_hz: int


class KnowledgeFacts(Facts):
    """Of a knowledge base."""

    kind = "knowledge"

    entries: int
    proposed: int = Field(description="Claims that the language model proposed.")
    kept: int = Field(description="Of these, claims that the recordings support.")
    refuted: int = Field(description="Of these, claims that they do not.")
    rendered: int = Field(description="Entries written from the evidence alone.")
    model: str = Field(description="Language model.")
    asked: int = Field(description="Questions asked of it.")
    cached: int = Field(description="Answers of earlier runs that were used again.")
    failed: int = Field(description="Questions without an answer.")
    seconds: float


class Prevalence(BaseModel):
    """How often something is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    real: float = Field(description="Share of the training recordings.")
    asked: float = Field(description="Share of the ECGs asked for.")


class DesignFacts(BaseModel):
    """Of a cohort's design: how the training recordings became groups that conditions are drawn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    groups: int = Field(description="Groups of enough patients.")
    training_recordings: int
    backed_off: int = Field(description="Training recordings whose group gave up part of their description.")
    backed_off_share: float
    left_out: int = Field(
        description="Training recordings that fit no group; others of the same superclasses are asked for instead."
    )
    given_up: dict[str, int] = Field(
        description="Kind of what was given up to the training recordings that gave it up."
    )
    lost_positives: dict[str, float] = Field(
        description="Superclass to the share of its training recordings whose group's label lacks it."
    )
    several_superclasses: Prevalence = Field(description="ECGs with more than one superclass.")
    statements: dict[str, Prevalence] = Field(description="Statement to its share, real and asked for.")


class BeatRejectionFacts(BaseModel):
    """Of a cohort: beats drawn nearer to a training patient's than other people's come, which are not used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    redrawn: int = Field(description="Rows whose beats were drawn again.")
    redraws: int = Field(description="Times that they were.")
    refused: int = Field(description="Of these, rows that are left out: all that was drawn for them lay so near.")


class CohortFacts(Facts):
    """Of a synthetic cohort."""

    kind = "cohort"

    name: str
    simulated: bool = Field(description="Whether the model learned from simulated recordings.")
    sampling_rate_hz: int
    samples: int = Field(description="Samples per lead.")
    design: DesignFacts
    quality_flags: dict[str, int] = Field(description="Quality flag to number of ECGs.")
    flagged: int = Field(description="ECGs with any quality flag.")
    beat_rejection: BeatRejectionFacts | None = Field(
        None, description="Of beats drawn too near to a training patient's; null where the model rejects none."
    )
    heart_rate_mae_bpm: float | None = Field(description="Mean distance of measured from requested heart rates.")
    heart_rate_measured: int = Field(description="ECGs whose heart rate could be measured.")
    einthoven_residual_mv: float = Field(description="Largest violation of a limb-lead identity.")
    records_per_second: float | None = Field(None, description="Of the run that finished the cohort.")
    generation_seconds: float | None = Field(None, description="Of the run that finished the cohort.")


class ClassifierFacts(Facts):
    """Of the reference classifier."""

    kind = "classifier"

    examples: int = Field(description="Recordings it learned from.")
    macro_auc: dict[str, float | None] = Field(
        description="Macro AUC on recordings it was fitted to, on training recordings left out, and on validation."
    )
    loss: float = Field(description="Mean training loss of the last steps.")
    seconds: float


class AlignmentFacts(Facts):
    """Of the ECG–text alignment encoder."""

    kind = "alignment"

    pairs: dict[str, int] = Field(description="Split to pairs of ECG and text.")
    texts: dict[str, int] = Field(description="Split to distinct texts.")
    kept_step: int = Field(description="Step of the lowest validation loss, whose weights are kept.")
    validation: float = Field(description="That loss.")
    temperature: float
    seconds: float
    history: list[LossRow]


class EvaluationFacts(Facts):
    """Of an evaluation: its most telling values; a value that could not be measured is null."""

    kind = "evaluation"

    fid: float | None = None
    fid_real: float | None = None
    fid_floor: float | None = None
    fid_floor_corrected_ratio: float | None = None
    fid_reconstruction: float | None = None
    measurement_distance_floor_corrected_ratio: float | None = None
    near_training_share: float | None = None
    discriminator_auc: float | None = None
    discriminator_auc_real: float | None = None
    convolutional_discriminator_auc: float | None = None
    convolutional_discriminator_auc_real: float | None = None
    median_beat_discriminator_auc: float | None = None
    median_beat_discriminator_auc_real: float | None = None
    discriminator_auc_reconstruction: float | None = None
    reconstruction_mae_mv: float | None = None
    clip_score: float | None = None
    clip_score_real: float | None = None
    rclip: float | None = None
    text_to_ecg_recall_at_5: float | None = None
    heart_rate_mae_bpm: float | None = None
    heart_rate_mae_independent_regular_bpm: float | None = None
    asked_superclass_macro_auc: float | None = None
    statement_macro_auc: float | None = None
    statement_macro_auc_real: float | None = None
    statement_auc_ratio: float | None = None
    delivery_distance_rules: float | None = None
    delivery_distance_rules_real: float | None = None
    delivery_distance_claims: float | None = None
    delivery_distance_claims_real: float | None = None
    einthoven_residual_mv: float | None = None
    ode_residual_mv_per_s: float | None = None
    macro_auc_real: float | None = None
    macro_auc_real_and_synthetic: float | None = None
    macro_auc_synthetic: float | None = None
    classifier: str | None = Field(description="Id of the reference classifier.")
    alignment: str | None = Field(description="Id of the alignment encoder; null without one.")
    missing: list[str] = Field(description="Metrics of all ECGs that these recordings cannot give.")
    missing_in_conditions: int = Field(description="Rows of single conditions without a value; each has a flag.")


class BeatEncoderFacts(Facts):
    """Of the encoder that recognises people by their beats."""

    kind = "beat_encoder"

    recordings: int = Field(description="Recordings it learned from.")
    patients: int = Field(description="Their patients.")
    several: int = Field(description="Of these, patients with several recordings.")
    rank_one: float | None = Field(
        description="Share of validation recordings whose nearest one is of the same patient; null without pairs."
    )
    equal_error: float | None = Field(description="Equal error rate of pairs of validation recordings.")
    seconds: float


class CanaryPower(BaseModel):
    """In which share of trials planted canaries broke a bound."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attack: str
    metric: str
    canary: str = Field(description="Kind of canary, or nothing: what breaks a bound then is no leak.")
    share: float = Field(description="Of the rows that were planted.")
    rows: int = Field(description="Of the cohort, or of the part of it that was tried, without canaries.")
    trials: int = Field(description="Times that canaries were planted.")
    power: float = Field(description="Share of the trials in which the bound was broken.")


class AuditFacts(Facts):
    """Of a privacy audit."""

    kind = "audit"

    verdict: Literal["passed", "refused", "inconclusive"] = Field(
        description="refused: a bound is broken; inconclusive: none is, but an attack could not find its canaries."
    )
    failed: list[str] = Field(description="Measurements beyond their bound.")
    powerless: list[str] = Field(description="Bounds whose attack did not find its canaries.")
    widened: list[str] = Field(description="Bounds that are not the default ones, and rates too few people can tell.")
    power: list[CanaryPower] = Field(description="The curve of power against kind of canary, share and cohort size.")
    beat_encoder: str | None = Field(description="Id of the encoder behind the identifying space.")

    @property
    def passed(self) -> bool:
        """Whether a release may follow."""
        return self.verdict == "passed"


class ModelAuditFacts(Facts):
    """Of a privacy audit of a model."""

    kind = "model_audit"

    failed: list[str] = Field(description="Measurements beyond their bound; a release of the model would need none.")
    members: int = Field(description="Recordings that the model learned from.")
    non_members: int = Field(description="Recordings of the test split.")
    shadows: dict[str, int] = Field(description="Network to the shadows that it was attacked with.")


class TrainingDataFacts(BaseModel):
    """Of the recordings that networks learn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sampling_rate_hz: int
    samples: int = Field(description="Samples per lead.")
    simulated: bool
    lead_scale_mv: list[float] = Field(description="Standard deviation of each independent lead about zero.")
    recordings: dict[str, int] = Field(description="Usable recordings per split.")
    excluded: dict[str, int] = Field(description="Reason to number of recordings left out.")


class TrainedFacts(Facts, TrainingDataFacts):
    """Of networks, and of the recordings that they learned from."""

    reconstruction_mae_mv: dict[str, dict[str, float]] = Field(description="Mean absolute error, by split and lead.")
    history: list[LossRow]


class AutoencoderFacts(TrainedFacts):
    """Of an autoencoder."""

    kind = "autoencoder"


class PatientPrivacyFacts(BaseModel):
    """What the training of a network with differential privacy guarantees to every training patient."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epsilon: float = Field(
        description="No weights became more than e^ε times as likely by one patient's being there, but for a chance δ."
    )
    delta: float
    unit: Literal["patient"] = Field(description="What neighbouring training sets differ by.")
    patients: int = Field(description="Patients of the training set.")
    sampling_rate: float = Field(description="Chance of a patient to be in a step.")
    noise_multiplier: float = Field(
        description="Standard deviation of the noise over the largest gradient of a patient."
    )
    steps: int = Field(description="Optimiser steps that were taken.")
    largest_gradient: float = Field(description="Norm to which the gradient of a patient was clipped.")
    accountant: str = Field(description="How ε was accounted: rdp, by Rényi divergences.")


class ModelFacts(TrainedFacts):
    """Of a trained generator: what its autoencoder's facts say, and more."""

    kind = "model"

    parameters: dict[str, int] = Field(description="Network to number of weights.")
    simulator_fit: dict[str, dict[str, float | None]] = Field(description="Class to lead to R² of the simulator's fit.")
    losses: dict[str, LossRow] = Field(description="Network to its last report.")
    privacy: dict[str, PatientPrivacyFacts] = Field(
        default_factory=dict, description="Network to the guarantee that it was trained with; empty without any."
    )


def as_json(facts: Facts | None) -> dict[str, Any]:
    """Facts as JSON values, in the order of their model."""
    return {} if facts is None else facts.model_dump(mode="json")
