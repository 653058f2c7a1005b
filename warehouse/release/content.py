"""What a release is made of: the cohort, what was measured on it, and the lineage that may be published.

Lineage in the warehouse names folders and source files; lineage in a release names stages, settings and digests only.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from models.leads import LEAD_COLUMNS
from warehouse.errors import ReleaseError
from warehouse.schema import cohorts
from warehouse.storage.facts import AuditFacts, BeatRejectionFacts, ModelFacts, PatientPrivacyFacts, RecordingsFacts
from warehouse.storage.manifest import FileEntry, Manifest, library_versions
from warehouse.storage.reference import Kind, Reference
from warehouse.storage.store import Store
from warehouse.storage.waveforms import from_lead_columns

UNPUBLISHED_SETTINGS = frozenset({"path", "uri"})
"""Settings that name places on the publisher's machine."""


class ReleasedColumn(BaseModel):
    """One column of a released table."""

    model_config = ConfigDict(extra="forbid")

    name: str
    type: str
    unit: str
    description: str


class ReleasedFile(BaseModel):
    """One file of a release."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(description="Path relative to the release folder.")
    bytes: int
    sha256: str
    rows: int | None = Field(None, description="Rows of a Parquet file.")


class LineageStep(BaseModel):
    """One dataset that the release descends from, without places or people."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    id: str = Field(description="Digest of settings, inputs and code version.")
    sha256: str = Field(description="SHA-256 of the dataset's own manifest.")
    rows: int
    stage: str = Field("", description="Stage that made it; empty for a dataset that was not made here.")
    code_version: int = 0
    settings: dict[str, Any] = Field(default_factory=dict)
    libraries: dict[str, str] = Field(default_factory=dict)
    inputs: list[str] = Field(default_factory=list, description="'kind id' of what it was made from.")


class ReleaseManifest(BaseModel):
    """MANIFEST.json of a release."""

    model_config = ConfigDict(extra="forbid")

    name: str
    version: str = Field(description="v1, v2, …; a version is never changed.")
    id: str = Field(
        description="Digest of release settings, inputs and code version; the same id is never released twice."
    )
    title: str
    license: str
    creator: str
    citation: str
    source: str = Field(description="Name of the dataset the model learned from.")
    simulated_source: bool = Field(description="True when that dataset was made by Einthoven's simulator.")
    rows: int = Field(description="Synthetic ECGs.")
    samples: int = Field(description="Samples per lead.")
    sampling_rate_hz: int
    tables: dict[str, list[ReleasedColumn]]
    files: list[ReleasedFile] = Field(description="Every file but MANIFEST.json and SHA256SUMS.")
    privacy_passed: bool
    differential_privacy: dict[str, PatientPrivacyFacts] = Field(
        default_factory=dict, description="Network of the model to what its training guarantees to each patient."
    )
    steward: str = Field("", description="Who answers for the release, as its settings name them; empty for nobody.")
    einthoven: str = Field(description="Version of Einthoven that published it.")
    libraries: dict[str, str]
    lineage: list[LineageStep] = Field(description="The cohort first, the source last.")
    created_at: datetime


@dataclass(frozen=True)
class ReleaseInputs:
    """References to what a release is made from."""

    cohort: Reference
    evaluation: Reference
    audit: Reference
    model: Reference

    def all(self) -> list[Reference]:
        """The references, in a fixed order."""
        return [self.cohort, self.evaluation, self.audit, self.model]


@dataclass(frozen=True)
class ReleaseDescription:
    """What the publisher says about a release."""

    name: str
    title: str
    license: str
    creator: str
    citation: str
    smallest_cell: int = 5
    """Smallest count of real recordings that a release shows; smaller ones are suppressed."""
    steward: str = ""
    """Who answers for the release; empty if nobody does."""


