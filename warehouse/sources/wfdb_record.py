"""One WFDB record, decoded by lead name into mV, with everything checked that the format lets one check.

The WFDB signal formats: https://www.physionet.org/physiotools/wag/signal-5.htm. The wfdb library unpacks them; the
header is read here (`wfdb_header`).
"""

from __future__ import annotations

import os
import posixpath
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import wfdb

from models.leads import canonical_lead
from warehouse.errors import TRANSIENT_ERRORS
from warehouse.sources.record import BadRecord
from warehouse.sources.recorded_leads import RecordedLeads, resampled
from warehouse.sources.wfdb_header import (
    INVALID_SAMPLE,
    LARGEST_BYTES,
    MILLIVOLTS_PER_UNIT,
    NO_SEGMENT,
    Header,
    Segments,
    SignalLine,
    check_size,
    parse,
    parse_header,
)

ATTEMPTS = 3
PAUSE_S = 0.2
BITS = {"212": 12, "310": 32 / 3, "311": 32 / 3, "80": 8, "8": 8, "24": 24, "32": 32}
"""Bits of a sample at rest; 16 in the other formats."""
_DECODING_ERRORS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    MemoryError,
)
"""What wfdb and libsndfile raise on files that are not what the format says; they have no exceptions of their own."""
COMPRESSED = ("508", "516", "524")
PADDING_BYTES = 4
"""Formats that pack samples pad the file to a whole group."""


def record_files(folder: Path, stems: Iterable[str]) -> list[str]:
    """Paths inside a dataset of every file that is named like one of its records, sorted.

    A record's header may name signal files with any extension, but none of another name (`read_leads` refuses that).

    Args:
        folder: the dataset's folder.
        stems: paths of records inside it, without extension.
    """
    wanted = set(stems)
    found: list[str] = []
    for parent in {posixpath.dirname(stem) for stem in wanted}:
        try:
            with os.scandir(folder / parent) as entries:
                names = [entry.name for entry in entries]
        except OSError:
            continue  # its records are quarantined, as their files cannot be read
        paths = [posixpath.join(parent, name) for name in names]
        found += [path for path in paths if posixpath.splitext(path)[0] in wanted]
    return sorted(found)


def read_leads(stem: Path, folder: Path | None = None) -> RecordedLeads:
    """Decode a record.

    Args:
        stem: absolute path of the record without extension.
        folder: the dataset's folder, which no link may lead out of; None for the record's own.

    Raises:
        BadRecord: why it cannot be decoded, or not with certainty.
    """
    within = (folder or stem.parent).resolve()
    if "::" in str(stem) or "://" in str(stem):
        raise BadRecord("bad_path", f"{stem.name} is named like an address, which wfdb would follow")
    header, signals = _read(stem, within)
    return _joined(stem, header, within) if isinstance(header, Segments) else _leads(header, signals)


def _read(stem: Path, within: Path) -> tuple[Header | Segments, list[np.ndarray]]:
    """A record's header, and the samples of its signals if it has its own."""
    attempt = 0
    while True:
        attempt += 1
        try:
            header = parse(_header_bytes(stem, within), stem.name)
            return header, [] if isinstance(header, Segments) else _digital(stem, header, within)
        except FileNotFoundError as error:
            raise BadRecord("missing_file", f"{Path(error.filename or stem).name} is not there") from None
        except OSError as error:
            if error.errno not in TRANSIENT_ERRORS or attempt == ATTEMPTS:
                place = Path(error.filename or stem).name
                raise BadRecord("unreadable_file", f"{place}: {error.strerror or error}") from None
            time.sleep(PAUSE_S * attempt)


def _leads(header: Header, signals: list[np.ndarray]) -> RecordedLeads:
    names = _lead_names([one.lead for one in header.signals])
    leads = dict(zip(names, _millivolts(header.signals, signals), strict=True))
    most = max(one.per_frame for one in header.signals)
    for name, line in zip(names, header.signals, strict=True):
        if line.per_frame != most:
            leads[name] = resampled(leads[name], most, line.per_frame)
    return RecordedLeads(header.rate_hz * most, leads)


