"""Counts what is costly: recordings whose R peaks are searched for, and waveforms that are read from Parquet."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.ecg import r_peaks
from models.leads import LEAD_COLUMNS


def count_searched_recordings(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """Waveform of each recording to the times that R peaks are searched for in it, from now on, in this process."""
    searched: Counter[bytes] = Counter()
    locate = r_peaks._locate

    def counting(signal: np.ndarray, rate_hz: float) -> list[np.ndarray]:
        searched.update(each.tobytes() for each in signal)
        return locate(signal, rate_hz)

    monkeypatch.setattr(r_peaks, "_locate", counting)
    return searched


def count_waveform_reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Name of each Parquet file to the times that leads are read from it, from now on, in this process."""
    read: Counter[str] = Counter()
    read_table = pq.read_table

    def counting(source: Any, **options: Any) -> pa.Table:
        table = read_table(source, **options)
        if set(table.column_names) & set(LEAD_COLUMNS):
            read[Path(source).name] += 1
        return table

    monkeypatch.setattr(pq, "read_table", counting)
    return read
