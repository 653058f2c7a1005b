"""Recordings of other hospitals: CinC 2021 and LUDB, in the labels of PTB-XL, at its sampling rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import wfdb
import yaml
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.augmentation.data import AugmentationError, Ecgs, from_ecg_set
from models.ecg.measurements import measure
from models.ecg.r_peaks import locate_r_peaks
from models.leads import canonical_lead
from models.superclasses import SUPERCLASSES
from tasks.ecg_sets import EcgSet
from warehouse.schema import MICROVOLTS_PER_MILLIVOLT
from warehouse.sources.record import BadRecord
from warehouse.sources.recorded_leads import RecordedLeads, first_window
from warehouse.sources.wfdb_record import read_leads
from warehouse.storage.waveforms import to_measured_columns, to_r_peak_column

Site = Literal["cinc2021", "ludb"]
SEXES: Final = {"f": "female", "female": "female", "m": "male", "male": "male"}


class Meaning(BaseModel):
    """Of one diagnosis."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    statements: tuple[str, ...] = ()
    superclasses: tuple[str, ...] = ()


class SiteLabels(BaseModel):
    """How one dataset's diagnoses are read.

    Attributes:
        superclasses, statements: those that it codes for every recording.
        normal: diagnoses that make a recording NORM when it has no other.
        diagnoses: what each means.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    superclasses: tuple[str, ...]
    statements: tuple[str, ...]
    normal: tuple[str, ...]
    diagnoses: dict[str, Meaning] = Field(min_length=1)

    def read(self, diagnoses: Sequence[str]) -> Meaning:
        """Statements and superclasses of a recording's diagnoses."""
        found = [self._meaning(one) for one in diagnoses]
        statements = {code for one in found if one for code in one.statements}
        superclasses = {name for one in found if one for name in one.superclasses}
        if diagnoses and not superclasses and all(_matches(one, self.normal) for one in diagnoses):
            superclasses = {"NORM"}
        return Meaning(
            statements=tuple(sorted(statements)),
            superclasses=tuple(name for name in SUPERCLASSES if name in superclasses),
        )

    def _meaning(self, diagnosis: str) -> Meaning | None:
        name = _matches(diagnosis, self.diagnoses)
        return self.diagnoses[name] if name else None


def site_labels() -> dict[Site, SiteLabels]:
    """The mapping of every site, from `sites.yaml`."""
    held = yaml.safe_load(Path(__file__).with_name("sites.yaml").read_text(encoding="utf-8"))
    return {site: SiteLabels.model_validate(one) for site, one in held.items()}


def read_site(site: Site, folder: Path, codes: Sequence[str], rate_hz: int, samples: int) -> tuple[Ecgs, Counter[str]]:
    """Read a dataset of another hospital.

    Args:
        folder: the dataset in its own layout.
        codes: statements of PTB-XL, the columns to fill.
        rate_hz, samples: of PTB-XL's recordings; others are resampled by a polyphase filter, and their first window
            is taken.

    Returns:
        The recordings that can be used, and how many could not for which reason.

    Raises:
        AugmentationError: there are none.
    """
    labels, refused = site_labels()[site], Counter[str]()
    signal, meanings, sexes = [], [], []
    for stem in sorted(folder.rglob("*.hea")):
        try:
            leads = _read_ludb(stem.with_suffix("")) if site == "ludb" else read_leads(stem.with_suffix(""))
            signal.append(first_window(leads, rate_hz, samples))
        except BadRecord as bad:
            refused[bad.reason] += 1
            continue
        comments = list(_comments(stem))
        diagnoses = _ludb_diagnoses(comments) if site == "ludb" else _cinc_diagnoses(comments)
        meanings.append(labels.read(diagnoses))
        sexes.append(_sex(comments))
    if not signal:
        raise AugmentationError(f"{folder} holds no recording of {site} that can be read; refused: {dict(refused)}")
    stacked = np.stack(signal)
    peaks = locate_r_peaks(stacked, rate_hz)
    table = pa.table(
        {
            "sex": pa.array(sexes, pa.string()),
            "statements": [list(one.statements) for one in meanings],
            "superclasses": [list(one.superclasses) for one in meanings],
            "r_peak_s": to_r_peak_column(peaks, rate_hz),
            **to_measured_columns(measure(stacked, peaks, rate_hz)),
        }
    )
    # Neither dataset names patients: each recording counts as one, of whom LUDB has one recording each.
    patients = np.array([f"{site} {row}" for row in range(len(stacked))], dtype=object)
    return from_ecg_set(EcgSet(table, stacked, patients), codes, rate_hz), refused


def _read_ludb(stem: Path) -> RecordedLeads:
    """LUDB's headers scale every lead by itself, which breaks II = I + III; its counts are µV."""
    record = wfdb.rdrecord(str(stem), physical=False)
    millivolts = record.d_signal.T / MICROVOLTS_PER_MILLIVOLT
    return RecordedLeads(float(record.fs), dict(zip(map(canonical_lead, record.sig_name), millivolts, strict=True)))


def _comments(header: Path) -> Iterator[str]:
    for line in header.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("#"):
            yield line.lstrip("#").strip()


def _cinc_diagnoses(comments: Sequence[str]) -> list[str]:
    found = [line.partition(":")[2] for line in comments if line.lower().startswith("dx:")]
    return [code.strip() for line in found for code in line.split(",") if code.strip()]


def _ludb_diagnoses(comments: Sequence[str]) -> list[str]:
    """The lines after `<diagnoses>:`, each with a full stop; the rhythm's without its heading."""
    start = next((row + 1 for row, line in enumerate(comments) if line.startswith("<diagnoses>")), len(comments))
    return [line.rstrip(". ").removeprefix("Rhythm: ").strip() for line in comments[start:] if line.strip(". ")]


def _sex(comments: Sequence[str]) -> str | None:
    for line in comments:
        name, _, value = line.strip().partition(":")
        if name.strip("<>").lower() == "sex":
            return SEXES.get(value.strip().lower())
    return None


def _matches(diagnosis: str, names: Sequence[str] | dict[str, Meaning]) -> str | None:
    """The name that a diagnosis has, or whose beginning it has."""
    asked = diagnosis.lower()
    for name in names:
        one = name.lower()
        if asked == one or (one.endswith("*") and asked.startswith(one[:-1])):
            return name
    return None
