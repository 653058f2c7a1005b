"""What every source keeps to: a reader is tested here by being registered, on the example of its kind."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from tests.warehouse.sources.example_datasets import Example, write_example
from warehouse.errors import SourceError
from warehouse.sources.content import content_of
from warehouse.sources.record import REASONS, BadRecord, SourceRecord
from warehouse.sources.registry import SOURCES, open_source
from warehouse.sources.source import Source
from warehouse.sources.statement_table import statements_table
from warehouse.statements import statements
from warehouse.storage.store import Store

ROWS_OF_INDEPENDENT = [STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]


@pytest.fixture(scope="module", params=SOURCES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pristine(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Example:
    return write_example(kind, tmp_path_factory.mktemp(kind) / "dataset")


@pytest.fixture
def example(pristine: Example, tmp_path: Path) -> Example:
    """A copy that a test may damage."""
    shutil.copytree(pristine.folder, tmp_path / "copy")
    return replace(pristine, folder=tmp_path / "copy")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "warehouse"))


def outcomes(source: Source, rate_hz: int, backwards: bool = False) -> dict[str, np.ndarray | str]:
    """Path of every record to its waveform, or to the reason for which it is refused."""
    found: dict[str, np.ndarray | str] = {}
    for row in reversed(source.rows()) if backwards else source.rows():
        if isinstance(row, SourceRecord):
            try:
                found[row.path(rate_hz)] = source.read(row, rate_hz)
            except BadRecord as error:
                found[row.path(rate_hz)] = error.reason
                assert error.detail and "\n" not in error.detail
        else:
            found[row.record] = row.reason
            assert row.detail and "\n" not in row.detail
    return found


def test_every_record_is_read_or_refused_with_its_reason(kind: str, pristine: Example) -> None:
    source = open_source(kind, pristine.folder)
    assert len(source.rows()) == len(source.records()) + len(source.refused()) == pristine.rows
    found = outcomes(source, pristine.rate_hz)
    assert len(found) == pristine.rows
    assert {path: reason for path, reason in found.items() if isinstance(reason, str)} == pristine.unusable
    assert set(pristine.unusable.values()) <= REASONS.keys()
    assert found.keys() - pristine.unusable.keys() == pristine.written.keys()


def test_leads_are_read_by_name_in_millivolts(kind: str, pristine: Example) -> None:
    found = outcomes(open_source(kind, pristine.folder), pristine.rate_hz)
    assert pristine.written
    for path, samples in pristine.written.items():
        window = found[path]
        assert isinstance(window, np.ndarray) and window.dtype == np.float32
        np.testing.assert_allclose(window, samples[ROWS_OF_INDEPENDENT], atol=6e-4, err_msg=path)


def test_reading_leaves_no_trace_in_the_reader(kind: str, pristine: Example) -> None:
    source = open_source(kind, pristine.folder)
    once, again = outcomes(source, pristine.rate_hz), outcomes(source, pristine.rate_hz, backwards=True)
    assert once.keys() == again.keys()
    for path, outcome in once.items():
        np.testing.assert_array_equal(outcome, again[path])


def test_records_are_identified_and_described(kind: str, pristine: Example) -> None:
    source = open_source(kind, pristine.folder)
    records = source.records()
    assert source.name == kind
    assert source.simulated is (kind == "simulated")
    assert len({one.record for one in records}) == len(records)
    described = source.statements()
    for one in records:
        assert one.record and one.patient
        assert one.strat_fold in (None, *range(1, 11))
        assert one.sex in (None, "female", "male")
        assert one.age_years is None or 0 <= one.age_years <= 90
        assert {code for code, _ in one.statements} <= described.keys()
        assert {*one.superclasses} == {described[code]["superclass"] for code, _ in one.statements} - {""}
        assert len({view for view, _ in one.coded_views}) == len(one.coded_views)
        assert all(codes for _, codes in one.coded_views)
        assert all(0 <= likelihood <= 100 for _, likelihood in one.statements)


def test_records_say_what_was_written(kind: str, pristine: Example) -> None:
    records = {one.path(pristine.rate_hz): one for one in open_source(kind, pristine.folder).records()}
    assert pristine.said
    for path, said in pristine.said.items():
        assert {name: getattr(records[path], name) for name in said} == said, path


def test_statements_are_of_the_vocabulary_or_listed_as_foreign(kind: str, pristine: Example) -> None:
    source = open_source(kind, pristine.folder)
    listed = [row for row in statements_table(source).to_pylist() if row["code"] and row["kind"] != "axis"]
    counts: Counter[str] = Counter()
    for row in listed:
        counts[row["code"]] += row["records"]
        assert row["known"] is (row["code"] in statements().by_code)
        assert row["source"] in {part.name for part in source.parts()}
        assert row["description"] == source.statements()[row["code"]]["description"] != ""
    assert counts == source.statement_counts()
    assert {row["code"] for row in listed if not row["known"]} == pristine.foreign


def test_only_the_first_rows_count(kind: str, pristine: Example) -> None:
    source = open_source(kind, pristine.folder)
    few = pristine.rows // 2
    assert [*source.records(few), *source.refused(few)] == sorted(source.rows()[:few], key=_is_refused)
    assert len(source.records(few)) + len(source.refused(few)) == few


def _is_refused(row: object) -> bool:
    return not isinstance(row, SourceRecord)


def test_the_order_in_which_a_folder_is_listed_does_not_matter(
    kind: str, pristine: Example, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, content = open_source(kind, pristine.folder).rows(), content_of(store, open_source(kind, pristine.folder))
    list_names, scan = os.listdir, os.scandir

    class Reversed:
        def __init__(self, *where: Any) -> None:
            with scan(*where) as entries:
                self.entries = list(entries)[::-1]

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return self  # type: ignore[return-value]

        def __exit__(self, *_: object) -> None:
            pass

        def close(self) -> None:
            pass

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            return self  # type: ignore[return-value]

        def __next__(self) -> os.DirEntry[str]:
            if not self.entries:
                raise StopIteration
            return self.entries.pop(0)

    monkeypatch.setattr(os, "listdir", lambda *where: list_names(*where)[::-1])
    monkeypatch.setattr(os, "scandir", Reversed)
    again = open_source(kind, pristine.folder)
    assert list(again.rows()) == list(rows)
    assert content_of(store, again, rehash=True).sha256 == content.sha256


def test_the_digest_follows_every_file(kind: str, example: Example, store: Store) -> None:
    source = open_source(kind, example.folder)
    seen = {content_of(store, source).sha256}
    # Files of a record that the tables already refuse are never read.
    unread = {one.record for one in source.refused()}
    for path in sorted(path for path in example.folder.rglob("*") if path.is_file()):
        if path.relative_to(example.folder).with_suffix("").as_posix() in unread:
            continue
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        digest = content_of(store, open_source(kind, example.folder)).sha256
        assert digest not in seen, path
        seen.add(digest)
        path.write_bytes(before)
    next(example.folder.glob(f"{min(example.written)}*")).unlink()
    assert content_of(store, open_source(kind, example.folder)).sha256 not in seen


def test_the_digest_depends_neither_on_time_nor_on_place(
    kind: str, pristine: Example, example: Example, store: Store
) -> None:
    for number, path in enumerate(sorted(example.folder.rglob("*"))):
        os.utime(path, (number, number))
    moved = content_of(store, open_source(kind, example.folder))
    assert moved == content_of(store, open_source(kind, pristine.folder))
    assert moved.hashed > 0


def test_a_table_that_is_missing_or_damaged_is_named(kind: str, example: Example) -> None:
    for name in example.tables:
        path = example.folder / name
        before = path.read_bytes()
        path.unlink()
        with pytest.raises(SourceError, match=name.replace(".", r"\.")):
            open_source(kind, example.folder).rows()
        if path.suffix == ".csv":
            path.write_bytes(b"\xff\xfe\x00 broken")
            with pytest.raises(SourceError, match=str(path)) as caught:
                open_source(kind, example.folder).rows()
            assert "\n" not in str(caught.value)
        path.write_bytes(before)


def test_a_folder_that_holds_no_dataset_is_named(kind: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("")
    for name, problem in (
        ("nowhere", r"does not exist; .*--data"),
        ("file", r"is a file; .*--data"),
        ("empty", r"is empty; .*--data"),
        ("other", r"has no \w+"),
    ):
        with pytest.raises(SourceError, match=f"{tmp_path / name} {problem}"):
            open_source(kind, tmp_path / name)
