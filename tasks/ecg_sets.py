"""Sets of ECGs in memory, real or synthetic, as evaluation and audit compare them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.leads import LEAD_COLUMNS
from models.superclasses import SUPERCLASSES
from tasks.settings.evaluation import ReportedSplit
from warehouse.errors import EinthovenError
from warehouse.schema import MEASURED_FEATURES, R_PEAK_COLUMN
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveforms import from_lead_columns, from_r_peak_column

LearningSplit = Literal["train", "validation"]

ASKED_COLUMNS = (
    *("row_number", "target_heart_rate_bpm", "likelihoods"),
    *("heart_axis", "infarction_stage", "extra_beats", "pacemaker", "findings"),
)
"""What a cohort says of the condition of a row, beside what recordings say too."""
SHARED_COLUMNS = (
    *("superclasses", "statements", "age_years", "sex", "text"),
    R_PEAK_COLUMN,
    *MEASURED_FEATURES,
    *LEAD_COLUMNS,
)


class ReportSplitError(EinthovenError):
    """What fits or chooses asked for recordings that are kept for reports."""


@dataclass(frozen=True)
class EcgSet:
    """Rows of `recordings` or `cohorts`.

    Attributes:
        table: the rows without their leads.
        signal: (n, 8, samples) float32, mV.
        patients: (n,) patient of each row; every synthetic row is its own.
    """

    table: pa.Table
    signal: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        return len(self.signal)

    def take(self, rows: np.ndarray) -> EcgSet:
        """Some rows, by index or mask."""
        chosen = np.flatnonzero(rows) if rows.dtype == bool else rows
        return EcgSet(self.table.take(pa.array(chosen)), self.signal[chosen], self.patients[chosen])

    def number(self, column: str) -> np.ndarray:
        """A numeric column, (n,) float64, NaN where null."""
        return self.table.column(column).to_numpy(zero_copy_only=False).astype(np.float64)

    @cached_property
    def r_peaks_s(self) -> list[np.ndarray]:
        """R peaks of each row in seconds, as they were located when it was stored."""
        return from_r_peak_column(self.table)

    @cached_property
    def statements(self) -> list[frozenset[str]]:
        """SCP-ECG codes of each row."""
        return [
            frozenset(one if isinstance(one, str) else one["code"] for one in found or [])
            for found in self.table.column("statements").to_pylist()
        ]

    @cached_property
    def labels(self) -> np.ndarray:
        """(n, 5) bool: diagnostic superclasses, in the order of `SUPERCLASSES`."""
        return superclass_labels(self.table)

    @property
    def labelled(self) -> EcgSet:
        """The rows that have a diagnostic superclass; the others say nothing about any of them."""
        return self.take(np.flatnonzero(self.labels.any(axis=1)))

    @cached_property
    def measurements(self) -> np.ndarray:
        """(n, features) float64: all measured features side by side, NaN where missing."""
        parts = []
        for name in MEASURED_FEATURES:
            column = self.table.column(name)
            if pa.types.is_fixed_size_list(column.type):
                rows = column.to_pylist()
                width = column.type.list_size
                parts.append(np.array([row or [None] * width for row in rows], dtype=np.float64).reshape(-1, width))
            else:
                parts.append(self.number(name)[:, None])
        return np.concatenate(parts, axis=1)


def superclass_labels(table: pa.Table) -> np.ndarray:
    """(rows, 5) bool: which diagnostic superclasses each row has, in the order of `SUPERCLASSES`."""
    held = table.column("superclasses").to_pylist()
    labels = [[name in (each or []) for name in SUPERCLASSES] for each in held]
    return np.array(labels, dtype=bool).reshape(-1, len(SUPERCLASSES))


def read_recordings(store: Store, recordings: Reference, split: LearningSplit) -> EcgSet:
    """The real recordings of a split that networks are fitted to and choices are made on.

    Raises:
        ReportSplitError: for the test split, which `read_reported` gives to evaluations and audits alone.
    """
    if split not in get_args(LearningSplit):
        raise ReportSplitError(f"{recordings}: the {split} split is for reports; fit and choose on train or validation")
    return _read(store, recordings, split)


def read_reported(store: Store, recordings: Reference, split: ReportedSplit) -> EcgSet:
    """The real recordings that an evaluation or an audit reports on; a test holds that nothing else calls this."""
    return _read(store, recordings, split)


def _read(store: Store, recordings: Reference, split: str) -> EcgSet:
    table = store.read(
        recordings, "recordings", ["patient_key", "split", "coded_views", "quality_flags", *SHARED_COLUMNS]
    )
    table = table.filter(pc.equal(table["split"], split))
    patients = table["patient_key"].to_numpy(zero_copy_only=False)
    return EcgSet(table.drop_columns(list(LEAD_COLUMNS)), from_lead_columns(table), patients)


def read_cohort(store: Store, cohort: Reference) -> EcgSet:
    """All synthetic ECGs of a cohort."""
    table = store.read(cohort, "cohorts", [*ASKED_COLUMNS, *SHARED_COLUMNS])
    patients = np.array([f"synthetic {row}" for row in table["row_number"].to_pylist()], dtype=object)
    return EcgSet(table.drop_columns(list(LEAD_COLUMNS)), from_lead_columns(table), patients)
