"""Withdrawing: the data go, the record stays, `current` never names it, and a kill leaves nothing half."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_pipeline import TinyPipeline, publish_tiny
from warehouse.catalog.catalog import query
from warehouse.errors import ReleaseError
from warehouse.release.content import ReleaseInputs
from warehouse.release.releases import versions
from warehouse.release.tombstone import read_tombstone
from warehouse.release.verification import resolve_release, verify_release
from warehouse.release.withdrawal import current_versions, withdraw
from warehouse.storage.reference import digest
from warehouse.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]
REASON = "a near copy was found later"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ReleaseInputs]:
    """A warehouse with two versions of one release."""
    store = Store(str(tmp_path_factory.mktemp("prepared") / "warehouse"))
    inputs = TinyPipeline(store).commit()
    publish_tiny(store, inputs)
    publish_tiny(store, inputs, identifier="another-id")
    return store.root, inputs


@pytest.fixture
def inputs(prepared: tuple[Path, ReleaseInputs]) -> ReleaseInputs:
    return prepared[1]


@pytest.fixture
def store(prepared: tuple[Path, ReleaseInputs], tmp_path: Path) -> Store:
    """A copy of it."""
    shutil.copytree(prepared[0], tmp_path / "warehouse", symlinks=True)
    return Store(str(tmp_path / "warehouse"))


def version(store: Store, number: int) -> Path:
    return store.root / "releases" / "tiny" / f"v{number}"


def sound(folder: Path) -> bool:
    return all(finding.ok for finding in verify_release(folder))


def test_data_go_the_record_stays_and_current_and_catalog_follow(store: Store) -> None:
    first, second = version(store, 1), version(store, 2)
    manifest = (second / "MANIFEST.json").read_bytes()
    tombstone = withdraw(store, "tiny", "v2", REASON)
    assert {path.name for path in second.rglob("*")} == {"MANIFEST.json", "WITHDRAWN.json"}
    assert (second / "MANIFEST.json").read_bytes() == manifest
    assert (tombstone.id, tombstone.reason) == ("another-id", REASON)
    assert current_versions(store) == {"tiny": first}
    answer = query(store, "select version, current, withdrawal_reason, withdrawn_at is null from releases order by 1")
    assert answer.rows == [("v1", True, None, True), ("v2", False, REASON, False)]
    found = {finding.name: finding.detail for finding in verify_release(second) if finding.ok}
    assert REASON in found["withdrawn"] and set(found) == {"withdrawn", "data removed"}
    assert sound(first)
    assert not list((store.root / "_staging").glob("withdrawn-*"))


def test_an_older_version_is_withdrawn_without_moving_current_and_without_any_there_is_none(store: Store) -> None:
    withdraw(store, "tiny", "v1", REASON)
    assert current_versions(store) == {"tiny": version(store, 2)}
    withdraw(store, "tiny", "v2", REASON)
    assert current_versions(store) == {}
    with pytest.raises(ReleaseError, match=r"there are: tiny/v1 \(withdrawn\), tiny/v2 \(withdrawn\)"):
        resolve_release(store, "tiny")


def test_what_was_withdrawn_is_not_released_again_and_its_number_is_not_used_again(
    store: Store, inputs: ReleaseInputs
) -> None:
    withdraw(store, "tiny", "v2", REASON)
    with pytest.raises(ReleaseError, match=f"tiny v2 was made from the same .* withdrawn \\({REASON}\\)"):
        publish_tiny(store, inputs, identifier="another-id")
    assert publish_tiny(store, inputs, identifier="third-id").name == "v3"
    assert current_versions(store)["tiny"].name == "v3"


def test_the_first_reason_stays(store: Store) -> None:
    assert withdraw(store, "tiny", "v1", REASON) == withdraw(store, "tiny", "v1", "something else")


@pytest.mark.parametrize(
    ("version", "reason", "message"),
    [
        ("v7", REASON, "there is no release tiny v7; versions of tiny: v1, v2"),
        ("v2", "  ", "without a reason"),
        ("v2", f"row 7 copies r{digest('recording', 5)}", "the reason: a recording_id"),
        ("v2", "see /home/someone/audit.txt", "the reason: the path"),
    ],
)
def test_a_wrong_call_changes_nothing(store: Store, version: str, reason: str, message: str) -> None:
    before = sorted(store.root.rglob("*"))
    with pytest.raises(ReleaseError, match=message):
        withdraw(store, "tiny", version, reason)
    assert [path for path in sorted(store.root.rglob("*")) if path.suffix != ".lock"] == [
        path for path in before if path.suffix != ".lock"
    ]
    assert current_versions(store)["tiny"].name == "v2"


def test_a_changed_record_and_data_put_back_are_findings(store: Store) -> None:
    release = version(store, 1)
    withdraw(store, "tiny", "v1", REASON)
    (release / "README.md").write_text("back again")
    (release / "MANIFEST.json").chmod(0o644)
    manifest = json.loads((release / "MANIFEST.json").read_text()) | {"rows": 23}
    (release / "MANIFEST.json").write_text(json.dumps(manifest))
    found = {finding.name: finding.detail for finding in verify_release(release) if not finding.ok}
    assert "MANIFEST.json changed since" in found["withdrawn"]
    assert "README.md" in found["data removed"]


def test_a_damaged_record_is_a_finding_and_does_not_stop_queries(store: Store) -> None:
    withdraw(store, "tiny", "v1", REASON)
    (version(store, 1) / "WITHDRAWN.json").write_text("{")
    assert "WITHDRAWN.json is damaged" in next(one.detail for one in verify_release(version(store, 1)) if not one.ok)
    assert query(store, "select version from releases").rows == [("v2",)]


KILLED = """
import os, signal, sys
import warehouse.release.withdrawal as withdrawal
from pathlib import Path
from warehouse.storage.reference import digest
from warehouse.storage.store import Store

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

