"""CSV files as people export them: every row is read, or one line says which is not."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse.errors import SourceError
from warehouse.sources.csv_table import csv_rows

NEEDED = ("id", "report")


def read(folder: Path, content: bytes) -> list[dict[str, str]]:
    (folder / "t.csv").write_bytes(content)
    return list(csv_rows(folder / "t.csv", NEEDED))


@pytest.mark.parametrize(
    "content",
    [
        b"id,report\n1,one\n2,two\n",
        b"\xef\xbb\xbfid,report\r\n1,one\r\n2,two\r\n",
        b"id;report\n1;one\n2;two",
        b"id\treport\r1\tone\r2\ttwo\r",
        b' id , report\n"1","one"\n\n2,two\n',
    ],
)
def test_dialects(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == [{"id": "1", "report": "one"}, {"id": "2", "report": "two"}]


def test_quoted_values_hold_separators_quotes_and_ends_of_lines(tmp_path: Path) -> None:
    content = b'id,report\n1,"a, ""b""\nand c"\n2,\n'
    assert read(tmp_path, content) == [{"id": "1", "report": 'a, "b"\nand c'}, {"id": "2", "report": ""}]


def test_long_reports_are_read(tmp_path: Path) -> None:
    assert len(read(tmp_path, b"id,report\n1," + b"x" * 200_000 + b"\n")[0]["report"]) == 200_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "missing column"),
        (b"id,report\n", "holds no rows"),
        (b"id,text\n1,one\n", "missing column.* report; it has id, text"),
        (b"id,report,id\n1,one,2\n", "names the column id twice"),
        (b"id,report\n1,one,more\n", "line 2: 3 values for 2 columns"),
        (b"id,report\n1,one\n2\n", "line 3: 1 values for 2 columns"),
        (b'id,report\n1,"one\n2,two\n3,"three"\n4,four\n', "line 2 cannot be read"),
        (b'id,report\n1,one\n2,"two\n', "line 3 cannot be read"),
        (b"id,report\n1,Gr\xf6\xdfe\n", "is not UTF-8"),
        (b"id,report\n1,o\0ne\n", "line 2 holds a NUL"),
        (b"\xff\xfei\0d\0,\0", "is not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert "t.csv" in str(caught.value)


VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.from_regex(r"[0-9]{1,5}", fullmatch=True), VALUES), min_size=1, max_size=6))
def test_what_a_csv_writer_wrote_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows([NEEDED, *rows])
    found = read(tmp_path_factory.getbasetemp(), written.getvalue().encode())
    assert [(row["id"], row["report"]) for row in found] == rows


@settings(max_examples=100, deadline=None)
@given(content=st.one_of(st.binary(max_size=80), st.text('id,report;"\n\r\t 12x', max_size=60).map(str.encode)))
def test_any_file_gives_rows_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    try:
        found = read(tmp_path_factory.getbasetemp(), b"id,report\n" + content)
    except SourceError:
        return
    assert found
    assert all(row.keys() == set(NEEDED) for row in found)
    assert len(found) <= content.count(b"\n") + content.count(b"\r") + 1
