"""Where recordings come from."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from tasks.settings.settings_section import Section, Seed, operational
from warehouse.sources.registry import SOURCES


class SimulationSettings(Section):
    """The simulated dataset, written as WFDB in PTB-XL's layout."""

    recordings: int = Field(700, ge=20, description="Recordings to simulate.")
    seed: Seed = Field(1, description="Seed of patients, rhythms and noise.")
    damaged_files: int = Field(
        5, ge=0, description="Deliberately broken files among them, which ingestion must quarantine."
    )


class SourceSettings(Section):
    """Where real recordings come from."""

    kind: str = Field(description="Kind of dataset, which chooses its reader.", json_schema_extra={"enum": [*SOURCES]})
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        description="Name of the dataset, within which patients are identified; null for its kind. Two hospitals whose "
        "exports are of one kind need two.",
    )
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
