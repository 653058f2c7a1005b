"""Which knowledge entries fit a condition."""

from __future__ import annotations

from pydantic import Field

from tasks.settings.settings_section import Section


class RetrievalWeights(Section):
    """Weights of the similarity between a request and a knowledge entry; they need not sum to 1."""

    embedding: float = Field(0.5, ge=0, description="Weight of the cosine similarity of the texts.")
    statements: float = Field(0.4, ge=0, description="Weight of the Jaccard similarity of statement sets.")
    admissions: float = Field(
        0.4,
        ge=0,
        description="Weight of the mean Jaccard similarity of diagnoses, medications and procedures of an admission; "
        "no part of requests without one.",
    )
    demographics: float = Field(0.1, ge=0, description="Weight of the match of sex and age band.")


class RetrievalSettings(Section):
    """Which entries of the knowledge base a condition is given; a model is sampled as it was trained."""

    top_k: int = Field(3, ge=1, le=8, description="Entries retrieved per condition.")
    weights: RetrievalWeights = Field(default_factory=RetrievalWeights, description="Weights of retrieval.")
