from __future__ import annotations

import errno
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.settings.settings_section import Section, operational
from tasks.stage import Result, Stage, commit_once, retry_if_transient, stage_id
from tests.facts import recordings_facts
from warehouse.errors import WarehouseError
from warehouse.schema import quarantine
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

STAGE = Stage("collect", makes="recordings", code_version=1)


class SmallSettings(Section):
    first: int = 1
    workers: int = operational(2)


SETTINGS = SmallSettings()


def one_row() -> pa.Table:
    return pa.Table.from_pylist(
        [dict.fromkeys(quarantine().names, "x")], schema=pa.schema([(name, pa.string()) for name in quarantine().names])
    )


def build(staging: Staging) -> Result:
    staging.write_table("quarantine", 0, one_row())
    return Result(rows=1, facts=recordings_facts())


def test_the_same_settings_and_inputs_are_built_once(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    first = commit_once(STAGE, SETTINGS, [], store, build)

    def never(_: Staging) -> Result:
        raise AssertionError("built again")

    assert commit_once(STAGE, SmallSettings(workers=3), [], store, never) == first
    assert commit_once(STAGE, SmallSettings(first=2), [], store, build).id != first.id
    assert commit_once(Stage("collect", "recordings", code_version=2), SETTINGS, [], store, build).id != first.id
    assert commit_once(STAGE, SETTINGS, [first], store, build).id != first.id


def test_the_manifest_keeps_all_settings_and_what_of_them_its_id_comes_from(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    several = {"this": SmallSettings(), "that": SmallSettings(first=2)}
    made = [
        commit_once(STAGE, SmallSettings(workers=3), [], store, build),
        commit_once(STAGE, several, [], store, build),
        commit_once(STAGE, SmallSettings(first=3), [], store, build, shaping={"second": 4}),
    ]
    lineages = [store.manifest(one).lineage for one in made]
    assert [one.settings for one in lineages] == [
        {"first": 1, "workers": 3},
        {"this": {"first": 1, "workers": 2}, "that": {"first": 2, "workers": 2}},
        {"first": 3, "workers": 2},
    ]
    assert [one.shaping for one in lineages] == [
        {"first": 1},
        {"this": {"first": 1}, "that": {"first": 2}},
        {"second": 4},
    ]
    assert [stage_id(STAGE, one.shaping, []) for one in lineages] == [one.id for one in made]


def test_of_two_runs_at_once_one_builds_and_the_other_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    building, may_go_on = threading.Event(), threading.Event()
    found: list[Reference] = []

    def slowly(staging: Staging) -> Result:
        building.set()
        assert may_go_on.wait(20)
        return build(staging)

    def never(_: Staging) -> Result:
        raise AssertionError("built twice")

    first = threading.Thread(target=lambda: found.append(commit_once(STAGE, SETTINGS, [], store, slowly)))
    first.start()
    assert building.wait(20)
    second = threading.Thread(target=lambda: found.append(commit_once(STAGE, SETTINGS, [], store, never)))
    second.start()
    second.join(0.3)
    may_go_on.set()
    first.join(20)
    second.join(20)
    assert len(found) == 2 and found[0] == found[1]
    assert [path.name for path in (tmp_path / "_staging").iterdir() if path.is_dir()] == []


def test_a_build_that_failed_is_continued_not_shown(tmp_path: Path) -> None:
    store = Store(str(tmp_path))

    def half(staging: Staging) -> Result:
        staging.write_table("quarantine", 0, one_row())
        raise WarehouseError("no space left")

    with pytest.raises(WarehouseError, match="no space left"):
        commit_once(STAGE, SETTINGS, [], store, half)
    assert not list(tmp_path.glob("recordings/*"))

    def rest(staging: Staging) -> Result:
        assert staging.resumed and staging.has_part("quarantine", 0)
        return Result(rows=1, facts=recordings_facts())

    assert commit_once(STAGE, SETTINGS, [], store, rest).rows == 1


@pytest.mark.parametrize(("number", "again"), [(errno.EIO, True), (errno.ENOSPC, False), (errno.EACCES, False)])
def test_only_what_may_pass_is_tried_again(number: int, again: bool) -> None:
    from prefect.states import Failed

    error = WarehouseError("writing failed")
    error.__cause__ = OSError(number, "refused")
    assert retry_if_transient(None, None, Failed(data=error)) is again  # type: ignore[arg-type]
