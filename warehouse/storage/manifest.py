"""The manifest of a dataset: its files, tables, lineage and facts."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from warehouse.errors import WarehouseError
from warehouse.storage.reference import Kind, Reference

MANIFEST = "MANIFEST.json"
RECORDED_LIBRARIES = ("numpy", "torch", "diffusers", "ray", "prefect", "pyarrow", "duckdb", "wfdb", "langchain")


class FileEntry(BaseModel):
    """One file of a dataset."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(description="Path relative to the dataset's folder.")
    bytes: int
    sha256: str


class Lineage(BaseModel):
    """Where a dataset came from: enough to make it again."""

    model_config = ConfigDict(extra="forbid")

    stage: str = Field(description="Name of the stage that made it.")
    code_version: int = Field(description="The stage's code version; part of the id.")
    settings: dict[str, Any] = Field(description="The stage's settings, whole.")
    shaping: dict[str, Any] = Field(
        default_factory=dict, description="What of the settings shapes the result; part of the id."
    )
    inputs: list[Reference] = Field(description="What it was made from.")
    libraries: dict[str, str] = Field(default_factory=lambda: library_versions())


class Manifest(BaseModel):
    """What a dataset holds; its presence in a committed folder is what makes the folder a dataset."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    id: str
    rows: int
    tables: dict[str, list[str]] = Field(description="Table name to 'column: type' lines.")
    files: list[FileEntry]
    lineage: Lineage
    facts: dict[str, Any] = Field(default_factory=dict, description="Small results worth reading without the data.")
    created_at: datetime

    def parts(self, table: str) -> list[FileEntry]:
        """The Parquet files of a table, in order."""
        return [one for one in self.files if PurePosixPath(one.path).match(f"{table}/part-*.parquet")]


def read_manifest(path: Path) -> Manifest:
    """Read a MANIFEST.json.

    Raises:
        WarehouseError: it is damaged.
    """
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise WarehouseError(
            f"{path} is damaged ({error.error_count()} errors); remove its folder and run again"
        ) from None


def table_columns(folder: Path) -> dict[str, list[str]]:
    """The tables of a folder, each with its columns as 'name: type'."""
    tables = {}
    for first in sorted(folder.glob("*/part-00000.parquet")):
        schema = pq.read_schema(first)
        tables[first.parent.name] = [f"{field.name}: {field.type}" for field in schema]
    return tables


def library_versions() -> dict[str, str]:
    """Versions of the libraries that shape results, for lineage."""
    found = {}
    for name in RECORDED_LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
