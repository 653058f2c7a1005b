"""The clinical knowledge base: evidence, language model, audit."""

from __future__ import annotations

from pydantic import Field

from tasks.settings.settings_section import Section, Seed, operational


class KnowledgeSettings(Section):
    """The clinical knowledge base: evidence, language model, audit."""

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
    by_sex_and_age: bool = Field(
        True, description="Also an entry per condition, sex and age band with enough patients."
    )
    report_lines: int = Field(
        2, ge=0, description="Report lines the model is shown, each shared by at least min_patients patients' reports."
    )
    temperature: float = Field(0.2, ge=0, le=2, description="Temperature of the model; 0 takes its likeliest words.")
    seed: Seed = Field(1, description="Seed of the local model's sampling.")
    timeout_s: float = operational(
        60.0, gt=0, description="Longest wait for an answer of a model that is not local, in seconds."
    )
    concurrency: int = operational(
        4, ge=1, le=64, description="Questions asked at once of a model that is not local; the local one takes one."
    )
    requests_per_minute: float | None = operational(
        None, gt=0, description="Most questions per minute to a model that is not local; null for no limit."
    )
