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
from warehouse.storage.waveforms import from_lead_columns

LEARNING_SPLITS: Final = ("train", "validation")


class TrainingError(EinthovenError):
    """Training cannot start or did not end well."""


def read_metadata(folder: Path) -> pa.Table:
    """All columns of the recordings but the leads, with the row number in the table added."""
    parts = sorted((folder / "recordings").glob("part-*.parquet"))
    if not parts:
        raise TrainingError(f"{folder} holds no recordings table; run ingestion again")
    names = [name for name in pq.read_schema(parts[0]).names if name not in LEAD_COLUMNS]
    table = pa.concat_tables([pq.read_table(part, columns=names) for part in parts])
    return table.append_column("row", pa.array(range(table.num_rows), pa.int64()))


def read_waveforms(folder: Path, rows: np.ndarray) -> Tensor:
    """Waveforms of some rows of the recordings; `rows` must ascend: int16 (n, 8, samples) in µV."""
    found, first = [], 0
    for part in sorted((folder / "recordings").glob("part-*.parquet")):
        here = rows[(rows >= first) & (rows < first + (count := pq.read_metadata(part).num_rows))] - first
        if len(here):
            table = pq.read_table(part, columns=list(LEAD_COLUMNS)).take(pa.array(here))
            found.append(np.rint(from_lead_columns(table) * 1000).astype(np.int16))
        first += count
    return torch.from_numpy(np.concatenate(found))


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


def millivolts(signal: Tensor, rows: Tensor) -> Tensor:
    """Some rows of a signal (N, 8, samples) int16 in µV, which takes half the memory, as float32 in mV."""
    return signal[rows].float() / 1000
