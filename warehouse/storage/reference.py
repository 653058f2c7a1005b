"""References: how stages name each other's outputs. Arrays never pass between stages, references do."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal[
    "source",
    "recordings",
    "knowledge",
    "autoencoder",
    "model",
    "classifier",
    "alignment",
    "beat_encoder",
    "cohort",
    "evaluation",
    "audit",
    "model_audit",
    "release",
]


class Reference(BaseModel):
    """The output of one stage: enough to find it and to notice that it changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = Field(description="What it is; also its folder in the warehouse.")
    id: str = Field(description="Digest of the stage's settings, inputs and code version.")
    uri: str = Field(description="Folder that holds it.")
    rows: int = Field(ge=0, description="Rows of its main table, or files where it has no table.")
    sha256: str = Field(description="SHA-256 of its MANIFEST.json, which lists the SHA-256 of every file.")

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.rows:,} rows)"


def digest(*parts: Any) -> str:
    """Sixteen hexadecimal digits that stand for JSON-serialisable `parts`, independent of key order."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
