"""Exports of ECG carts and hospital archives: GE MUSE XML, Philips Sierra XML, HL7 aECG, SCP-ECG, DICOM waveforms.

ECGDataKit decodes them (an optional extra, `pip install einthoven[hospital]`; why this library: docs/sources.md); this
file is the only one that knows it. One file is one record; its name is its identifier. A patient is who the export
names, and a file that names nobody is refused, because its recordings could not be kept in one split. XML goes through
defusedxml, before the library sees it and inside it.
"""

from __future__ import annotations

import os
import struct
import warnings
from collections import Counter
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from models.leads import canonical_lead
from warehouse.errors import SourceError
from warehouse.sources.findings import findings
from warehouse.sources.people import age_years, patient_id, sex
from warehouse.sources.record import BadRecord, RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads
from warehouse.sources.report_lines import read_report
from warehouse.sources.source import Source

if TYPE_CHECKING:
    from ecgdatakit import ECGRecord

FORMATS = {
    "GEMuseXMLParser": "GE MUSE XML",
    "SierraXMLParser": "Philips Sierra XML",
    "HL7aECGParser": "HL7 aECG",
    "SCPECGParser": "SCP-ECG",
    "DICOMWaveformParser": "DICOM waveform",
}
"""Readers of the library that are used, each tested here on a file written for it, and what they read."""
SUFFIXES = (".xml", ".scp", ".ecg", ".dcm", ".dicom")
LARGEST_BYTES = 100_000_000
FORMAT_VIEW = "format"
# What remains beside the library's own errors when it looks at files that are not what they begin like.
_DECODING_ERRORS = (
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    MemoryError,
    RecursionError,
    EOFError,
    struct.error,
)


class HospitalSource(Source):
    """A folder of exported files, at any depth; other files are left alone."""

    name = "hospital"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            import ecgdatakit  # noqa: F401
        except ImportError:
            raise SourceError(
                "source.kind hospital needs the extra of that name: pip install 'einthoven[hospital]'"
            ) from None
        if not self._names:
            raise SourceError(
                f"{folder} has no exported ECGs ({', '.join('*' + one for one in SUFFIXES)}), at any depth"
            )

    def rows(self) -> list[SourceRecord | RefusedRecord]:
        """Every exported file, sorted by path."""
        return self._rows[0]

    def unread(self) -> Counter[str]:
        """Lines of reports that are no phrases of the vocabulary."""
        return self._rows[1]

    def files(self) -> list[str]:
        """The exported files."""
        return self._names

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Decode the record's file."""
        return _leads(_parsed(self.folder / record.record))

    @cached_property
    def _names(self) -> list[str]:
        found = []
        for place, folders, names in os.walk(self.folder):
            folders.sort()
            at = PurePosixPath(Path(place).relative_to(self.folder).as_posix())
            found += [str(at / name) for name in names if name.lower().endswith(SUFFIXES)]
        return sorted(found)

    @cached_property
    def _rows(self) -> tuple[list[SourceRecord | RefusedRecord], Counter[str]]:
        found: list[SourceRecord | RefusedRecord] = []
        unread: Counter[str] = Counter()
        for name in self._names:
            try:
                found.append(_record(name, _parsed(self.folder / name), unread))
            except BadRecord as error:
                found.append(RefusedRecord(name, error.reason, error.detail))
        return found, unread


def _parsed(path: Path) -> ECGRecord:
    from ecgdatakit import ChecksumWarning, ECGDataKitError, FileParser

    try:
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise BadRecord("too_large", f"{path.name} has {size} bytes; at most {LARGEST_BYTES} are read")
        if path.suffix.lower() == ".xml":
            _check_xml(path)
        found = FileParser.detect_format(path)
        if found is None or found["parser"] not in FORMATS:
            known = ", ".join(FORMATS.values())
            what = f"is {found['name']}" if found else "is in no format that is known"
            raise BadRecord("unsupported_format", f"{path.name} {what}; read are {known}")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            record = FileParser.parse(path, units="mV")
    except FileNotFoundError:
        raise BadRecord("missing_file", f"{path.name} is not there") from None
    except OSError as error:
        raise BadRecord("unreadable_file", f"{path.name}: {error.strerror or _one_line(error)}") from None
    except (ECGDataKitError, *_DECODING_ERRORS) as error:
        raise BadRecord("bad_export", _one_line(error) or f"{path.name} cannot be decoded") from None
    if broken := [one.message for one in warned if issubclass(one.category, ChecksumWarning)]:
        raise BadRecord("checksum", _one_line(broken[0]))
    return record


def _check_xml(path: Path) -> None:
    """Refuse XML that declares entities, before anything else reads it; a MUSE export may name its document type."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException, ElementTree

    try:
        for _ in ElementTree.iterparse(str(path), events=("start",)):
            pass
    except DefusedXmlException as error:
        raise BadRecord("bad_export", f"{path.name} declares what an export never needs: {_one_line(error)}") from None
    except (ParseError, LookupError, ValueError) as error:
        raise BadRecord("bad_export", f"{path.name} is malformed XML: {_one_line(error)}") from None


def _record(name: str, parsed: ECGRecord, unread: Counter[str]) -> SourceRecord:
    patient = patient_id(parsed.patient.patient_id or "")
    if not patient:
        raise BadRecord("missing_patient", f"{name} names no patient")
    lines = [line for line in (" ".join(pair).strip() for pair in parsed.interpretation.statements) if line]
    # Philips writes the reason of a statement beside it, which is measurements.
    stated = findings(
        read_report((said for said, _ in parsed.interpretation.statements), unread),
        {FORMAT_VIEW: [FORMATS[parsed.file_format.parser]]},
    )
    age = parsed.patient.age
    return SourceRecord(
        record=name,
        patient=patient,
        age_years=None if age is None else age_years(str(age)),
        sex=sex(parsed.patient.sex or ""),
        text="; ".join(lines),
        statements=stated.statements,
        superclasses=stated.superclasses,
        strat_fold=None,
        coded_views=stated.coded_views,
    )


def _leads(parsed: ECGRecord) -> RecordedLeads:
    leads: dict[str, np.ndarray] = {}
    rates = {lead.sampling_rate for lead in parsed.leads}
    if len(rates) != 1 or len({len(lead.samples) for lead in parsed.leads}) != 1:
        raise BadRecord("bad_export", "leads differ in sampling rate or length")
    for lead in parsed.leads:
        if lead.is_raw or lead.units != "mV":
            raise BadRecord("uncalibrated", f"lead {lead.label} has no gain in units of voltage")
        label = _standard(lead.label)
        if label in leads:
            raise BadRecord("duplicate_lead", f"lead {label} is named twice")
        leads[label] = np.asarray(lead.samples, dtype=np.float64)
    return RecordedLeads(float(rates.pop()), leads)


def _standard(label: str) -> str:
    try:
        return canonical_lead(label)
    except ValueError:
        return label


def _one_line(error: Any) -> str:
    return " ".join(str(error).split())[:200]
