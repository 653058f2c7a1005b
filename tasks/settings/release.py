"""The release."""

from __future__ import annotations

from pydantic import Field

from tasks.settings.settings_section import Section


class ReleaseSettings(Section):
    """What a release says about itself."""

    name: str = Field(
        "einthoven", pattern=r"^[a-z0-9][a-z0-9-]*$", description="Release name: its folder under releases/."
    )
    title: str = Field("Synthetic 12-lead ECG cohort", description="Title of the dataset card.")
    license: str = Field("CC-BY-4.0", description="Licence of the synthetic data, as an SPDX identifier.")
    creator: str = Field("Einthoven", description="Who publishes it.")
    steward: str = Field(
        "",
        description="Who answers for the bounds of the privacy audit, by name; recorded with the date in "
        "STEWARD.md and MANIFEST.json. Empty: the release says that nobody signed it.",
    )
    citation: str = Field("", description="Works to cite, in particular the source dataset.")
    smallest_cell: int = Field(
        5, ge=5, description="Smallest count of real recordings shown in the report; others are suppressed."
    )
