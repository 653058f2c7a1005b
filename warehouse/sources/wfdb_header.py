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

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RECORD = re.compile(
    rf"(?P<name>[^\s/]+)(?P<segments>/\d+)?\s+(?P<signals>\d+)"
    rf"(?:\s+(?P<rate>{_NUMBER})(?:/{_NUMBER}(?:\(-?{_NUMBER}\))?)?(?:\s+(?P<samples>\d+)(?:\s+\S+){{0,2}})?)?\s*"
)
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
class Header:
    """What a header says of a record of one segment."""

    rate_hz: float
    """Frames per second."""
    frames: int | None
    """None where the header leaves it to the signal file's size."""
    signals: tuple[SignalLine, ...]


def parse_header(content: bytes, stem: str) -> Header:
    """Parse a header.

    Args:
        content: the file, in UTF-8 or Latin-1, with line ends of any system.
        stem: the record's name, which its signal files share.

    Raises:
        BadRecord: it is no valid header, describes several segments or no signal, names another record's file, or
            does not say what a digital unit is worth.
    """
    if len(content) > LARGEST_BYTES:
        raise BadRecord("bad_header", f"{stem}.hea has {len(content)} bytes; at most {LARGEST_BYTES} are read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text)]
    lines = [line for line in lines if line and not line.startswith("#")]
    first = _RECORD.fullmatch(lines[0]) if lines else None
    if first is None:
        raise BadRecord("bad_header", f"{stem}.hea does not begin with a record line")
    if first["segments"]:
        raise BadRecord("several_segments", f"{stem}.hea joins segments of other records; name the segments instead")
    count, rate_hz = _whole(first["signals"], stem), _decimal(first["rate"] or "250", stem)
    if not 0 < rate_hz <= LARGEST_RATE_HZ:
        raise BadRecord("bad_header", f"{stem}.hea states a sampling rate of {rate_hz:g} Hz")
    if count == 0 or count != len(lines) - 1:
        raise BadRecord("bad_header", f"{stem}.hea promises {count} signals and describes {len(lines) - 1}")
    signals = tuple(_signal(line, number, stem) for number, line in enumerate(lines[1:], start=1))
    frames = _whole(first["samples"], stem) if first["samples"] else 0
    check_size(stem, frames, signals)
    return Header(rate_hz, frames or None, signals)


def check_size(stem: str, frames: int, signals: tuple[SignalLine, ...]) -> None:
    """Raise BadRecord where a record holds more samples than are decoded: nobody's ten seconds, but a bomb's."""
    if (samples := frames * sum(one.per_frame for one in signals)) > LARGEST_SAMPLES:
        raise BadRecord(
            "too_large", f"{stem} promises {samples:.3g} samples; at most {LARGEST_SAMPLES:.3g} are decoded"
        )


def _signal(line: str, number: int, stem: str) -> SignalLine:
    found = _SIGNAL.fullmatch(line)
    if found is None:
        raise BadRecord("bad_header", f"{stem}.hea: signal line {number} is not valid")
    file, lead = found["file"], found["lead"] or ""
    # A header may name any file; one record's files share its name and folder.
    if "/" in file or "\\" in file or posixpath.splitext(file)[0] != stem:
        raise BadRecord("bad_header", f"{stem}.hea refers to {file[:200]!r}, which is not a file of this record")
    if found["format"] not in INVALID_SAMPLE:
        raise BadRecord("bad_header", f"{stem}.hea: signal format {found['format'][:20]} is not known")
    per_frame = _whole(found["per_frame"] or "1", stem)
    if per_frame == 0:
        raise BadRecord("bad_header", f"{stem}.hea: signal {number} has no sample in a frame")
    gain = _decimal(found["gain"] or "0", stem)
    if gain <= 0:
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