@dataclass(frozen=True)
class ReleaseContent:
    """Everything that the files of one release version are written from."""

    description: ReleaseDescription
    version: str
    identifier: str
    inputs: ReleaseInputs
    recordings: Reference
    source: str
    simulated_source: bool
    statement_descriptions: dict[str, str]
    cohort: pa.Table
    """The cohort without its waveforms."""
    cohort_folder: Path
    """Where the cohort is committed."""
    beat_rejection: BeatRejectionFacts | None
    """Of beats drawn too near to a training patient's; None where the model rejects none."""
    parts: list[FileEntry]
    """The cohort's committed Parquet files, in order; paths are relative to `cohort_folder`."""
    samples: int
    sampling_rate_hz: int
    evaluation: list[dict[str, Any]]
    audit: list[dict[str, Any]]
    audit_facts: AuditFacts
    """Verdict, what led to it, and the power of the attacks."""
    min_power: float
    """Share of trials in which an attack had to find its canaries."""
    model_facts: ModelFacts
    lineage: list[LineageStep]
    created_at: datetime

    @property
    def verdict(self) -> str:
        """Of the audit: passed, refused or inconclusive."""
        return self.audit_facts.verdict

    @property
    def flow(self) -> bool:
        """Whether a flow generated it, and not diffusion in the latent."""
        return any(step.kind == "model" and _generator(step.settings) == "flow" for step in self.lineage)

    @property
    def rows(self) -> int:
        """Synthetic ECGs in the release."""
        return self.cohort.num_rows

    @property
    def columns(self) -> list[ReleasedColumn]:
        """The released columns, in order."""
        return released_columns(cohorts(self.samples, self.sampling_rate_hz))

    def waveforms(self, rows: list[int]) -> np.ndarray:
        """Synthetic waveforms by position in the cohort: (rows, 8, samples) float32 mV."""
        found: dict[int, np.ndarray] = {}
        start = 0
        for part in self.parts:
            path = self.cohort_folder / part.path
            count = pq.read_metadata(path).num_rows
            here = [row for row in rows if start <= row < start + count]
            if here:
                table = pq.read_table(path, columns=list(LEAD_COLUMNS)).take([row - start for row in here])
                found.update(zip(here, from_lead_columns(table), strict=True))
            start += count
        return np.stack([found[row] for row in rows])


def gather(
    store: Store,
    description: ReleaseDescription,
    inputs: ReleaseInputs,
    version_name: str,
    identifier: str,
    created_at: datetime,
) -> ReleaseContent:
    """Read what a release is written from.

    Raises:
        ReleaseError: the cohort is empty, or holds columns other than those of `schema.cohorts`.
    """
    folder = store.folder(inputs.cohort.kind, inputs.cohort.id)
    parts = store.manifest(inputs.cohort).parts("cohorts")
    if not parts or inputs.cohort.rows == 0:
        raise ReleaseError(f"cohort {inputs.cohort.id} has no rows; raise cohort.size and generate it again")
    samples, rate_hz = waveform_shape(folder / parts[0].path)
    expected = cohorts(samples, rate_hz)
    for part in parts:
        if unexpected := sorted(set(pq.read_schema(folder / part.path).names) ^ set(expected.names)):
            raise ReleaseError(
                f"cohort {inputs.cohort.id}: column(s) {', '.join(unexpected)} do not belong in a release"
            )
    recordings = recordings_behind(store, inputs)
    facts = store.facts(recordings, RecordingsFacts)
    scalars = [name for name in expected.names if name not in LEAD_COLUMNS]
    cohort = store.read(inputs.cohort, "cohorts", scalars)
    return ReleaseContent(
        description=description,
        version=version_name,
        identifier=identifier,
        inputs=inputs,
        recordings=recordings,
        source=facts.source,
        simulated_source=facts.simulated or any(cohort["simulated_source"].to_pylist()),
        statement_descriptions={code: about["description"] or code for code, about in facts.statements.items()},
        cohort=cohort,
        cohort_folder=folder,
        beat_rejection=_beat_rejection(store.manifest(inputs.cohort)),
        parts=parts,
        samples=samples,
        sampling_rate_hz=rate_hz,
        evaluation=metric_rows(store.read(inputs.evaluation, "evaluations")),
        audit=metric_rows(store.read(inputs.audit, "audits")),
        audit_facts=store.facts(inputs.audit, AuditFacts),
        min_power=min_power_of(store.manifest(inputs.audit).lineage.settings),
        model_facts=store.facts(inputs.model, ModelFacts),
        lineage=lineage_of(store, inputs.all()),
        created_at=created_at,
    )


def _generator(settings: dict[str, Any]) -> str | None:
    """What kind of generator the settings of a training ask for, as far as they say."""
    training = settings.get("training")
    return training.get("generator") if isinstance(training, dict) else None


def _beat_rejection(cohort: Manifest) -> BeatRejectionFacts | None:
    """What a cohort's facts say of rejected beats; cohorts that were not generated here say nothing."""
    found = cohort.facts.get("beat_rejection")
    return BeatRejectionFacts.model_validate(found) if found else None


