"""The text of a WFDB header, parsed strictly: what is not the format is refused, not guessed.

The format: https://www.physionet.org/physiotools/wag/header-5.htm. The wfdb library reads the longest start of a field
that it understands ("1E3/mV" as a gain of 1) and drops what is not ASCII (µV becomes V).
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from warehouse.sources.record import BadRecord

MILLIVOLTS_PER_UNIT = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}
"""Units a header may name, in lower case; both micro signs of Unicode occur."""
INVALID_SAMPLE = {
    "8": None,  # differences: every value is one
    "16": -(2**15),
    "24": -(2**23),
    "32": -(2**31),
    "61": -(2**15),
    "80": -(2**7),
    "160": -(2**15),
    "212": -(2**11),
    "310": -(2**9),
    "311": -(2**9),
    "508": -(2**7),
    "516": -(2**15),
    "524": -(2**23),
}
"""Signal formats, and the value that marks an invalid sample in each (signal-5.htm)."""
LARGEST_BYTES = 1_000_000
LARGEST_SAMPLES = 50_000_000
"""Samples of all signals together: 0.4 GB decoded, more than two hours of twelve leads at 500 Hz."""
LARGEST_RATE_HZ = 100_000.0
LARGEST_SEGMENTS = 10_000
NO_SEGMENT = "~"
"""Names a segment, or the file of a layout's signals, that is not there."""

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RECORD = re.compile(
    rf"(?P<name>[^\s/]+)(?P<segments>/\d+)?\s+(?P<signals>\d+)"
    rf"(?:\s+(?P<rate>{_NUMBER})(?:/{_NUMBER}(?:\(-?{_NUMBER}\))?)?(?:\s+(?P<samples>\d+)(?:\s+\S+){{0,2}})?)?\s*"
)
_SEGMENT = re.compile(r"(?P<name>[^\s/\\]+)\s+(?P<samples>\d+)")
_SIGNAL = re.compile(
    rf"(?P<file>\S+)\s+(?P<format>\d+)(?:x(?P<per_frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?"
    rf"(?:\s+(?P<gain>[-+]?{_NUMBER})(?:\((?P<baseline>[-+]?\d+)\))?(?:/(?P<unit>\S+))?"
    r"(?:\s+\d+(?:\s+(?P<zero>[-+]?\d+)(?:\s+[-+]?\d+(?:\s+(?P<checksum>[-+]?\d+)(?:\s+[-+]?\d+"
    r"(?:\s+(?P<lead>.*?))?)?)?)?)?)?)?\s*"
)


@dataclass(frozen=True)
class SignalLine:
    """What a header says of one signal."""

    number: int
    """From 1, in the header's order."""
    file: str
    format: str
    per_frame: int
    skew: int
    offset: int
    gain: float
    """Digital units per `unit`; above 0."""
    baseline: int
    unit: str
    checksum: int | None
    lead: str


@dataclass(frozen=True)
class Segments:
    """What a header says of a record that joins others."""

    rate_hz: float
    """Frames per second."""
    parts: tuple[tuple[str, int], ...]
    """Name and frames of each segment in time's order; `NO_SEGMENT` for a stretch without signals."""
    layout: str
    """The header that names all signals, of which each segment holds some; "" where each segment holds all."""


@dataclass(frozen=True)
class Header:
    """What a header says of a record of one segment."""

    rate_hz: float
    """Frames per second."""
    frames: int | None
    """None where the header leaves it to the signal file's size."""
    signals: tuple[SignalLine, ...]


def parse(content: bytes, stem: str) -> Header | Segments:
    """Parse a header, of one segment or of several.

    Args:
        content: the file, in UTF-8 or Latin-1, with line ends of any system.
        stem: the record's name, which its signal files share.

    Raises:
        BadRecord: it is no valid header, describes no signal, names another record's file, does not say what a digital
            unit is worth, or counts of segments contradict each other.
    """
    first, lines = _record_line(content, stem)
    return _segments(first, lines, stem) if first["segments"] else _header(first, lines, stem, layout=False)


def parse_header(content: bytes, stem: str, layout: bool = False) -> Header:
    """Parse the header of one segment, as `parse` does.

    Args:
        layout: whether it is the layout of a record of several segments, whose signals have no files.

    Raises:
        BadRecord: as `parse` says, or it joins segments of other records.
    """
    first, lines = _record_line(content, stem)
    if first["segments"]:
        raise BadRecord("several_segments", f"{stem}.hea joins segments of other records, where one record is wanted")
    return _header(first, lines, stem, layout)


def _header(first: re.Match[str], lines: list[str], stem: str, layout: bool) -> Header:
    count, rate_hz = _whole(first["signals"], stem), _rate(first["rate"], stem)
    if count == 0 or count != len(lines):
        raise BadRecord("bad_header", f"{stem}.hea promises {count} signals and describes {len(lines)}")
    signals = tuple(_signal(line, number, stem, layout) for number, line in enumerate(lines, start=1))
    frames = _whole(first["samples"], stem) if first["samples"] else 0
    check_size(stem, frames, signals)
    return Header(rate_hz, frames or None, signals)


