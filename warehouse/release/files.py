"""Writes the files of a release into a staging folder; the manifest last.

Each file is described by what is written, not by reading it back: the verification of the finished folder is the one
step that reads every byte again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.release.content import ReleaseContent, ReleasedFile, manifest_of, released_columns
from warehouse.release.croissant import CROISSANT, croissant
from warehouse.release.dataset_card import dataset_card
from warehouse.schema import audits, evaluations
from warehouse.storage.store import MANIFEST, write_text


def write_release_files(folder: Path, content: ReleaseContent, report_html: str) -> None:
    """Write everything but SHA256SUMS.

    Args:
        folder: empty staging folder.
        report_html: the report, self-contained.
    """
    audit = {
        "passed": all(row["passed"] is not False for row in content.audit),
        "columns": _columns(audits()),
        "metrics": content.audit,
    }
    files = [
        *_copy_parts(folder, content),
        _write(folder, "evaluation.json", _json({"columns": _columns(evaluations()), "metrics": content.evaluation})),
        _write(folder, "audit.json", _json(audit)),
        _write(folder, "README.md", dataset_card(content)),
        _write(folder, "report.html", report_html),
    ]
    files.sort(key=lambda file: file.path)
    files.append(_write(folder, CROISSANT, _json(croissant(content, files))))
    files.sort(key=lambda file: file.path)
    write_text(folder / MANIFEST, manifest_of(content, files).model_dump_json(indent=2) + "\n")


def _copy_parts(folder: Path, content: ReleaseContent) -> list[ReleasedFile]:
    """Copy the cohort's parts; their checksums are those that they were committed with.

    A part that was damaged since then does not get a checksum that agrees with the damage: the verification finds it.
    """
    (folder / "cohorts").mkdir()
    copied = []
    for number, part in enumerate(content.parts):
        name = f"cohorts/part-{number:05d}.parquet"
        # A copy, not a hard link: whatever happens to the release, the committed cohort stays as it is.
        shutil.copyfile(content.cohort_folder / part.path, folder / name)
        rows = pq.read_metadata(folder / name).num_rows
        copied.append(ReleasedFile(path=name, bytes=part.bytes, sha256=part.sha256, rows=rows))
    return copied


def _write(folder: Path, name: str, text: str) -> ReleasedFile:
    write_text(folder / name, text)
    content = text.encode()
    return ReleasedFile(path=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), rows=None)


def _columns(schema: pa.Schema) -> list[dict[str, str]]:
    return [column.model_dump() for column in released_columns(schema)]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
