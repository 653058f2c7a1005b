"""`verify_release` names what was tampered with, in the warehouse or in a copy of the folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.leads import LEAD_COLUMNS
from tests.tiny_pipeline import SAMPLES, TinyPipeline, publish_tiny
from warehouse.errors import ReleaseError
from warehouse.release.releases import seal
from warehouse.release.verification import require_sound, resolve_release, verify_release
from warehouse.storage.store import Store
from warehouse.storage.whole_files import sha256_of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(str(tmp_path_factory.mktemp("warehouse")))
    publish_tiny(store, TinyPipeline(store).commit())
    return store


@pytest.fixture
def copy(store: Store, tmp_path: Path) -> Path:
    """A writable copy elsewhere."""
    folder = tmp_path / "received"
    shutil.copytree(store.root / "releases" / "tiny" / "v1", folder)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def failed(folder: Path) -> dict[str, str]:
    return {finding.name: finding.detail for finding in verify_release(folder) if not finding.ok}


def rewrite_json(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def rewrite_table(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    part = folder / "cohorts" / "part-00000.parquet"
    pq.write_table(change(pq.read_table(part)), part)


def reseal(folder: Path) -> None:
    """What a forger would do: make manifest and checksums agree with the files again."""
    entries = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}

    def refresh(manifest: dict[str, Any]) -> None:
        for file in manifest["files"]:
            path = entries[file["path"]]
            file["bytes"], file["sha256"] = path.stat().st_size, sha256_of(path)

    rewrite_json(folder / "MANIFEST.json", refresh)
    (folder / "SHA256SUMS").unlink()
    seal(folder)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_release_verifies_in_place_and_as_a_copy(store: Store, copy: Path) -> None:
    for folder in (store.root / "releases" / "tiny" / "current", copy):
        findings = verify_release(folder)
        assert [finding for finding in findings if not finding.ok] == []
        assert len(findings) == 13


@pytest.mark.parametrize(
    "name",
    [
        "cohorts/part-00000.parquet",
        "README.md",
        "STEWARD.md",
        "report.html",
        "evaluation.json",
        "audit.json",
        "croissant.json",
    ],
)
def test_a_changed_byte_is_named(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    found = failed(copy)
    assert name in found["checksums"]
    assert name in found["files"]


def test_a_changed_manifest_and_changed_checksums_are_named(copy: Path) -> None:
    rewrite_json(copy / "MANIFEST.json", lambda manifest: manifest.update(rows=25))
    assert "MANIFEST.json" in failed(copy)["checksums"]
    assert "24 rows, the manifest says 25" in failed(copy)["rows"]
    (copy / "SHA256SUMS").write_text("nonsense\n")
    assert "line 1" in failed(copy)["checksums"]


def test_missing_and_extra_files_are_named(copy: Path) -> None:
    (copy / "audit.json").unlink()
    (copy / "notes.txt").write_text("hello")
    found = failed(copy)
    assert found["checksums"] == "missing: audit.json; not in SHA256SUMS: notes.txt"
    assert found["files"] == "missing: audit.json; not in MANIFEST.json: notes.txt"
    assert "audit.json" in found["privacy audit"]


def test_without_a_manifest_there_is_nothing_to_check_against(copy: Path) -> None:
    (copy / "MANIFEST.json").unlink()
    assert "has no MANIFEST.json" in failed(copy)["manifest"]


def test_a_truncated_parquet_file_is_a_finding_not_a_crash(copy: Path) -> None:
    part = copy / "cohorts" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:1000])
    assert {"checksums", "files", "rows", "schema", "waveforms"} <= failed(copy).keys()


def repeat_first(table: pa.Table, column: str) -> pa.Table:
    values = table[column].to_pylist()
    values[1] = values[0]
    return table.set_column(table.schema.get_field_index(column), table.schema.field(column), pa.array(values))


def silence_first(table: pa.Table) -> pa.Table:
    for name in LEAD_COLUMNS:
        samples = np.stack(table[name].to_numpy())
        samples[0] = 0
        column = pa.FixedSizeListArray.from_arrays(pa.array(samples.reshape(-1)), SAMPLES)
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def shorten_lead(table: pa.Table) -> pa.Table:
    samples = np.stack(table["lead_v3"].to_numpy())[:, :-1]
    column = pa.FixedSizeListArray.from_arrays(pa.array(samples.reshape(-1)), SAMPLES - 1)
    return table.set_column(table.schema.get_field_index("lead_v3"), "lead_v3", column)


@pytest.mark.parametrize(
    ("change", "check", "detail"),
    [
        (lambda table: repeat_first(table, "ecg_id"), "unique ids", "1 rows repeat"),
        (lambda table: repeat_first(table, "row_seed"), "unique seeds", "1 rows repeat"),
        (silence_first, "waveforms", "1 rows hold zeros only, first row 0"),
        (shorten_lead, "lead columns", "lead_v3"),
        (lambda table: table.slice(0, 5), "rows", "5 rows, the manifest says 24"),
        (lambda table: table.drop_columns(["qrs_ms"]), "schema", "qrs_ms"),
        (lambda table: table.append_column("patient_id", pa.array(["p"] * 24)), "no identifiers", "patient_id"),
    ],
)
def test_tables_are_checked_even_when_the_checksums_were_made_to_agree(
    copy: Path, change: Callable[[pa.Table], pa.Table], check: str, detail: str
) -> None:
    rewrite_table(copy, change)
    reseal(copy)
    found = failed(copy)
    assert "checksums" not in found
    assert detail in found[check]


def test_documents_are_checked_even_when_the_checksums_were_made_to_agree(copy: Path) -> None:
    rewrite_json(copy / "audit.json", lambda audit: audit["metrics"][0].update(passed=False))
    rewrite_json(copy / "evaluation.json", lambda evaluation: evaluation.update(metrics=[]))
    rewrite_json(copy / "croissant.json", lambda croissant: croissant["recordSet"][0]["field"].pop())
    (copy / "README.md").write_text("kept in /home/someone/releases/")
    reseal(copy)
    found = failed(copy)
    assert found.keys() == {"privacy audit", "evaluation", "croissant", "no identifiers"}
    assert "membership inference" in found["privacy audit"]
    assert "/home/someone" in found["no identifiers"]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda audit: audit.update(verdict="inconclusive"), "the verdict is inconclusive"),
        (lambda audit: audit["metrics"][1].update(passed=None), "failed: near copies"),
        (lambda audit: audit["metrics"][1].update(power=0.9), "without power: near copies"),
        (lambda audit: audit["metrics"][1].update(power=None), "without power: near copies"),
        (lambda audit: audit.update(failed=["near copies: share"]), "failed: near copies: share"),
        (lambda audit: audit.update(powerless=["near copies: share"]), "without power: near copies: share"),
        (lambda audit: audit.update(min_power=0.5), "asks for power 0.5"),
        (lambda audit: audit.update(reasons=[]), "gives no reasons"),
        (lambda audit: audit.update(metrics=audit["metrics"][2:]), "holds no bound"),
        (lambda audit: audit.pop("verdict"), "verdict"),
    ],
)
def test_the_verdict_is_held_against_the_rows_of_the_audit(
    copy: Path, change: Callable[[Any], None], detail: str
) -> None:
    rewrite_json(copy / "audit.json", change)
    reseal(copy)
    found = failed(copy)
    # A forger would have to change the checksum in croissant.json too.
    assert found.keys() == {"privacy audit", "croissant"} and detail in found["privacy audit"]


def test_broken_croissant_is_a_finding(copy: Path) -> None:
    rewrite_json(copy / "croissant.json", lambda croissant: croissant.update({"@type": "sc:Recipe"}))
    assert "not valid" in failed(copy)["croissant"]
    (copy / "croissant.json").write_text("{")
    assert "croissant" in failed(copy)


def test_require_sound_names_every_failed_check(copy: Path) -> None:
    (copy / "README.md").write_text("other")
    with pytest.raises(
        ReleaseError, match=r"checksums: changed: README\.md; files: differ from MANIFEST\.json: README\.md"
    ):
        require_sound(copy)


def test_resolve_release_takes_names_versions_and_paths(store: Store, copy: Path) -> None:
    folder = store.root / "releases" / "tiny" / "v1"
    for text in ("tiny", "tiny/v1", "tiny/current", str(folder)):
        assert resolve_release(store, text) == folder
    assert resolve_release(None, str(copy)) == copy


@pytest.mark.parametrize("text", ["tiny/v9", "other", "../tiny"])
def test_resolve_release_lists_what_there_is(store: Store, text: str) -> None:
    with pytest.raises(ReleaseError, match="there are: tiny/v1"):
        resolve_release(store, text)
