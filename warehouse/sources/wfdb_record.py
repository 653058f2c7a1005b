"""One WFDB record, decoded by lead name into mV, with everything checked that the format lets one check.

The WFDB header and signal formats: https://www.physionet.org/physiotools/wag/header-5.htm and signal-5.htm.
"""

from __future__ import annotations

import os
import posixpath
import re
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import wfdb

from models.leads import canonical_lead
from warehouse.errors import TRANSIENT_ERRORS
from warehouse.sources.record import BadRecord
from warehouse.sources.recorded_leads import RecordedLeads

MILLIVOLTS_PER_UNIT = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}
"""Units a header may name, in lower case; both micro signs of Unicode occur."""

ATTEMPTS = 3
PAUSE_S = 0.2

# What wfdb raises on headers and signals that are not what the format says; it has no common exception of its own.
_DECODING_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


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


def read_leads(stem: Path) -> RecordedLeads:
    """Decode a record.

    Args:
        stem: absolute path of the record without extension.

    Raises:
        BadRecord: why it cannot be decoded, or not with certainty.
    """
    record, units = _load(stem)
    names = _lead_names(record.sig_name)
    _check_checksums(record)
    scale = [_scale(name, unit) for name, unit in zip(record.sig_name, units, strict=True)]
    millivolts = record.dac().T * np.asarray(scale)[:, None]
    return RecordedLeads(float(record.fs), dict(zip(names, millivolts, strict=True)))


def _load(stem: Path) -> tuple[wfdb.Record, list[str]]:
    """The record in digital units, header and signal decoded, and the unit of each signal."""
    header = stem.with_name(f"{stem.name}.hea")
    attempt = 0
    while True:
        attempt += 1
        try:
            _check_header(header)
            record = wfdb.rdrecord(str(stem), physical=False)
            return record, _units(header, record.sig_name)
        except FileNotFoundError as error:
            raise BadRecord("missing_file", f"{Path(error.filename or header).name} is not there") from None
        except OSError as error:
            if error.errno not in TRANSIENT_ERRORS or attempt == ATTEMPTS:
                place = Path(error.filename or header).name
                raise BadRecord("unreadable_file", f"{place}: {error.strerror or error}") from None
            time.sleep(PAUSE_S * attempt)
        except MemoryError:
            raise BadRecord("bad_header", f"{header.name} promises more samples than fit into memory") from None
        except _DECODING_ERRORS as error:
            raise BadRecord("bad_signal", f"{stem.name} cannot be decoded: {_one_line(error)}") from None


def _check_header(path: Path) -> None:
    """Refuse headers that wfdb would read as something else than what they say."""
    try:
        header = wfdb.rdheader(str(path.with_suffix("")))
    except _DECODING_ERRORS as error:
        raise BadRecord("bad_header", f"{path.name} is not a valid header: {_one_line(error)}") from None
    if not isinstance(header, wfdb.Record) or not header.n_sig or not header.fs:
        raise BadRecord("bad_header", f"{path.name} describes no single-segment signal")
    for name in set(header.file_name):
        # A header may name any file; one record's files share its name and folder.
        if Path(name).name != name or Path(name).stem != path.stem:
            raise BadRecord("bad_header", f"{path.name} refers to {name!r}, which is not a file of this record")


def _units(path: Path, names: list[str]) -> list[str]:
    """Each signal's unit, from the header's text.

    wfdb replaces a gain that is absent or 0 by 200, and reads µV as V, since it drops what is not ASCII.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    signals = [fields for fields in lines if fields][1:]
    units = []
    for fields, name in zip(signals, names, strict=False):
        gain, _, unit = (fields[2] if len(fields) > 2 else "").partition("/")
        number = re.match(r"[-+.\deE]+", gain)
        if not number or not any(digit in "123456789" for digit in number.group()):
            raise BadRecord("uncalibrated", f"lead {name} has no gain")
        units.append(unit or "mV")
    return units


def _lead_names(names: list[str | None]) -> list[str]:
    """The standard name of each channel; a channel that is no standard lead keeps its own."""
    found: list[str] = []
    for name in names:
        try:
            lead = canonical_lead(name or "")
        except ValueError:
            found.append(name or "")
            continue
        if lead in found:
            raise BadRecord("duplicate_lead", f"lead {lead} is named twice")
        found.append(lead)
    return found


def _check_checksums(record: wfdb.Record) -> None:
    """Compare each channel's 16-bit sum with the header's; channels without a checksum pass."""
    if not record.checksum or any(frames != 1 for frames in record.samps_per_frame):
        return
    sums = record.d_signal.sum(axis=0, dtype=np.int64)
    for name, stated, found in zip(record.sig_name, record.checksum, sums, strict=True):
        if stated is not None and (int(stated) - int(found)) % 65536:
            raise BadRecord("checksum", f"lead {name}: the samples do not add up to the header's checksum")


def _scale(lead: str, unit: str) -> float:
    try:
        return MILLIVOLTS_PER_UNIT[unit.strip().lower()]
    except KeyError:
        raise BadRecord("unknown_unit", f"lead {lead} is in {unit!r}; known are V, mV, µV and nV") from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