def _segments(first: re.Match[str], lines: list[str], stem: str) -> Segments:
    count = _whole(first["segments"].removeprefix("/"), stem)
    if not 0 < count <= LARGEST_SEGMENTS or count != len(lines):
        raise BadRecord("bad_header", f"{stem}.hea promises {count} segments and lists {len(lines)}")
    parts = []
    for number, line in enumerate(lines, start=1):
        found = _SEGMENT.fullmatch(line)
        # Segments are files beside their record, and none joins others itself.
        if found is None or found["name"] == stem or found["name"].startswith("."):
            raise BadRecord("bad_header", f"{stem}.hea: segment {number} is not a name and a number of samples")
        parts.append((found["name"], _whole(found["samples"], stem)))
    layout = parts.pop(0)[0] if parts[0][1] == 0 else ""
    frames = sum(samples for _, samples in parts)
    if not parts or min(samples for _, samples in parts) == 0:
        raise BadRecord("bad_header", f"{stem}.hea lists a segment without samples")
    if not layout and any(name == NO_SEGMENT for name, _ in parts):
        raise BadRecord("bad_header", f"{stem}.hea has a gap, but no layout that says of which signals")
    if first["samples"] and (promised := _whole(first["samples"], stem)) != frames:
        raise BadRecord("bad_header", f"{stem}.hea promises {promised} samples; those of its segments are {frames}")
    _check_samples(stem, frames * max(1, _whole(first["signals"], stem)))
    return Segments(_rate(first["rate"], stem), tuple(parts), layout)


def header_lines(content: bytes, name: str) -> list[str]:
    """Lines of a header that hold anything, comments included, in UTF-8 or Latin-1 and with line ends of any system.

    Raises:
        BadRecord: it is larger than headers are.
    """
    if len(content) > LARGEST_BYTES:
        raise BadRecord("bad_header", f"{name} has {len(content)} bytes; at most {LARGEST_BYTES} are read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return [line for line in (line.strip() for line in re.split(r"\r\n|\r|\n", text)) if line]


def _record_line(content: bytes, stem: str) -> tuple[re.Match[str], list[str]]:
    """The first line that is no comment, taken apart, and those after it."""
    lines = [line for line in header_lines(content, f"{stem}.hea") if not line.startswith("#")]
    first = _RECORD.fullmatch(lines[0]) if lines else None
    if first is None:
        raise BadRecord("bad_header", f"{stem}.hea does not begin with a record line")
    return first, lines[1:]


def _rate(text: str | None, stem: str) -> float:
    rate_hz = _decimal(text or "250", stem)
    if not 0 < rate_hz <= LARGEST_RATE_HZ:
        raise BadRecord("bad_header", f"{stem}.hea states a sampling rate of {rate_hz:g} Hz")
    return rate_hz


def check_size(stem: str, frames: int, signals: tuple[SignalLine, ...]) -> None:
    """Raise BadRecord where a record holds more samples than are decoded: nobody's ten seconds, but a bomb's."""
    _check_samples(stem, frames * sum(one.per_frame for one in signals))


def _check_samples(stem: str, samples: int) -> None:
    if samples > LARGEST_SAMPLES:
        raise BadRecord(
            "too_large", f"{stem} promises {samples:.3g} samples; at most {LARGEST_SAMPLES:.3g} are decoded"
        )


def _signal(line: str, number: int, stem: str, layout: bool) -> SignalLine:
    found = _SIGNAL.fullmatch(line)
    if found is None:
        raise BadRecord("bad_header", f"{stem}.hea: signal line {number} is not valid")
    file, lead = found["file"], found["lead"] or ""
    # A header may name any file; one record's files share its name and folder.
    if layout:
        if (file, found["format"]) != (NO_SEGMENT, "0"):
            raise BadRecord("bad_header", f"{stem}.hea is no layout: signal {number} has a file")
    elif "/" in file or "\\" in file or posixpath.splitext(file)[0] != stem:
        raise BadRecord("bad_header", f"{stem}.hea refers to {file[:200]!r}, which is not a file of this record")
    elif found["format"] not in INVALID_SAMPLE:
        raise BadRecord("bad_header", f"{stem}.hea: signal format {found['format'][:20]} is not known")
    per_frame = _whole(found["per_frame"] or "1", stem)
    if per_frame == 0:
        raise BadRecord("bad_header", f"{stem}.hea: signal {number} has no sample in a frame")
    gain = _decimal(found["gain"] or "0", stem)
    if gain <= 0 and not layout:
        raise BadRecord("uncalibrated", f"lead {lead[:40]} has {f'a gain of {gain:g}' if found['gain'] else 'no gain'}")
    checksum = found["checksum"]
    return SignalLine(
        number=number,
        file=file,
        format=found["format"],
        per_frame=per_frame,
        skew=_whole(found["skew"] or "0", stem),
        offset=_whole(found["offset"] or "0", stem),
        gain=gain,
        # The format's rule: without a baseline, the ADC's zero is it.
        baseline=_whole(found["baseline"] or found["zero"] or "0", stem),
        unit=found["unit"] or "mV",
        checksum=None if checksum is None else _whole(checksum, stem),
        lead=lead,
    )


def _whole(text: str, stem: str) -> int:
    if len(text) > 18:
        raise BadRecord("bad_header", f"{stem}.hea holds the number {text[:20]}…")
    return int(text)


def _decimal(text: str, stem: str) -> float:
    value = float(text)
    if value == float("inf"):
        raise BadRecord("bad_header", f"{stem}.hea holds the number {text[:20]}")
    return value