def input_of(manifest: Manifest, kind: Kind) -> Reference | None:
    """The first input of a kind in a dataset's lineage."""
    return next((one for one in manifest.lineage.inputs if one.kind == kind), None)


def recordings_behind(store: Store, inputs: ReleaseInputs) -> Reference:
    """The real recordings that a cohort was audited against.

    Raises:
        ReleaseError: the audit names none.
    """
    recordings = input_of(store.manifest(inputs.audit), "recordings")
    if recordings is None:
        raise ReleaseError(f"audit {inputs.audit.id} names no recordings in its lineage; audit the cohort again")
    return recordings


def min_power_of(settings: dict[str, Any]) -> float:
    """Power that the settings of an audit ask of its attacks.

    Raises:
        ReleaseError: they do not say.
    """
    if not isinstance(found := settings.get("min_power"), float):
        raise ReleaseError("the audit's settings name no min_power; audit the cohort again")
    return found


def lineage_of(store: Store, references: list[Reference]) -> list[LineageStep]:
    """Every dataset behind some references, nearest first, fit to publish."""
    steps: dict[tuple[str, str], LineageStep] = {}
    waiting = list(references)
    while waiting:
        reference = waiting.pop(0)
        if (reference.kind, reference.id) in steps:
            continue
        step = LineageStep(kind=reference.kind, id=reference.id, sha256=reference.sha256, rows=reference.rows)
        # A real source is a folder outside the warehouse: its fingerprint is all there is to say.
        if store.find(reference.kind, reference.id):
            lineage = store.manifest(reference).lineage
            step = step.model_copy(
                update={
                    "stage": lineage.stage,
                    "code_version": lineage.code_version,
                    "settings": publishable(lineage.settings),
                    "libraries": lineage.libraries,
                    "inputs": [f"{one.kind} {one.id}" for one in lineage.inputs],
                }
            )
            waiting += lineage.inputs
        steps[reference.kind, reference.id] = step
    return list(steps.values())


def publishable(settings: Any) -> Any:
    """Settings without those that name places."""
    if isinstance(settings, dict):
        return {key: publishable(value) for key, value in settings.items() if key not in UNPUBLISHED_SETTINGS}
    if isinstance(settings, list):
        return [publishable(value) for value in settings]
    return settings


def metric_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Metrics as JSON values; NaN and infinity become null."""
    return [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
        for row in table.to_pylist()
    ]


def waveform_shape(part: Path) -> tuple[int, int]:
    """Samples per lead and sampling rate (Hz) that a cohort file states."""
    schema = pq.read_schema(part)
    metadata = schema.metadata or {}
    try:
        return int(metadata[b"samples"]), int(metadata[b"sampling_rate_hz"])
    except (KeyError, ValueError):
        raise ReleaseError(
            f"{part} does not state samples and sampling_rate_hz in its metadata; generate it again"
        ) from None


def released_columns(schema: pa.Schema) -> list[ReleasedColumn]:
    """Columns with units and descriptions, from the metadata of a schema."""
    return [
        ReleasedColumn(
            name=field.name,
            type=type_name(field.type),
            unit=(field.metadata or {}).get(b"unit", b"").decode(),
            description=(field.metadata or {}).get(b"description", b"").decode(),
        )
        for field in schema
    ]


def type_name(type_: pa.DataType) -> str:
    """An Arrow type without the names of list elements, which Parquet does not keep."""
    return re.sub(r"\b(element|item): (\w+)( not null)?", r"\2", str(type_))


def manifest_of(content: ReleaseContent, files: list[ReleasedFile]) -> ReleaseManifest:
    """The manifest of a release whose other files are written."""
    return ReleaseManifest(
        name=content.description.name,
        version=content.version,
        id=content.identifier,
        title=content.description.title,
        license=content.description.license,
        creator=content.description.creator,
        citation=content.description.citation,
        source=content.source,
        simulated_source=content.simulated_source,
        rows=content.rows,
        samples=content.samples,
        sampling_rate_hz=content.sampling_rate_hz,
        tables={"cohorts": content.columns},
        files=files,
        privacy_passed=content.verdict == "passed",
        differential_privacy=content.model_facts.privacy,
        steward=content.description.steward,
        einthoven=einthoven_version(),
        libraries=library_versions(),
        lineage=content.lineage,
        created_at=content.created_at,
    )


def einthoven_version() -> str:
    """The installed version of Einthoven."""
    try:
        return version("einthoven")
    except PackageNotFoundError:
        return "not installed"
