"""Typed settings of every stage, one file a section. A profile in `prefect.yaml` is one `Settings` object.

Unknown keys are refused.
"""

from __future__ import annotations

from pydantic import Field

from tasks.settings.cohort import CohortSettings
from tasks.settings.compute import ComputeSettings
from tasks.settings.evaluation import AlignmentSettings, EvaluationSettings
from tasks.settings.ingestion import IngestionSettings
from tasks.settings.knowledge import KnowledgeSettings
from tasks.settings.privacy import BeatEncoderSettings, ModelAuditSettings, PrivacySettings
from tasks.settings.release import ReleaseSettings
from tasks.settings.retrieval import RetrievalSettings, RetrievalWeights
from tasks.settings.settings_section import Section
from tasks.settings.source import SimulationSettings, SourceSettings
from tasks.settings.training import TrainingSettings
from tasks.settings.warehouse import WarehouseSettings

__all__ = [
    "AlignmentSettings",
    "BeatEncoderSettings",
    "CohortSettings",
    "ComputeSettings",
    "EvaluationSettings",
    "IngestionSettings",
    "KnowledgeSettings",
    "ModelAuditSettings",
    "PrivacySettings",
    "ReleaseSettings",
    "RetrievalSettings",
    "RetrievalWeights",
    "Settings",
    "SimulationSettings",
    "SourceSettings",
    "TrainingSettings",
    "WarehouseSettings",
]


class Settings(Section):
    """A profile: everything a run needs."""

    warehouse: WarehouseSettings = Field(default_factory=WarehouseSettings, description="Where data is kept.")
    compute: ComputeSettings = Field(default_factory=ComputeSettings, description="How Ray is used.")
    source: SourceSettings = Field(description="Where real recordings come from.")
    ingestion: IngestionSettings = Field(default_factory=IngestionSettings, description="Ingestion.")
    knowledge: KnowledgeSettings = Field(default_factory=KnowledgeSettings, description="Knowledge base.")
    retrieval: RetrievalSettings = Field(
        default_factory=RetrievalSettings, description="Retrieval of knowledge entries, in training and generation."
    )
    training: TrainingSettings = Field(default_factory=TrainingSettings, description="Training.")
    cohort: CohortSettings = Field(default_factory=CohortSettings, description="Generation.")
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings, description="Evaluation.")
    privacy: PrivacySettings = Field(default_factory=PrivacySettings, description="Privacy audit.")
    model_audit: ModelAuditSettings = Field(
        default_factory=ModelAuditSettings, description="Privacy audit of the model itself, which no release needs."
    )
    release: ReleaseSettings = Field(default_factory=ReleaseSettings, description="Release.")
