"""Recordings that networks learn from: which are usable, and their waveforms."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from models.ecg.quality_vocabulary import UNUSABLE_FLAGS
from models.leads import LEAD_COLUMNS
from warehouse.errors import EinthovenError
from warehouse.storage.waveform_file import map_waveforms

LEARNING_SPLITS: Final = ("train", "validation")


class TrainingError(EinthovenError):
    """Training cannot start or did not end well."""


def read_metadata(folder: Path, without: str = "") -> pa.Table:
    """All columns of the recordings but the leads, with the row number in the table added.

    Args:
        folder: of the recordings.
        without: a statement whose recordings are of no split, so that nothing is learned of it; "" for none.

    Raises:
        TrainingError: there are no recordings, or none holds that statement.
    """
    parts = sorted((folder / "recordings").glob("part-*.parquet"))
    if not parts:
        raise TrainingError(f"{folder} holds no recordings table; run ingestion again")
    names = [name for name in pq.read_schema(parts[0]).names if name not in LEAD_COLUMNS]
    table = pa.concat_tables([pq.read_table(part, columns=names) for part in parts])
    table = table.append_column("row", pa.array(range(table.num_rows), pa.int64()))
    if not without:
        return table
    held = [without in {one["code"] for one in row or []} for row in table["statements"].to_pylist()]
    if not any(held):
        raise TrainingError(f"no recording holds the statement {without}, so none can be left out")
    splits = [None if left_out else split for left_out, split in zip(held, table["split"].to_pylist(), strict=True)]
    return table.set_column(table.schema.get_field_index("split"), "split", pa.array(splits, pa.string()))


def usable_rows(metadata: pa.Table) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Row numbers per split, and how many recordings were left out per quality flag.

    Raises:
        TrainingError: nothing is left to train or validate on.
    """
    excluded: Counter[str] = Counter()
    kept: dict[str, list[int]] = {split: [] for split in LEARNING_SPLITS}
    for row, split, flags in zip(
        *(metadata[name].to_pylist() for name in ("row", "split", "quality_flags")), strict=True
    ):
        if split not in kept:
            continue
        unusable = {prefix for prefix in UNUSABLE_FLAGS for flag in flags or [] if flag.startswith(prefix)}
        excluded.update(unusable)
        if not unusable:
            kept[split].append(row)
    for split, rows in kept.items():
        if not rows:
            raise TrainingError(
                f"no usable {split} recordings; check ingestion's folds and the quality flags {dict(excluded)}"
            )
    return {split: np.array(rows, dtype=np.int64) for split, rows in kept.items()}, dict(excluded)


class Waveforms:
    """The waveforms of N recordings: they stay on disk, and a batch at a time is read.

    Args:
        file: of all recordings, from `warehouse.storage.waveform_file.waveform_file`.
        rows: (N,) row numbers in the recordings table.

    Raises:
        WarehouseError: the file is gone or damaged.
    """

    def __init__(self, file: Path, rows: Tensor) -> None:
        self._microvolts, self._rows = map_waveforms(file), rows.numpy()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def samples(self) -> int:
        """Samples per lead."""
        return int(self._microvolts.shape[-1])

    def microvolts(self, rows: Tensor) -> Tensor:
        """Some of the recordings, (n, 8, samples) int16 µV; `rows` are indices below N."""
        return torch.from_numpy(self._microvolts[self._rows[rows.numpy()]])

    def millivolts(self, rows: Tensor) -> Tensor:
        """The same as float32 mV."""
        return self.microvolts(rows).float() / 1000
