"""Exports of ECG carts: whatever is done to a file, it is read rightly or refused; and the extra may be missing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.warehouse.sources.example_datasets import exports
from tests.warehouse.sources.example_datasets.hospital import WRITERS
from tests.warehouse.sources.example_datasets.wfdb_files import ecg
from warehouse.errors import SourceError
from warehouse.sources.record import REASONS, BadRecord
from warehouse.sources.registry import open_source

DAMAGES_OF_EACH = 40


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """A file cut, with bytes changed, or with a piece repeated."""
    changed = bytearray(content)
    # Most of a file is waveform; its beginning decides how that is read.
    start = int(random.integers(0, min(len(content), 4000) if random.random() < 0.7 else len(content)))
    match random.integers(0, 4):
        case 0:
            del changed[start:]
        case 1:
            for place in random.integers(start, min(start + 40, len(content)), 4):
                changed[place] = int(random.integers(0, 256))
        case 2:
            changed[start:start] = changed[start : start + int(random.integers(1, 500))]
        case _:
            del changed[start : start + int(random.integers(1, 500))]
    return bytes(changed)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.filterwarnings("ignore")
def test_damage_is_refused_or_harmless(name: str, tmp_path: Path) -> None:
    random = np.random.default_rng(len(name))
    path = tmp_path / Path(name).name
    WRITERS[name][0](path, ecg(3)[:, :600])
    whole = path.read_bytes()
    refused = set()
    for _ in range(DAMAGES_OF_EACH):
        path.write_bytes(damaged(whole, random))
        source = open_source("hospital", tmp_path)
        refused |= {one.reason for one in source.refused()}
        for record in source.records():
            try:
                assert source.read(record, 500, duration_s=1.0).shape == (8, 500)
            except BadRecord as error:
                refused.add(error.reason)
        source.statements()
    assert refused and refused <= REASONS.keys()


@pytest.mark.parametrize(
    "hostile",
    [
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><RestingECG><a>&e;</a></RestingECG>',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]><restingecgdata/>',
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><AnnotatedECG>&b;</AnnotatedECG>',
        "<RestingECG>" + "<a>" * 100_000,
        "<restingecgdata>" + "<a>" * 20_000 + "</a>" * 20_000 + "</restingecgdata>",
        "",
        "\x00\x01",
    ],
)
def test_hostile_xml(hostile: str, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(hostile)
    (refused,) = open_source("hospital", tmp_path).rows()
    assert not hasattr(refused, "patient")
    assert refused.reason in ("bad_export", "unsupported_format")
    assert "root:" not in refused.detail and "\n" not in refused.detail


def test_an_export_without_gain_is_not_taken_for_millivolts(tmp_path: Path) -> None:
    exports.write_muse(tmp_path / "a.xml", ecg(1))
    path = tmp_path / "a.xml"
    path.write_text(path.read_text("latin-1").replace("MICROVOLTS", "APPLES"), "latin-1")
    source = open_source("hospital", tmp_path)
    with pytest.raises(BadRecord, match="uncalibrated"):
        source.read(source.records()[0], 500)


def test_a_file_larger_than_any_export_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exports.write_muse(tmp_path / "a.xml", ecg(1))
    monkeypatch.setattr("warehouse.sources.hospital.LARGEST_BYTES", 1000)
    assert [one.reason for one in open_source("hospital", tmp_path).refused()] == ["too_large"]


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exports.write_muse(tmp_path / "a.xml", ecg(1))
    monkeypatch.setitem(sys.modules, "ecgdatakit", None)
    with pytest.raises(SourceError, match=r"pip install 'einthoven\[hospital\]'"):
        open_source("hospital", tmp_path)
