"""Writes the files of a release into a staging folder; the manifest last."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from warehouse.release.content import ReleaseContent, manifest_of, released_columns
from warehouse.release.croissant import CROISSANT, croissant
from warehouse.release.dataset_card import dataset_card
from warehouse.release.releases import describe_file
from warehouse.schema import audits, evaluations
from warehouse.storage.store import MANIFEST, write_text


def write_release_files(folder: Path, content: ReleaseContent, report_html: str) -> None:
    """Write everything but SHA256SUMS.

    Args:
        folder: empty staging folder.
        report_html: the report, self-contained.
    """
    (folder / "cohorts").mkdir()
    for number, part in enumerate(content.parts):
        # A copy, not a hard link: whatever happens to the release, the committed cohort stays as it is.
        shutil.copyfile(part, folder / "cohorts" / f"part-{number:05d}.parquet")
    _write_json(folder / "evaluation.json", {"columns": _columns(evaluations()), "metrics": content.evaluation})
    _write_json(
        folder / "audit.json",
        {
            "passed": all(row["passed"] is not False for row in content.audit),
            "columns": _columns(audits()),
            "metrics": content.audit,
        },
    )
    write_text(folder / "README.md", dataset_card(content))
    write_text(folder / "report.html", report_html)
    described = [describe_file(folder, path) for path in _files(folder)]
    _write_json(folder / CROISSANT, croissant(content, described))
    manifest = manifest_of(content, [describe_file(folder, path) for path in _files(folder)])
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _columns(schema: pa.Schema) -> list[dict[str, str]]:
    return [column.model_dump() for column in released_columns(schema)]


def _write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
