"""Pseudonyms: stable inside a warehouse, meaningless outside it."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from warehouse.errors import WarehouseError
from warehouse.storage.pseudonyms import DIGITS, KEY_VARIABLE, pseudonyms_of
from warehouse.storage.store import Store


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


def test_pseudonyms_are_stable_and_tell_things_apart(tmp_path: Path) -> None:
    one, again = (pseudonyms_of(Store(str(tmp_path))) for _ in range(2))
    assert one.recording("ptbxl", "1") == again.recording("ptbxl", "1")
    seen = {
        one.recording("ptbxl", "1"),
        one.recording("ptbxl", "2"),
        one.recording("other", "1"),
        one.patient("ptbxl", "1"),
    }
    assert len(seen) == 4
    assert all(len(text) == DIGITS and int(text, 16) >= 0 for text in seen)


def test_another_warehouse_gives_other_pseudonyms(tmp_path: Path) -> None:
    one, other = (pseudonyms_of(Store(str(tmp_path / name))) for name in ("one", "other"))
    assert one.patient("ptbxl", "1") != other.patient("ptbxl", "1")


def test_the_key_is_private_and_no_dataset(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    pseudonyms_of(store)
    key = tmp_path / "_secrets" / "pseudonym.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_text().strip()) == 64
    assert store.committed() == []


def test_runs_that_start_together_share_one_key(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: pseudonyms_of(store).patient("ptbxl", "1"), range(64)))
    assert len(set(made)) == 1
    assert [path.name for path in (tmp_path / "_secrets").iterdir()] == ["pseudonym.key"]


def test_the_environment_overrides_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "0b" * 20)
    made = pseudonyms_of(Store(str(tmp_path)))
    # openssl dgst -sha256 -mac HMAC -macopt hexkey:0b0b… over "recording", "ptbxl" and "1", separated by zero bytes
    assert made.recording("ptbxl", "1") == "5116ef48723a5d87bb3e"
    assert not (tmp_path / "_secrets").exists()


@pytest.mark.parametrize(
    ("key", "message"), [("not hexadecimal", "not a hexadecimal key"), ("abcd", "shorter than 32")]
)
def test_bad_keys_are_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, message: str
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(WarehouseError, match=message) as caught:
        pseudonyms_of(Store(str(tmp_path)))
    assert key not in str(caught.value)


def test_a_damaged_key_file_is_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    pseudonyms_of(store)
    (tmp_path / "_secrets" / "pseudonym.key").write_text("")
    with pytest.raises(WarehouseError, match=r"pseudonym\.key is shorter"):
        pseudonyms_of(store)