def _joined(stem: Path, segments: Segments, within: Path) -> RecordedLeads:
    """The segments of a record after each other; NaN where there is none, or none of a lead.

    The wfdb library joins, too, but takes the leads of the first segment for those of all, and checks no length.
    """
    parts: dict[str, RecordedLeads] = {}
    for name in dict.fromkeys(name for name, _ in segments.parts if name != NO_SEGMENT):
        header, signals = _read(stem.with_name(name), within)
        if isinstance(header, Segments):
            raise BadRecord("several_segments", f"{name}, a segment of {stem.name}, joins segments itself")
        parts[name] = _leads(header, signals)
    if len({part.rate_hz for part in parts.values()}) != 1:
        raise BadRecord("bad_header", f"segments of {stem.name} are sampled at different rates")
    rate_hz = next(iter(parts.values())).rate_hz
    if (per_frame := rate_hz / segments.rate_hz) != int(per_frame):
        raise BadRecord("bad_header", f"{stem.name}.hea states another sampling rate than its segments")
    if segments.layout:
        try:
            content = _header_bytes(stem.with_name(segments.layout), within)
        except OSError as error:
            raise BadRecord("missing_file", f"{segments.layout}.hea: {error.strerror or error}") from None
        layout = parse_header(content, segments.layout, layout=True)
        leads = _lead_names([one.lead for one in layout.signals])
    else:
        leads = [*parts[segments.parts[0][0]].millivolts]
    held: dict[str, list[np.ndarray]] = {lead: [] for lead in leads}
    for name, frames in segments.parts:
        there = parts[name].millivolts if name in parts else {}
        samples = round(frames * per_frame)
        if there and len(next(iter(there.values()))) != samples:
            raise BadRecord(
                "bad_signal", f"segment {name} does not hold the {frames} samples that {stem.name}.hea says"
            )
        if not {*there} <= {*leads} or not (segments.layout or {*there} == {*leads}):
            raise BadRecord("bad_header", f"segment {name} holds other leads than {stem.name}.hea says")
        for lead in leads:
            held[lead].append(there.get(lead, np.full(samples, np.nan)))
    return RecordedLeads(rate_hz, {lead: np.concatenate(pieces) for lead, pieces in held.items()})


def _header_bytes(stem: Path, within: Path) -> bytes:
    path = stem.with_name(f"{stem.name}.hea")
    _check_place(path, within)
    with path.open("rb") as file:
        return file.read(LARGEST_BYTES + 1)


def _check_place(path: Path, within: Path) -> None:
    """Refuse links that lead out of the dataset, and what is no file, such as a pipe that never ends."""
    if not Path(os.path.realpath(path)).is_relative_to(within):
        raise BadRecord("bad_path", f"{path.name} is a link that leaves the dataset's folder")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise BadRecord("unreadable_file", f"{path.name} is not a file")


