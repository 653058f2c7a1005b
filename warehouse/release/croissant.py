"""MLCommons Croissant: the machine-readable description of a release, https://docs.mlcommons.org/croissant/."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import mlcroissant as mlc
import pyarrow as pa

from warehouse.errors import ReleaseError
from warehouse.release.content import ReleaseContent, ReleasedColumn, ReleasedFile
from warehouse.release.dataset_card import LIMITS, generation, summary
from warehouse.schema import cohorts

CROISSANT = "croissant.json"
RECORD_SET = "cohorts"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
FILE_SET = "cohort-files"
ENCODINGS = {
    ".parquet": "application/x-parquet",
    ".json": "application/json",
    ".md": "text/markdown",
    ".html": "text/html",
}


def croissant(content: ReleaseContent, files: list[ReleasedFile]) -> dict[str, Any]:
    """Build the Croissant 1.1 description of a release.

    Args:
        files: the files to list, with their checksums; the Parquet files among them hold the records.

    Raises:
        ReleaseError: mlcroissant finds the description invalid.
    """
    context = mlc.Context(conforms_to=CONFORMS_TO)
    about = content.description
    objects = [_file_object(context, file) for file in files]
    # Not contained in the file objects: mlcroissant reads a set's records only from the folder of croissant.json.
    file_set = mlc.FileSet(
        ctx=context,
        id=FILE_SET,
        name=FILE_SET,
        description="The cohort's Parquet files, in order.",
        encoding_formats=[ENCODINGS[".parquet"]],
        includes=["cohorts/*.parquet"],
    )
    types = {field.name: field.type for field in cohorts(content.samples, content.sampling_rate_hz)}
    record_set = mlc.RecordSet(
        ctx=context,
        id=RECORD_SET,
        name=RECORD_SET,
        description="One record is one synthetic 12-lead ECG and the condition it was generated for.",
        key=f"{RECORD_SET}/ecg_id",
        fields=[_field(context, column, types[column.name]) for column in content.columns],
    )
    try:
        metadata = mlc.Metadata(
            ctx=context,
            conforms_to=CONFORMS_TO,
            name=f"{about.name}-{content.version}",
            description=summary(content),
            license=[about.license],
            creators=[mlc.Organization(ctx=context, name=about.creator)],
            cite_as=about.citation or None,
            version=f"{content.version.removeprefix('v')}.0.0",
            date_published=content.created_at.replace(tzinfo=None),
            keywords=["ECG", "electrocardiogram", "12-lead", "synthetic data", "cardiology"],
            data_collection=" ".join(generation(content)),
            data_limitations=LIMITS,
            data_use_cases=["Developing and testing ECG software", "Pre-training and augmentation of ECG classifiers"],
            personal_sensitive_information="None: every row is synthetic; audit.json holds the cohort's privacy audit.",
            distribution=[*objects, file_set],
            record_sets=[record_set],
        )
        described: dict[str, Any] = json.loads(json.dumps(metadata.to_json(), default=str))
        parse(described)
    except mlc.ValidationError as error:
        raise ReleaseError(f"{CROISSANT} of {about.name} {content.version} is not valid Croissant: {error}") from None
    return described


def parse(described: dict[str, Any] | Path) -> mlc.Dataset:
    """Read a Croissant description, from a file or as JSON.

    Raises:
        mlc.ValidationError: it is not valid.
    """
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns about recommended properties, such as a URL, that a local release lacks
    try:
        return mlc.Dataset(jsonld=described if isinstance(described, dict) else str(described))
    finally:
        logger.setLevel(level)


def _file_object(context: mlc.Context, file: ReleasedFile) -> mlc.FileObject:
    return mlc.FileObject(
        ctx=context,
        id=file.path,
        name=file.path,
        content_url=file.path,
        content_size=f"{file.bytes} B",
        encoding_formats=[ENCODINGS[Path(file.path).suffix]],
        sha256=file.sha256,
    )


def _field(context: mlc.Context, column: ReleasedColumn, type_: pa.DataType) -> mlc.Field:
    unit = f" ({column.unit})" if column.unit else ""
    shape: dict[str, Any] = {}
    if pa.types.is_fixed_size_list(type_):
        shape = {"is_array": True, "array_shape": str(type_.list_size)}
    elif pa.types.is_list(type_):
        shape = {"is_array": True, "array_shape": "-1"}
    element = type_.value_type if shape else type_
    return mlc.Field(
        ctx=context,
        id=f"{RECORD_SET}/{column.name}",
        name=column.name,
        description=f"{column.description}{unit}",
        data_types=[_data_type(element)],
        source=mlc.Source(ctx=context, file_set=FILE_SET, extract=mlc.Extract(ctx=context, column=column.name)),
        **shape,
    )


def _data_type(type_: pa.DataType) -> Any:
    """Croissant's name of an Arrow type."""
    if pa.types.is_string(type_):
        return mlc.DataType.TEXT
    if pa.types.is_boolean(type_):
        return mlc.DataType.BOOL
    return {
        pa.int16(): mlc.DataType.INT16,
        pa.int32(): mlc.DataType.INT32,
        pa.int64(): mlc.DataType.INT64,
        pa.float32(): mlc.DataType.FLOAT32,
        pa.float64(): mlc.DataType.FLOAT64,
    }[type_]
