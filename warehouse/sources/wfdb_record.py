"""One WFDB record, read by lead name, in mV, with everything checked that can be checked.

The WFDB header and signal formats: https://www.physionet.org/physiotools/wag/header-5.htm and signal-5.htm.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import wfdb

from models.leads import INDEPENDENT_LEADS, LIMB_LEAD_IDENTITIES, canonical_lead
from warehouse.errors import TRANSIENT_ERRORS
from warehouse.sources import BadRecord
from warehouse.storage.waveforms import LARGEST_MV

MILLIVOLTS_PER_UNIT = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}
"""Units a header may name, in lower case; both micro signs of Unicode occur."""

LARGEST_IDENTITY_RESIDUAL_MV = 0.1
"""Bound on the 99th percentile of a limb-lead identity's violation. Recordings rounded to 1 µV violate it by 0.002 mV,
a swapped pair of leads by tenths of a millivolt."""

ATTEMPTS = 3
PAUSE_S = 0.2

# What wfdb raises on headers and signals that are not what the format says; it has no common exception of its own.
_DECODING_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


def read_independent_leads(stem: Path, rate_hz: int, samples: int) -> np.ndarray:
    """Read the first `samples` samples of the eight independent leads.

    Args:
        stem: absolute path of the record without extension.
        rate_hz: sampling rate that the record must have.
        samples: length of the window; a longer record is cut to its first window.

    Returns:
        (8, samples) float32 mV, leads in the order of `INDEPENDENT_LEADS`.

    Raises:
        BadRecord: why the record cannot be used.
    """
    record, units = _load(stem)
    channels = _channels(record.sig_name)
    _check_shape(record, rate_hz, samples)
    _check_checksums(record)
    scale = [_scale(name, unit) for name, unit in zip(record.sig_name, units, strict=True)]
    millivolts = record.dac()[:samples].T * np.asarray(scale)[:, None]
    _check_samples(millivolts, channels)
    leads = {name: millivolts[channel] for name, channel in channels.items()}
    _check_identities(leads)
    return np.stack([leads[name] for name in INDEPENDENT_LEADS]).astype(np.float32)


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


def _channels(names: list[str]) -> dict[str, int]:
    """Standard lead name to channel; channels that are no standard lead are left out."""
    channels: dict[str, int] = {}
    for channel, name in enumerate(names):
        try:
            lead = canonical_lead(name or "")
        except ValueError:
            continue
        if lead in channels:
            raise BadRecord("duplicate_lead", f"lead {lead} is named twice")
        channels[lead] = channel
    if missing := [lead for lead in INDEPENDENT_LEADS if lead not in channels]:
        raise BadRecord("missing_lead", f"no {', '.join(missing)} among the leads {', '.join(map(str, names))}")
    return channels


def _check_shape(record: wfdb.Record, rate_hz: int, samples: int) -> None:
    if abs(record.fs - rate_hz) > 1e-6:
        raise BadRecord("wrong_rate", f"sampled at {record.fs:g} Hz, not at {rate_hz} Hz")
    if record.d_signal.shape[0] < samples:
        raise BadRecord("too_short", f"{record.d_signal.shape[0]} samples, {samples} are needed")


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


def _check_samples(millivolts: np.ndarray, channels: dict[str, int]) -> None:
    invalid = {lead: int((~np.isfinite(millivolts[channels[lead]])).sum()) for lead in INDEPENDENT_LEADS}
    if any(invalid.values()):
        counts = ", ".join(f"{lead} {count}" for lead, count in invalid.items() if count)
        raise BadRecord("invalid_samples", f"invalid samples of {millivolts.shape[1]}: {counts}")
    stored = millivolts[[channels[lead] for lead in INDEPENDENT_LEADS]]
    largest = float(np.abs(stored).max())
    if largest > LARGEST_MV:
        raise BadRecord("out_of_range", f"amplitude {largest:.4g} mV; at most {LARGEST_MV:g} mV can be stored")
    if not np.ptp(stored, axis=1).any():
        raise BadRecord("no_signal", "every lead is constant")


def _check_identities(leads: dict[str, np.ndarray]) -> None:
    """Check III, aVR, aVL and aVF, where the record holds them, against I and II (Einthoven 1913, Goldberger 1942)."""
    for name, (of_i, of_ii) in LIMB_LEAD_IDENTITIES.items():
        if name not in leads:
            continue
        violation = np.abs(leads[name] - (of_i * leads["I"] + of_ii * leads["II"]))
        # A derived lead may hold invalid samples: it is not stored, so they only leave the check.
        residual = float(np.nanquantile(violation, 0.99)) if np.isfinite(violation).any() else 0.0
        if residual > LARGEST_IDENTITY_RESIDUAL_MV:
            raise BadRecord("lead_identity", f"lead {name} differs from its sum of I and II by {residual:.3g} mV")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
