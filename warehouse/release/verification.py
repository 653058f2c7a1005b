"""Checks a release folder with nothing but the folder: whoever received a copy can run this."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.leads import LEAD_COLUMNS
from warehouse.errors import EinthovenError, ReleaseError
from warehouse.release.content import ReleaseManifest, min_power_of, released_columns
from warehouse.release.leaks import find_leaks, identifying_columns
from warehouse.release.releases import CHECKSUMS, CURRENT, VERSION, read_release_manifest, versions
from warehouse.release.tombstone import WITHDRAWN, read_tombstone
from warehouse.release.verdict import broken, named, without_power
from warehouse.storage.manifest import MANIFEST
from warehouse.storage.store import Store
from warehouse.storage.whole_files import sha256_of

REQUIRED = ("README.md", "STEWARD.md", "audit.json", "croissant.json", "evaluation.json", "report.html")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str
    ok: bool
    detail: str


class CheckFailedError(EinthovenError):
    """A check did not hold; the message says where."""


def resolve_release(store: Store | None, text: str) -> Path:
    """The folder that a person means by `name`, `name/current`, `name/v2`, or a path.

    Args:
        store: the warehouse to look for names in; None to accept only a path.

    Raises:
        ReleaseError: there is no such release; the message names those there are.
    """
    if store and re.fullmatch(rf"[a-z0-9][a-z0-9-]*(/({CURRENT}|{VERSION.pattern}))?", text):
        folder = store.root / "releases" / (text if "/" in text else f"{text}/{CURRENT}")
        if folder.is_dir():
            return folder.resolve()
    path = Path(text).expanduser()
    if path.is_dir():
        return path.resolve()
    if store is None:
        raise ReleaseError(f"{text} is not a folder; give the path of a release, or its name and the warehouse")
    root = store.root / "releases"
    names = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    there = ", ".join(
        f"{name}/v{number}{' (withdrawn)' if (root / name / f'v{number}' / WITHDRAWN).exists() else ''}"
        for name in names
        for number in versions(store, name)
    )
    raise ReleaseError(
        f"there is no release {text!r}; " + (f"there are: {there}" if there else f"{root} holds none yet")
    )


def verify_release(folder: Path) -> list[Finding]:
    """Check a release folder, wherever it was copied to.

    Returns:
        One finding per check, in a fixed order. A release is sound when all are ok; of a withdrawn one, its record is.
    """
    folder = folder.resolve()
    if (folder / WITHDRAWN).exists():
        return _verify_withdrawn(folder)
    # Two checks compare checksums; every byte is hashed once for both.
    sha256 = functools.cache(lambda name: sha256_of(folder / name))
    findings = [_run("checksums", lambda: _checksums(folder, sha256))]
    try:
        manifest = read_release_manifest(folder)
    except EinthovenError as error:
        return [*findings, Finding("manifest", False, str(error))]
    checks: dict[str, Callable[[], str]] = {
        "manifest": lambda: f"{manifest.name} {manifest.version}, {len(manifest.files)} files",
        "files": lambda: _files(folder, manifest, sha256),
        "schema": lambda: _schema(folder, manifest),
        "lead columns": lambda: _lead_columns(folder, manifest),
        "rows": lambda: _rows(folder, manifest),
        "unique ids": lambda: _unique(folder, "ecg_id"),
        "unique seeds": lambda: _unique(folder, "row_seed"),
        "waveforms": lambda: _waveforms(folder),
        "croissant": lambda: _croissant(folder, manifest),
        "evaluation": lambda: _evaluation(folder),
        "privacy audit": lambda: _audit(folder, manifest),
        "no identifiers": lambda: _identifiers(folder),
    }
    return findings + [_run(name, check) for name, check in checks.items()]


def _verify_withdrawn(folder: Path) -> list[Finding]:
    def withdrawn() -> str:
        manifest, tombstone = read_release_manifest(folder), read_tombstone(folder)
        if tombstone is None or (tombstone.name, tombstone.version) != (manifest.name, manifest.version):
            raise CheckFailedError(f"{WITHDRAWN} is of another release than {MANIFEST}")
        if sha256_of(folder / MANIFEST) != tombstone.manifest_sha256:
            raise CheckFailedError(f"{MANIFEST} changed since the release was withdrawn")
        day = tombstone.withdrawn_at.strftime("%Y-%m-%d")
        return f"{manifest.name} {manifest.version}, on {day}: {tombstone.reason}"

    def removed() -> str:
        advice = "still there; run the same `einthoven withdraw` again"
        _fail_if(sorted(_present(folder) - {MANIFEST, WITHDRAWN}), advice)
        return f"{MANIFEST} and {WITHDRAWN} are all that is left"

    return [_run("withdrawn", withdrawn), _run("data removed", removed)]


def require_sound(folder: Path) -> None:
    """Refuse a release folder with any failed check.

    Raises:
        ReleaseError: names every failed check.
    """
    if failed := [finding for finding in verify_release(folder) if not finding.ok]:
        raise ReleaseError(f"{folder} does not verify: " + "; ".join(f"{one.name}: {one.detail}" for one in failed))


def _run(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    # A damaged file makes its readers raise whatever they raise; here that is a finding, never a crash.
    except (EinthovenError, OSError, ValueError, KeyError, TypeError, IndexError, pa.ArrowException) as error:
        return Finding(name, False, str(error) or type(error).__name__)


def _checksums(folder: Path, sha256: Callable[[str], str]) -> str:
    lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    listed: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None:
            raise CheckFailedError(f"{CHECKSUMS} line {number} is not a checksum and a file name")
        listed[match.group(2)] = match.group(1)
    missing = [name for name in listed if not (folder / name).is_file()]
    changed = [name for name, digest in listed.items() if name not in missing and sha256(name) != digest]
    unlisted = sorted(_present(folder) - listed.keys() - {CHECKSUMS})
    _fail_if_any({"missing": missing, "changed": changed, f"not in {CHECKSUMS}": unlisted})
    return f"{len(listed)} files match {CHECKSUMS}"


def _files(folder: Path, manifest: ReleaseManifest, sha256: Callable[[str], str]) -> str:
    listed = {file.path: file for file in manifest.files}
    present = _present(folder) - {MANIFEST, CHECKSUMS}
    changed = [
        path
        for path, file in listed.items()
        if path in present and ((folder / path).stat().st_size, sha256(path)) != (file.bytes, file.sha256)
    ]
    _fail_if_any(
        {
            "missing": sorted(listed.keys() - present),
            f"not in {MANIFEST}": sorted(present - listed.keys()),
            "a release must have": [name for name in REQUIRED if name not in listed],
            f"differ from {MANIFEST}": changed,
        }
    )
    return f"{len(listed)} files, {sum(file.bytes for file in manifest.files):,} bytes"


def _schema(folder: Path, manifest: ReleaseManifest) -> str:
    expected = manifest.tables["cohorts"]
    for part in _parts(folder):
        found = released_columns(pq.read_schema(part))
        if [(one.name, one.type) for one in found] != [(one.name, one.type) for one in expected]:
            known = {one.name: one.type for one in expected}
            odd = sorted(
                {one.name for one in found if known.get(one.name) != one.type} | known.keys() - {o.name for o in found}
            )
            raise CheckFailedError(
                f"{part.name} differs from the manifest in {', '.join(odd) or 'the order of its columns'}"
            )
    return f"{len(expected)} columns as the manifest says"


def _lead_columns(folder: Path, manifest: ReleaseManifest) -> str:
    wanted = pa.list_(pa.int16(), manifest.samples)
    for part in _parts(folder):
        schema = pq.read_schema(part)
        wrong = [
            name for name in LEAD_COLUMNS if name not in schema.names or not _same_list(schema.field(name).type, wanted)
        ]
        _fail_if(wrong, f"{part.name}: not {manifest.samples} int16 samples")
    return f"8 leads of {manifest.samples} samples at {manifest.sampling_rate_hz} Hz"


def _same_list(found: pa.DataType, wanted: pa.FixedSizeListType) -> bool:
    """Whether two fixed-size lists hold the same, whatever their element is called."""
    if not pa.types.is_fixed_size_list(found):
        return False
    return bool(found.list_size == wanted.list_size and found.value_type == wanted.value_type)


def _rows(folder: Path, manifest: ReleaseManifest) -> str:
    total = 0
    stated = {file.path: file.rows for file in manifest.files}
    for part in _parts(folder):
        rows = pq.read_metadata(part).num_rows
        name = part.relative_to(folder).as_posix()
        if rows != stated.get(name):
            raise CheckFailedError(f"{name} has {rows} rows, the manifest says {stated.get(name)}")
        total += rows
    if total != manifest.rows:
        raise CheckFailedError(f"{total} rows, the manifest says {manifest.rows}")
    return f"{total:,} rows"


def _unique(folder: Path, column: str) -> str:
    values = pa.chunked_array(
        [chunk for part in _parts(folder) for chunk in pq.read_table(part, columns=[column])[column].chunks]
    )
    if values.null_count:
        raise CheckFailedError(f"{values.null_count} rows have no {column}")
    repeated = len(values) - pc.count_distinct(values).as_py()
    if repeated:
        raise CheckFailedError(f"{repeated} rows repeat the {column} of another")
    return f"{len(values):,} different values"


def _waveforms(folder: Path) -> str:
    rows = 0
    for part in _parts(folder):
        file = pq.ParquetFile(part)
        for batch in file.iter_batches(columns=list(LEAD_COLUMNS)):
            silent = np.ones(batch.num_rows, dtype=bool)
            for name in LEAD_COLUMNS:
                lead = batch.column(name)
                if lead.null_count:
                    raise CheckFailedError(f"{part.name}: {name} is missing in {lead.null_count} rows")
                silent &= ~lead.flatten().to_numpy().reshape(batch.num_rows, -1).any(axis=1)
            if silent.any():
                raise CheckFailedError(
                    f"{part.name}: {int(silent.sum())} rows hold zeros only, first row {rows + int(silent.argmax())}"
                )
            rows += batch.num_rows
    return f"{rows:,} ECGs with signal"


def _croissant(folder: Path, manifest: ReleaseManifest) -> str:
    import mlcroissant as mlc  # half a second, which not every check needs

    from warehouse.release.croissant import CROISSANT, RECORD_SET, parse

    try:
        metadata = parse(folder / CROISSANT).metadata
    except mlc.ValidationError as error:
        raise CheckFailedError(f"{CROISSANT} is not valid: {error}") from None
    sums = {file.path: file.sha256 for file in manifest.files}
    files = [one for one in metadata.distribution if isinstance(one, mlc.FileObject)]
    _fail_if(
        [one.id for one in files if sums.get(one.content_url) != one.sha256], f"{CROISSANT} and {MANIFEST} differ on"
    )
    _fail_if(
        sorted(path for path in sums if path.endswith(".parquet") and path not in {f.content_url for f in files}),
        "not listed",
    )
    record_set = next(one for one in metadata.record_sets if one.id == RECORD_SET)
    described = [field.name for field in record_set.fields]
    _fail_if(
        sorted(set(described) ^ {column.name for column in manifest.tables["cohorts"]}), "fields that are not columns"
    )
    return f"valid, {len(described)} fields, {len(files)} files"


def _evaluation(folder: Path) -> str:
    metrics = json.loads((folder / "evaluation.json").read_bytes())["metrics"]
    if not metrics:
        raise CheckFailedError("evaluation.json holds no metric")
    return f"{len(metrics)} metrics"


def _audit(folder: Path, manifest: ReleaseManifest) -> str:
    """The verdict and its reasons, held against the audit's own rows."""
    audit = json.loads((folder / "audit.json").read_bytes())
    rows, min_power = audit["metrics"], audit["min_power"]
    settings = next((step.settings for step in manifest.lineage if step.kind == "audit"), {})
    if min_power_of(settings) != min_power:
        raise CheckFailedError(f"audit.json asks for power {min_power}, the audit's settings in {MANIFEST} do not")
    _fail_if_any(
        {
            "failed": [named(row) for row in broken(rows)] or audit["failed"],
            "without power": [named(row) for row in without_power(rows, min_power)] or audit["powerless"],
        }
    )
    if audit["verdict"] != "passed" or not manifest.privacy_passed:
        raise CheckFailedError(f"the verdict is {audit['verdict']}, {MANIFEST} says passed: {manifest.privacy_passed}")
    if not audit["reasons"]:
        raise CheckFailedError("audit.json gives no reasons for its verdict")
    kept = sum(row["passed"] is True for row in rows)
    if not kept:
        raise CheckFailedError("audit.json holds no bound")
    return f"passed, {kept} bounds kept"


def _identifiers(folder: Path) -> str:
    for part in _parts(folder):
        _fail_if(identifying_columns(pq.read_schema(part).names), f"{part.name}: column")
    _fail_if([str(leak) for leak in find_leaks(folder)], "found")
    return "no identifying column, id or path"


def _parts(folder: Path) -> list[Path]:
    parts = sorted((folder / "cohorts").glob("*.parquet"))
    if not parts:
        raise CheckFailedError("cohorts/ holds no Parquet file")
    return parts


def _present(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _fail_if(names: Sequence[str], problem: str) -> None:
    _fail_if_any({problem: names})


def _fail_if_any(problems: Mapping[str, Sequence[str]]) -> None:
    """Fail with every problem that concerns anything, naming the first five of each."""
    if found := {problem: names for problem, names in problems.items() if names}:
        raise CheckFailedError(
            "; ".join(
                f"{problem}: {', '.join(names[:5])}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")
                for problem, names in found.items()
            )
        )
