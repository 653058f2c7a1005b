"""Waveforms: read by lead name, in mV; each kind of damage has its reason."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from tests.warehouse.small_dataset import SmallDataset, ordinary_ecg
from warehouse.sources.record import REASONS, BadRecord
from warehouse.sources.recorded_leads import first_window
from warehouse.sources.registry import open_source
from warehouse.sources.wfdb_record import read_leads, record_files

ROWS_OF_INDEPENDENT = [STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]


def read_window(stem: Path) -> np.ndarray:
    return first_window(read_leads(stem), 100, 1000)


@pytest.fixture
def dataset(tmp_path: Path) -> SmallDataset:
    return SmallDataset(tmp_path / "ptbxl", records=1)


def test_real_recordings_in_millivolts(shared_data: Path) -> None:
    source = open_source("ptbxl", shared_data / "ptbxl")
    record = source.records()[0]
    low, high = source.read(record, 100), source.read(record, 500)
    assert (low.shape, high.shape, low.dtype) == ((8, 1000), (8, 5000), np.float32)
    reference = wfdb.rdrecord(str(shared_data / "ptbxl" / record.path(100)))
    for row, lead in enumerate(INDEPENDENT_LEADS):
        channel = reference.sig_name.index(lead)
        np.testing.assert_allclose(low[row], reference.p_signal[:, channel], atol=1e-6)


def test_leads_are_found_by_name(shared_data: Path, dataset: SmallDataset) -> None:
    source = open_source("ptbxl", shared_data / "ptbxl")
    record = source.records()[1]
    stem = shared_data / "ptbxl" / record.path(100)
    real = wfdb.rdrecord(str(stem))
    order = np.random.default_rng(3).permutation(12)
    names = tuple(str(real.sig_name[channel]).lower() for channel in order)
    permuted = dataset.write_record("permuted", real.p_signal.T[order], leads=names)
    np.testing.assert_allclose(read_window(permuted), source.read(record, 100), atol=1e-6)


@pytest.mark.parametrize(
    ("unit", "per_mv", "encoding"),
    [
        ("mV", 1.0, "ascii"),
        ("uV", 1e3, "ascii"),
        ("µV", 1e3, "utf-8"),
        ("µV", 1e3, "latin-1"),
        ("μV", 1e3, "utf-8"),
        ("V", 1e-3, "ascii"),
    ],
)
def test_units_become_millivolts(dataset: SmallDataset, unit: str, per_mv: float, encoding: str) -> None:
    signal = ordinary_ecg(5)
    stem = dataset.write_record("unit", signal * per_mv, units=("unit",) * 12, gain=1000.0 / per_mv)
    header = stem.with_suffix(".hea")
    header.write_bytes(header.read_text("ascii").replace("/unit ", f"/{unit} ").encode(encoding))
    np.testing.assert_allclose(read_window(stem), signal[ROWS_OF_INDEPENDENT], atol=6e-4)


def test_longer_recordings_give_their_first_window(dataset: SmallDataset) -> None:
    signal = ordinary_ecg(5, duration_s=25)
    stem = dataset.write_record("long", signal)
    read = read_window(stem)
    np.testing.assert_allclose(read, signal[ROWS_OF_INDEPENDENT, :1000], atol=6e-4)


def test_other_leads_are_left_out(dataset: SmallDataset) -> None:
    signal = np.vstack([ordinary_ecg(5), np.zeros((1, 1000))])
    stem = dataset.write_record("fifteen", signal, leads=(*STANDARD_LEADS, "VX"))
    assert read_window(stem).shape == (8, 1000)


def test_eight_leads_are_enough(dataset: SmallDataset) -> None:
    stem = dataset.write_record("eight", ordinary_ecg(5)[ROWS_OF_INDEPENDENT], leads=INDEPENDENT_LEADS)
    assert read_window(stem).shape == (8, 1000)


def with_lead(lead: str, values: float | np.ndarray) -> np.ndarray:
    signal = ordinary_ecg(7)
    signal[STANDARD_LEADS.index(lead)] = values
    return signal


def some_invalid() -> np.ndarray:
    signal = ordinary_ecg(7)
    signal[STANDARD_LEADS.index("V3"), 100:120] = np.nan
    return signal


def rewrite(stem: Path, old: str, new: str) -> None:
    header = stem.with_suffix(".hea")
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new))


def truncate(stem: Path) -> None:
    signal = stem.with_suffix(".dat")
    signal.write_bytes(signal.read_bytes()[:9001])


def flip_bits(stem: Path) -> None:
    signal = stem.with_suffix(".dat")
    content = bytearray(signal.read_bytes())
    content[5000:5004] = b"\x01\x02\x03\x04"
    signal.write_bytes(content)


def extend(stem: Path) -> None:
    with stem.with_suffix(".dat").open("ab") as file:
        file.write(bytes(24))


def link(stem: Path, elsewhere: Path) -> None:
    stem.with_suffix(".dat").rename(elsewhere)
    stem.with_suffix(".dat").symlink_to(elsewhere)


def scale_lead(data: SmallDataset, stem: Path) -> None:
    signal = ordinary_ecg(7)
    signal[STANDARD_LEADS.index("II")] *= 1.2
    data.write_record(stem.name, signal)


def swap_leads(stem: Path) -> None:
    rewrite(stem, " 0 aVL\n", " 0 tmp\n")
    rewrite(stem, " 0 II\n", " 0 aVL\n")
    rewrite(stem, " 0 tmp\n", " 0 II\n")


DAMAGE: dict[str, tuple[str, Callable[[SmallDataset, Path], object]]] = {
    "no header": ("missing_file", lambda data, stem: stem.with_suffix(".hea").unlink()),
    "no signal file": ("missing_file", lambda data, stem: stem.with_suffix(".dat").unlink()),
    "empty header": ("bad_header", lambda data, stem: stem.with_suffix(".hea").write_text("")),
    "binary header": ("bad_header", lambda data, stem: stem.with_suffix(".hea").write_bytes(bytes(range(256)))),
    "prose as header": ("bad_header", lambda data, stem: stem.with_suffix(".hea").write_text("this is no header\n")),
    "another record's signal file": (
        "bad_header",
        lambda data, stem: rewrite(stem, f"{stem.name}.dat", "../other.dat"),
    ),
    "header with lines missing": (
        "bad_header",
        lambda data, stem: rewrite(stem, f"{stem.name} 12 100 1000", f"{stem.name} 13 100 1000"),
    ),
    "truncated signal": ("bad_signal", lambda data, stem: truncate(stem)),
    "empty signal": ("bad_signal", lambda data, stem: stem.with_suffix(".dat").write_bytes(b"")),
    "a folder as signal": (
        "unreadable_file",
        lambda data, stem: (stem.with_suffix(".dat").unlink(), stem.with_suffix(".dat").mkdir()),
    ),
    "too long a signal": ("bad_signal", lambda data, stem: extend(stem)),
    "amplitude of microvolts": ("no_signal", lambda data, stem: rewrite(stem, "/mV", "/uV")),
    "a link out of the dataset": ("bad_path", lambda data, stem: link(stem, data.folder.parent / "elsewhere.dat")),
    "a pipe as signal": (
        "unreadable_file",
        lambda data, stem: (stem.with_suffix(".dat").unlink(), os.mkfifo(stem.with_suffix(".dat"))),
    ),
    "a scaled lead": ("lead_identity", lambda data, stem: scale_lead(data, stem)),
    "changed samples": ("checksum", lambda data, stem: flip_bits(stem)),
    "unknown unit": ("unknown_unit", lambda data, stem: rewrite(stem, "/mV", "/mmHg")),
    "gain of zero": ("uncalibrated", lambda data, stem: rewrite(stem, " 1000.0(0)/mV", " 0(0)/mV")),
    "duplicate lead": ("duplicate_lead", lambda data, stem: rewrite(stem, " 0 V2\n", " 0 V1\n")),
    "missing lead": ("missing_lead", lambda data, stem: rewrite(stem, " 0 V4\n", " 0 C4\n")),
    "wrong rate": ("wrong_rate", lambda data, stem: rewrite(stem, " 12 100 ", " 12 250 ")),
    "too short": ("too_short", lambda data, stem: data.write_record(stem.name, ordinary_ecg(7, duration_s=9.99))),
    "invalid samples": ("invalid_samples", lambda data, stem: data.write_record(stem.name, some_invalid())),
    "a lead that is all invalid": (
        "invalid_samples",
        lambda data, stem: data.write_record(stem.name, with_lead("V6", np.nan)),
    ),
    "nothing but zeros": ("no_signal", lambda data, stem: data.write_record(stem.name, np.zeros((12, 1000)))),
    "amplitude of volts": (
        "out_of_range",
        lambda data, stem: data.write_record(stem.name, ordinary_ecg(7) * 100, gain=100.0),
    ),
    "swapped leads": ("lead_identity", lambda data, stem: swap_leads(stem)),
    "a limb lead of another recording": (
        "lead_identity",
        lambda data, stem: data.write_record(stem.name, with_lead("III", ordinary_ecg(8)[1])),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_has_a_reason(dataset: SmallDataset, damage: str) -> None:
    reason, apply = DAMAGE[damage]
    apply(dataset, dataset.stem(1))
    source = open_source("ptbxl", dataset.folder)
    with pytest.raises(BadRecord) as caught:
        source.read(source.records()[0], 100)
    assert caught.value.reason == reason, caught.value
    assert caught.value.reason in REASONS
    assert caught.value.detail
    assert "\n" not in caught.value.detail


def test_links_inside_the_dataset_are_followed(dataset: SmallDataset) -> None:
    link(dataset.stem(1), dataset.folder / "content-00001")
    source = open_source("ptbxl", dataset.folder)
    assert source.read(source.records()[0], 100).shape == (8, 1000)


def test_rates_without_files_are_missing(dataset: SmallDataset) -> None:
    source = open_source("ptbxl", dataset.folder)
    with pytest.raises(BadRecord, match=r"missing_file: 00001_hr\.hea is not there"):
        source.read(source.records()[0], 500)


def test_invalid_samples_after_the_window_do_no_harm(dataset: SmallDataset) -> None:
    signal = ordinary_ecg(7, duration_s=12)
    signal[:, 1100:] = np.nan
    assert read_window(dataset.write_record("late", signal)).shape == (8, 1000)


def test_files_of_a_record_are_those_named_like_it(tmp_path: Path) -> None:
    for name in ("a/1.hea", "a/1.mat", "a/1.dat", "a/10.hea", "a/notes.txt", "2.hea", "2.dat", "1.dat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert record_files(tmp_path, ["a/1", "2", "gone/3"]) == ["2.dat", "2.hea", "a/1.dat", "a/1.hea", "a/1.mat"]


@pytest.mark.parametrize(("failures", "survives"), [(2, True), (3, False)])
def test_transient_errors_are_retried(
    dataset: SmallDataset, monkeypatch: pytest.MonkeyPatch, failures: int, survives: bool
) -> None:
    calls = []
    read = np.fromfile

    def failing(path: Path, *arguments: Any, **options: Any) -> np.ndarray:
        calls.append(path)
        if len(calls) <= failures:
            raise OSError(errno.ESTALE, "Stale file handle", str(path))
        return read(path, *arguments, **options)

    monkeypatch.setattr("warehouse.sources.wfdb_record.np.fromfile", failing)
    monkeypatch.setattr("warehouse.sources.wfdb_record.PAUSE_S", 0.001)
    if survives:
        assert read_window(dataset.stem(1)).shape == (8, 1000)
    else:
        with pytest.raises(BadRecord, match=r"unreadable_file: 00001_lr\.dat: Stale file handle"):
            read_window(dataset.stem(1))
    assert len(calls) == 3