moved = []

def move_one(path, target):
    moved.append(path)
    if len(moved) == 3:
        die()
    os.rename(path, target)

store = Store(sys.argv[1])
match sys.argv[2]:
    case "before anything":
        withdrawal.move_current_away_from = die
    case "before the record":
        withdrawal.write_text = die
    case "before the data go":
        withdrawal._remove_data = die
    case "while the data go":
        Path.rename = move_one
    case "before what was removed is deleted":
        withdrawal.sync_folder = lambda folder: die() if moved else moved.append(folder)
withdrawal.withdraw(store, "tiny", "v2", "a near copy was found later")
"""


@pytest.mark.parametrize(
    ("moment", "withdrawn", "current"),
    [
        ("before anything", False, "v2"),
        ("before the record", False, "v1"),
        ("before the data go", True, "v1"),
        ("while the data go", True, "v1"),
        ("before what was removed is deleted", True, "v1"),
    ],
)
def test_a_kill_leaves_a_whole_or_a_withdrawn_release_and_the_same_again_finishes(
    store: Store, moment: str, withdrawn: bool, current: str
) -> None:
    second = version(store, 2)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(store.root), moment], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (read_tombstone(second) is not None) is withdrawn
    assert sound(second) is (not withdrawn or moment == "before what was removed is deleted")
    assert current_versions(store)["tiny"].name == current
    assert sound(current_versions(store)["tiny"])
    recorded = query(store, "select withdrawn_at is not null from releases where version = 'v2'")
    assert recorded.rows == [(withdrawn,)]
    withdraw(store, "tiny", "v2", REASON)
    assert sound(second)
    assert {path.name for path in second.rglob("*")} == {"MANIFEST.json", "WITHDRAWN.json"}
    assert current_versions(store)["tiny"].name == "v1"
    assert versions(store, "tiny") == [1, 2]
