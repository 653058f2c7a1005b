"""Every signal format of WFDB, by files packed here bit by bit, and what headers may say of gains and baselines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.leads import INDEPENDENT_LEADS
from warehouse.sources.record import BadRecord
from warehouse.sources.recorded_leads import RecordedLeads, Window, first_window, independent_windows
from warehouse.sources.wfdb_record import read_leads

SAMPLES = 1000


def counts(largest: int) -> np.ndarray:
    """(samples, 8) whole numbers that a format of few bits can hold, and whose neighbours differ by 127 at most."""
    time_s = np.arange(SAMPLES) / 100
    phase = np.arange(8) / 3
    return np.rint(largest * np.sin(2 * np.pi * time_s[:, None] + phase)).astype(np.int64)


def write(
    folder: Path,
    values: np.ndarray,
    packed: bytes,
    form: str,
    gain: str = "100/mV",
    checks: bool = True,
    starts: np.ndarray | None = None,
) -> Path:
    lines = [f"r 8 100 {len(values)}"]
    for lead, name in enumerate(INDEPENDENT_LEADS):
        start = 0 if starts is None else starts[lead]
        check = f" 12 0 {start} {values[:, lead].sum() % 65536} 0 {name}" if checks else ""
        lines.append(f"r.dat {form} {gain}{check}")
    (folder / "r.hea").write_text("\n".join(lines) + "\n")
    (folder / "r.dat").write_bytes(packed)
    return folder / "r"


def pack_212(values: np.ndarray) -> bytes:
    first, second = (values.reshape(-1, 2) & 0xFFF).T
    return np.stack([first & 0xFF, (first >> 8) | ((second >> 8) << 4), second & 0xFF], axis=1).astype("u1").tobytes()


def pack_310(values: np.ndarray) -> bytes:
    padded = np.concatenate([values.ravel(), np.zeros(-values.size % 3, np.int64)]).reshape(-1, 3) & 0x3FF
    first, second, third = padded.T
    left, right = (first << 1) | ((third & 0x1F) << 11), (second << 1) | ((third >> 5) << 11)
    return np.stack([left, right], axis=1).astype("<u2").tobytes()


def pack_24(values: np.ndarray) -> bytes:
    return values.astype("<i4").ravel().view("u1").reshape(-1, 4)[:, :3].tobytes()


PACKED: dict[str, tuple[int, Callable[[np.ndarray], bytes]]] = {
    "16": (2000, lambda values: values.astype("<i2").tobytes()),
    "24": (2000, pack_24),
    "32": (2000, lambda values: values.astype("<i4").tobytes()),
    "80": (120, lambda values: (values + 128).astype("u1").tobytes()),
    "212": (2000, pack_212),
    "310": (500, pack_310),
    "16+24": (2000, lambda values: bytes(24) + values.astype("<i2").tobytes()),
}


@pytest.mark.parametrize("form", PACKED)
def test_formats_are_unpacked(tmp_path: Path, form: str) -> None:
    largest, pack = PACKED[form]
    values = counts(largest)
    window = first_window(read_leads(write(tmp_path, values, pack(values), form)), 100, SAMPLES)
    np.testing.assert_allclose(window, values.T / 100, atol=1e-6)


def test_differences_are_added_up(tmp_path: Path) -> None:
    values = counts(1000)
    differences = np.diff(values, axis=0, prepend=values[:1])
    stem = write(tmp_path, values, differences.astype("i1").tobytes(), "8", starts=values[0])
    np.testing.assert_allclose(first_window(read_leads(stem), 100, SAMPLES), values.T / 100, atol=1e-6)


def write_flac(folder: Path, values: np.ndarray) -> Path:
    stem = write(folder, values, b"", "516")
    soundfile.write(str(folder / "r.dat"), values.astype(np.int16), 100, format="FLAC", subtype="PCM_16")
    return stem


def test_flac_is_unpacked(tmp_path: Path) -> None:
    values = counts(2000)
    window = first_window(read_leads(write_flac(tmp_path, values)), 100, SAMPLES)
    np.testing.assert_allclose(window, values.T / 100, atol=1e-6)


@pytest.mark.parametrize("kept", [0, 3, 50, 0.3, 0.5, 0.9, 0.999])
def test_flac_that_is_cut_off_is_a_bad_signal(tmp_path: Path, kept: float) -> None:
    random = np.random.default_rng(1)
    stem = write_flac(tmp_path, counts(1500) + random.integers(-99, 99, (SAMPLES, 8)))
    content = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    with pytest.raises(BadRecord, match="bad_signal"):
        read_leads(stem)


def test_flac_that_is_damaged_inside_is_refused(tmp_path: Path) -> None:
    stem = write_flac(tmp_path, counts(2000) + np.random.default_rng(1).integers(-99, 99, (SAMPLES, 8)))
    content = bytearray((tmp_path / "r.dat").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    (tmp_path / "r.dat").write_bytes(content)
    with pytest.raises(BadRecord, match=r"bad_signal|checksum"):
        read_leads(stem)


def test_flac_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    values = np.zeros((7_000_000, 8), np.int16)
    stem = write(tmp_path, values[:1000], b"", "516", checks=True)
    soundfile.write(str(tmp_path / "r.dat"), values, 100, format="FLAC", subtype="PCM_16")
    assert (tmp_path / "r.dat").stat().st_size < 1_000_000
    for frames in ("7000000", "0", ""):
        text = stem.with_suffix(".hea").read_text()
        stem.with_suffix(".hea").write_text(text.replace(text.splitlines()[0], f"r 8 100 {frames}".rstrip()))
        with pytest.raises(BadRecord, match="too_large"):
            read_leads(stem)


@pytest.mark.parametrize(
    ("gain", "per_mv", "baseline"),
    [
        ("1000(0)/mV", 1000, 0),
        ("200(-5)/mV", 200, -5),
        ("200(+7)/mV", 200, 7),
        ("1e3/mV", 1000, 0),
        ("1E3/mV", 1000, 0),
        ("200.5", 200.5, 0),
        ("0.2(3)/uV", 200, 3),
        (".5/uV", 500, 0),
    ],
)
def test_gains_and_baselines(tmp_path: Path, gain: str, per_mv: float, baseline: int) -> None:
    values = counts(2000)
    stem = write(tmp_path, values, values.astype("<i2").tobytes(), "16", gain)
    window = first_window(read_leads(stem), 100, SAMPLES)
    np.testing.assert_allclose(window, (values.T - baseline) / per_mv, rtol=1e-5, atol=1e-6)


def test_without_a_baseline_the_zero_of_the_converter_is_it(tmp_path: Path) -> None:
    values = counts(900) + 1024
    stem = write(tmp_path, values, values.astype("<i2").tobytes(), "16", "200")
    stem.with_suffix(".hea").write_text(stem.with_suffix(".hea").read_text().replace(" 12 0 0 ", " 12 1024 0 "))
    np.testing.assert_allclose(first_window(read_leads(stem), 100, SAMPLES), (values.T - 1024) / 200, atol=1e-6)


@pytest.mark.parametrize(
    ("gain", "reason"),
    [
        ("0/mV", "uncalibrated"),
        ("-200/mV", "uncalibrated"),
        ("200/mmHg", "unknown_unit"),
        ("1,000/mV", "bad_header"),
        ("1e400/mV", "bad_header"),
        ("nan/mV", "bad_header"),
        ("200(1.5)/mV", "bad_header"),
        ("100000/uV", "no_signal"),
    ],
)
def test_gains_that_mean_nothing(tmp_path: Path, gain: str, reason: str) -> None:
    values = counts(2000)
    stem = write(tmp_path, values, values.astype("<i2").tobytes(), "16", gain)
    with pytest.raises(BadRecord, match=reason):
        first_window(read_leads(stem), 100, SAMPLES)


def test_several_samples_in_a_frame_are_a_higher_rate(tmp_path: Path) -> None:
    values = counts(2000)
    stem = write(tmp_path, values, values.reshape(500, 2, 8).transpose(0, 2, 1).astype("<i2").tobytes(), "16x2")
    header = stem.with_suffix(".hea")
    header.write_text(header.read_text().replace("r 8 100 1000", "r 8 50 500"))
    recorded = read_leads(stem)
    assert recorded.rate_hz == 100
    np.testing.assert_allclose(first_window(recorded, 100, SAMPLES), values.T / 100, atol=1e-6)


def test_leads_of_fewer_samples_in_a_frame_are_resampled(tmp_path: Path) -> None:
    values = counts(1000)
    pairs = values.reshape(500, 2, 8)[:, :, :7].transpose(0, 2, 1).reshape(500, 14)
    frames = np.concatenate([pairs, values[::2, 7:]], axis=1)
    stem = write(tmp_path, values, frames.astype("<i2").tobytes(), "16x2", checks=False)
    header = stem.with_suffix(".hea")
    sums = [*values[:, :7].sum(axis=0) % 65536, values[::2, 7].sum() % 65536]
    lines = [
        f"r.dat {'16x2' if lead < 7 else '16'} 100/mV 12 0 0 {total} 0 {name}"
        for lead, (name, total) in enumerate(zip(INDEPENDENT_LEADS, sums, strict=True))
    ]
    header.write_text("\n".join(["r 8 50 500", *lines]) + "\n")
    window = first_window(read_leads(stem), 100, SAMPLES)
    np.testing.assert_allclose(window[:7], values.T[:7] / 100, atol=1e-6)
    np.testing.assert_allclose(window[7, 30:-30], values.T[7, 30:-30] / 100, atol=0.05)


@pytest.mark.parametrize("rate_hz", [100, 257, 360, 500, 1000, 2000])
def test_records_of_other_rates_are_resampled(rate_hz: int) -> None:
    def wave(rate: float) -> np.ndarray:
        time_s = np.arange(round(10 * rate)) / rate
        return 0.4 + np.sin(2 * np.pi * 7 * time_s) + 0.3 * np.sin(2 * np.pi * 23 * time_s)

    recorded = RecordedLeads(float(rate_hz), {lead: wave(rate_hz) for lead in INDEPENDENT_LEADS})
    window = first_window(recorded, 100, SAMPLES)
    np.testing.assert_allclose(window[:, 20:-20], np.tile(wave(100), (8, 1))[:, 20:-20], atol=0.01)


def test_marks_of_invalid_samples_are_bridged_where_few_and_refused_where_many(tmp_path: Path) -> None:
    values = counts(2000)
    for length, start in ((2, 500), (3, 500), (1, 0)):
        damaged = values.copy()
        damaged[start : start + length, 3] = -32768
        damaged[0, 0] = -2000  # the smallest number that counts
        (window,) = independent_windows(
            read_leads(write(tmp_path, damaged, damaged.astype("<i2").tobytes(), "16")), 100, SAMPLES
        )
        if (length, start) == (2, 500):
            assert isinstance(window, Window)
            assert window.bridged == ("V2",)
            ends = values[[499, 502], 3] / 100
            np.testing.assert_allclose(
                window.millivolts[3, 500:502], ends[0] + np.diff(ends) * [1 / 3, 2 / 3], atol=1e-6
            )
        else:
            assert not isinstance(window, Window)
            assert window.why.reason == "invalid_samples"


def test_long_recordings_give_all_their_windows(tmp_path: Path) -> None:
    values = np.concatenate([counts(2000), counts(1000), counts(500), counts(100)[:300]])
    values[1400:1500, 5] = -32768
    recorded = read_leads(write(tmp_path, values, values.astype("<i2").tobytes(), "16"))
    first, second, third = independent_windows(recorded, 100, SAMPLES, every=True)
    assert isinstance(first, Window) and isinstance(third, Window) and not isinstance(second, Window)
    assert (first.start_s, second.start_s, third.start_s) == (0, 10, 20)
    np.testing.assert_allclose(third.millivolts, values[2000:3000].T / 100, atol=1e-6)
    assert second.why.reason == "invalid_samples"
    assert len(independent_windows(recorded, 100, SAMPLES)) == 1


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_headers_with_ends_of_lines_and_encodings_of_other_systems(tmp_path: Path, ends: str, encoding: str) -> None:
    values = counts(2000)
    stem = write(tmp_path, values, values.astype("<i2").tobytes(), "16")
    text = stem.with_suffix(".hea").read_text() + "# Größe: 170\n\n"
    stem.with_suffix(".hea").write_bytes(text.replace("\n", ends).encode(encoding))
    np.testing.assert_allclose(first_window(read_leads(stem), 100, SAMPLES), values.T / 100, atol=1e-6)


def test_names_of_leads_in_other_spellings(tmp_path: Path) -> None:
    values = counts(2000)
    stem = write(tmp_path, values, values.astype("<i2").tobytes(), "16")
    header = stem.with_suffix(".hea")
    text = header.read_text()
    for name, other in (("II", "MLII"), ("I", "DI"), ("V1", "Lead v1"), ("V2", "v2")):
        text = text.replace(f" 0 {name}\n", f" 0 {other}\n")
    header.write_text(text)
    assert list(read_leads(stem).millivolts) == list(INDEPENDENT_LEADS)
    header.write_text(text.replace(" 0 V6\n", " 0 DII\n"))
    with pytest.raises(BadRecord, match="duplicate_lead: lead II"):
        read_leads(stem)
