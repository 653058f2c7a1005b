"""What stays of a withdrawn release: its manifest, and the record of when and why it was withdrawn."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from warehouse.errors import ReleaseError

WITHDRAWN = "WITHDRAWN.json"


class Tombstone(BaseModel):
    """WITHDRAWN.json; a version whose folder holds it is withdrawn."""

    model_config = ConfigDict(extra="forbid")

    name: str
    version: str
    id: str = Field(description="The release's id, which is never released again.")
    reason: str = Field(min_length=1)
    withdrawn_at: datetime
    manifest_sha256: str = Field(
        description="SHA-256 of MANIFEST.json, which lists the checksums by which copies of the data are recognised."
    )


def read_tombstone(folder: Path) -> Tombstone | None:
    """The record of a release's withdrawal; None for one that is not withdrawn.

    Raises:
        ReleaseError: it is damaged.
    """
    path = folder / WITHDRAWN
    if not path.exists():
        return None
    try:
        return Tombstone.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ReleaseError(f"{path} is damaged: {error.errors()[0]['msg']}") from None