def _digital(stem: Path, header: Header, within: Path) -> list[np.ndarray]:
    """Samples of each signal in digital units, as its file holds them.

    Raises:
        BadRecord: the files do not hold what the header says.
        OSError: the operating system cannot read a file.
    """
    by_file = defaultdict(list)
    for line in header.signals:
        by_file[line.file].append(line)
    for file, lines in by_file.items():
        _check_file(stem.with_name(file), header, lines, within)
    plain = all(one.format == "16" and one.per_frame == 1 and not one.skew for one in header.signals)
    signals = _plain(stem, by_file) if plain else _unpacked(stem, header)
    lengths = {samples.size // line.per_frame for samples, line in zip(signals, header.signals, strict=True)}
    if len(lengths) != 1 or header.frames not in (None, *lengths):
        raise BadRecord("bad_signal", f"{stem.name} holds {max(lengths)} samples, not {header.frames or min(lengths)}")
    for line, total in zip(header.signals, _sums(signals), strict=True):
        if line.checksum is not None and (line.checksum - int(total)) % 65536:
            raise BadRecord("checksum", f"lead {line.lead}: the samples do not add up to the header's checksum")
    return signals


def _plain(stem: Path, by_file: dict[str, list[SignalLine]]) -> list[np.ndarray]:
    """Signals in the format of nearly all records, of each file in its order.

    The wfdb library spends most of its time on parsing the header again.
    """
    found: dict[int, np.ndarray] = {}
    for file, lines in by_file.items():
        values = np.fromfile(stem.with_name(file), "<i2", offset=lines[0].offset)
        frames = values[: values.size // len(lines) * len(lines)].reshape(-1, len(lines))
        found |= {line.number: lead for line, lead in zip(lines, np.ascontiguousarray(frames.T), strict=True)}
    return [found[number] for number in sorted(found)]


def _unpacked(stem: Path, header: Header) -> list[np.ndarray]:
    with _decoding(stem.name):
        record = wfdb.rdrecord(str(stem), physical=False, smooth_frames=False)
        signals = [np.asarray(samples) for samples in record.e_d_signal]
        understood = [(str(one), int(many or 1)) for one, many in zip(record.fmt, record.samps_per_frame, strict=True)]
    # wfdb parses the header itself; where it understood something else, its samples are not these.
    if understood != [(one.format, one.per_frame) for one in header.signals]:
        raise BadRecord("bad_header", f"{stem.name}.hea can be read in two ways")
    return signals


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """A record that a decoder cannot read is a bad one."""
    try:
        yield
    except _DECODING_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadRecord("bad_signal", f"{name} cannot be decoded: {reason}") from None


def _check_file(path: Path, header: Header, lines: list[SignalLine], within: Path) -> None:
    """Compare a signal file's size with what the header promises, before anything is unpacked."""
    _check_place(path, within)
    size, offset, per_frame = path.stat().st_size, lines[0].offset, sum(one.per_frame for one in lines)
    if path.is_dir():
        raise IsADirectoryError(21, "Is a directory", str(path))
    if len({(one.format, one.offset) for one in lines}) > 1:
        raise BadRecord("bad_header", f"{path.stem}.hea gives {path.name} several formats")
    if lines[0].format in COMPRESSED:
        import soundfile

        with _decoding(path.stem):
            frames = soundfile.info(str(path)).frames // lines[0].per_frame
        check_size(path.stem, frames, tuple(header.signals))
        if header.frames is not None and frames - offset != header.frames:
            raise BadRecord("bad_signal", f"{path.name} holds {frames} samples, not {header.frames}")
        return
    bits = BITS.get(lines[0].format, 16)
    if header.frames is None:
        check_size(path.stem, int((size - offset) * 8 / bits / per_frame), tuple(header.signals))
        return
    needed = offset + int(np.ceil(header.frames * per_frame * bits / 8))
    if not needed <= size < needed + PADDING_BYTES + 1:
        raise BadRecord("bad_signal", f"{path.name} holds {size} bytes; its header promises {needed}")


def _lead_names(names: list[str]) -> list[str]:
    """The standard name of each channel; a channel that is no standard lead keeps its own."""
    found: list[str] = []
    for name in names:
        try:
            lead = canonical_lead(name)
        except ValueError:
            # Two signals of one name that nobody reads do no harm.
            lead = name if name not in found else f"{name} ({len(found) + 1})"
        if lead in found:
            raise BadRecord("duplicate_lead", f"lead {lead} is named twice")
        found.append(lead)
    return found


def _sums(signals: list[np.ndarray]) -> list[np.ndarray]:
    """Sum of each signal's samples."""
    if len({samples.size for samples in signals}) == 1:
        return [*np.stack(signals).sum(axis=1, dtype=np.int64)]
    return [samples.sum(dtype=np.int64) for samples in signals]


def _millivolts(lines: Sequence[SignalLine], signals: list[np.ndarray]) -> list[np.ndarray]:
    """Samples of each signal in mV, float64; NaN where the format's mark says that a sample is invalid."""
    for line in lines:
        if line.unit.lower() not in MILLIVOLTS_PER_UNIT:
            raise BadRecord("unknown_unit", f"lead {line.lead} is in {line.unit[:40]!r}; known are V, mV, µV and nV")
    if len({samples.size for samples in signals}) > 1:
        return [_millivolts([line], [samples])[0] for line, samples in zip(lines, signals, strict=True)]
    digital = np.stack(signals)
    scale = np.array([MILLIVOLTS_PER_UNIT[line.unit.lower()] / line.gain for line in lines])
    values = (digital - np.array([line.baseline for line in lines], np.float64)[:, None]) * scale[:, None]
    for mark in {INVALID_SAMPLE[line.format] for line in lines} - {None}:
        marked = np.array([INVALID_SAMPLE[line.format] == mark for line in lines])
        values[(digital == mark) & marked[:, None]] = np.nan
    return [*values]
