"""Writes the files of a release into a staging folder.

The manifest comes last. Documents are described by what is written; a Parquet file is read once to be hashed, and once
more by the verification of the finished folder.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.errors import ReleaseError
from warehouse.release.content import ReleaseContent, ReleasedFile, manifest_of, released_columns
from warehouse.release.croissant import CROISSANT, croissant
from warehouse.release.dataset_card import dataset_card
from warehouse.release.steward import STEWARD, steward_document
from warehouse.release.verdict import reasons
from warehouse.schema import audits, evaluations
from warehouse.storage.manifest import MANIFEST, FileEntry
from warehouse.storage.parquet_encoding import SMALL_LEVEL
from warehouse.storage.whole_files import sha256_of, write_parquet, write_text

ROWS_PER_FILE = 16_384
"""ECGs of a file: 270 MB of memory at 100 Hz and 10 s."""


def write_release_files(folder: Path, content: ReleaseContent, report_html: str) -> None:
    """Write everything but SHA256SUMS.

    Args:
        folder: empty staging folder.
        report_html: the report, self-contained.
    """
    facts = content.audit_facts
    audit = {
        "verdict": facts.verdict,
        "reasons": reasons(content.audit, content.min_power),
        "failed": facts.failed,
        "powerless": facts.powerless,
        "widened": facts.widened,
        "min_power": content.min_power,
        "columns": _columns(audits()),
        "metrics": content.audit,
        "power": [one.model_dump() for one in facts.power],
    }
    files = [
        *_write_parts(folder, content),
        _write(folder, "evaluation.json", _json({"columns": _columns(evaluations()), "metrics": content.evaluation})),
        _write(folder, "audit.json", _json(audit)),
        _write(folder, "README.md", dataset_card(content)),
        _write(folder, STEWARD, steward_document(content)),
        _write(folder, "report.html", report_html),
    ]
    files.sort(key=lambda file: file.path)
    files.append(_write(folder, CROISSANT, _json(croissant(content, files))))
    files.sort(key=lambda file: file.path)
    write_text(folder / MANIFEST, manifest_of(content, files).model_dump_json(indent=2) + "\n")


def _write_parts(folder: Path, content: ReleaseContent) -> list[ReleasedFile]:
    """Write the cohort's ECGs in the order of their conditions, so that a query for one condition reads few row groups.

    They are sorted within files of `ROWS_PER_FILE`, so that a cohort of any size is sorted in the memory of one file.

    Raises:
        ReleaseError: a part of the cohort was damaged since it was committed.
    """
    written: list[ReleasedFile] = []
    waiting: list[pa.Table] = []
    for number, part in enumerate(content.parts, 1):
        waiting.append(_committed_part(content, part))
        if number < len(content.parts) and sum(table.num_rows for table in waiting) < ROWS_PER_FILE:
            continue
        table = pa.concat_tables(waiting).sort_by([("condition", "ascending"), ("row_number", "ascending")])
        waiting = []
        path = write_parquet(table, folder / f"cohorts/part-{len(written):05d}.parquet", SMALL_LEVEL)
        name, size = path.relative_to(folder).as_posix(), path.stat().st_size
        written.append(ReleasedFile(path=name, bytes=size, sha256=sha256_of(path), rows=table.num_rows))
    return written


def _committed_part(content: ReleaseContent, part: FileEntry) -> pa.Table:
    """A part of the cohort, if it is what was committed."""
    encoded = (content.cohort_folder / part.path).read_bytes()
    if hashlib.sha256(encoded).hexdigest() != part.sha256:
        raise ReleaseError(
            f"release refused: {content.cohort_folder / part.path} changed since cohort "
            f"{content.inputs.cohort.id} was committed; remove the cohort's folder and generate it again"
        )
    return pq.read_table(pa.BufferReader(encoded))


def _write(folder: Path, name: str, text: str) -> ReleasedFile:
    write_text(folder / name, text)
    content = text.encode()
    return ReleasedFile(path=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), rows=None)


def _columns(schema: pa.Schema) -> list[dict[str, str]]:
    return [column.model_dump() for column in released_columns(schema)]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
