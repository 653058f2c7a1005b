"""ECGs with labels as arrays on disk: one folder per split, cohort or other dataset, opened by memory map.

A training is handed the folders that it may read. What chooses among trainings gets `LearningPlaces`, which names no
folder of a test set; only the final scoring gets those.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from models.evaluation.metrics import patient_numbers
from models.leads import LEAD_COLUMNS
from tasks.ecg_sets import SHARED_COLUMNS, EcgSet
from warehouse.errors import EinthovenError
from warehouse.schema import MICROVOLTS_PER_MILLIVOLT
from warehouse.storage.waveforms import from_lead_columns
from warehouse.storage.whole_files import write_text

ABOUT: Final = "about.json"


class AugmentationError(EinthovenError):
    """The benchmark cannot go on with what it was given."""


@dataclass(frozen=True)
class Ecgs:
    """Labelled ECGs.

    Attributes:
        signal: (n, 8, samples) int16, µV.
        measurements: (n, features) float32, NaN where a feature could not be measured.
        superclasses: (n, 5) bool.
        statements: (n, codes) bool.
        female: (n,) float32, 1 or 0, NaN where the sex is unknown.
        patients: (n,) number of each row's patient, in the order in which they come.
        codes: statement of each column of `statements`.
        rate_hz: sampling rate.
    """

    signal: np.ndarray
    measurements: np.ndarray
    superclasses: np.ndarray
    statements: np.ndarray
    female: np.ndarray
    patients: np.ndarray
    codes: tuple[str, ...]
    rate_hz: int

    def __len__(self) -> int:
        return len(self.signal)

    def take(self, rows: np.ndarray) -> Ecgs:
        """Some rows, by index or mask; their patients keep their numbers."""
        chosen = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Ecgs(**{name: getattr(self, name)[chosen] for name in ARRAYS}, codes=self.codes, rate_hz=self.rate_hz)

    def has(self, codes: Sequence[str]) -> np.ndarray:
        """(n,) bool: rows with any of some statements; a code that no row has counts for nothing."""
        asked = np.array([code in codes for code in self.codes], dtype=bool)
        return (self.statements & asked).any(axis=1)

    def save(self, folder: Path) -> None:
        """Write the arrays; the folder appears whole or not at all."""
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in ARRAYS:
            np.save(partial / f"{name}.npy", np.ascontiguousarray(getattr(self, name)))
        write_text(partial / ABOUT, json.dumps({"codes": self.codes, "rate_hz": self.rate_hz}))
        partial.replace(folder)

    @classmethod
    def open(cls, folder: str | Path) -> Ecgs:
        """Open what `save` wrote; waveforms stay on disk until they are used.

        Raises:
            AugmentationError: the folder is not there.
        """
        path = Path(folder)
        if not (path / ABOUT).exists():
            raise AugmentationError(f"{path} holds no ECGs; run the benchmark again from the start")
        about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
        arrays: dict[str, Any] = {
            name: np.load(path / f"{name}.npy", mmap_mode="r" if name == "signal" else None) for name in ARRAYS
        }
        return cls(**arrays, codes=tuple(about["codes"]), rate_hz=int(about["rate_hz"]))


ARRAYS: Final = tuple(field.name for field in fields(Ecgs) if field.name not in ("codes", "rate_hz"))


@dataclass(frozen=True)
class LearningPlaces:
    """The folders that a training, and whatever chooses among trainings, may read.

    Attributes:
        train, validation: real recordings of folds 1 to 8, and of fold 9.
        synthetic: ECGs of the generator; None where a recipe needs none.
        simulated: ECGs of the simulator alone; None where a recipe needs none.
    """

    train: str
    validation: str
    synthetic: str | None = None
    simulated: str | None = None


def from_ecg_set(ecgs: EcgSet, codes: Sequence[str], rate_hz: int) -> Ecgs:
    """Recordings or a cohort as arrays.

    Args:
        codes: statements to keep, the columns of `Ecgs.statements`.
        rate_hz: sampling rate.
    """
    sex = ecgs.table.column("sex").to_pylist()
    held = ecgs.statements
    return Ecgs(
        signal=np.rint(ecgs.signal * MICROVOLTS_PER_MILLIVOLT).astype(np.int16),
        measurements=ecgs.measurements.astype(np.float32),
        superclasses=ecgs.labels,
        statements=np.array([[code in row for code in codes] for row in held], dtype=bool).reshape(-1, len(codes)),
        female=np.array([{"female": 1.0, "male": 0.0}.get(each, np.nan) for each in sex], dtype=np.float32),
        patients=patient_numbers(ecgs.patients),
        codes=tuple(codes),
        rate_hz=rate_hz,
    )


def read_release(folder: Path) -> EcgSet:
    """The synthetic ECGs of a release: its Parquet files in `cohorts/`.

    Raises:
        AugmentationError: the folder holds no release.
    """
    parts = sorted((folder / "cohorts").glob("*.parquet"))
    if not parts:
        raise AugmentationError(
            f"{folder} has no Parquet files in cohorts/; give the folder of one version of a release"
        )
    table = pq.read_table(parts, columns=list(SHARED_COLUMNS))
    patients = np.array([f"synthetic {row}" for row in range(table.num_rows)], dtype=object)
    return EcgSet(table.drop_columns(list(LEAD_COLUMNS)), from_lead_columns(table), patients)
