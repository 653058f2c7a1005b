"""Waveforms between memory (float32 mV) and rest (one FixedSizeList<int16> column per lead, in µV).

Also what is measured on them: R peaks and features.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from models.leads import INDEPENDENT_LEADS, LEAD_COLUMNS
from warehouse.schema import MICROVOLTS_PER_MILLIVOLT, R_PEAK_COLUMN, measured_columns

LARGEST_MV = np.iinfo(np.int16).max / MICROVOLTS_PER_MILLIVOLT
"""Largest amplitude that fits at rest, in mV."""


def to_lead_columns(signal_mv: np.ndarray) -> dict[str, pa.Array]:
    """Quantise waveforms to µV, one Arrow column per lead.

    Args:
        signal_mv: (batch, 8, samples), mV, leads in the order of `INDEPENDENT_LEADS`. Amplitudes beyond `LARGEST_MV`
            are clipped; `models.ecg.measurements.quality_flags` names such recordings.

    Raises:
        ValueError: wrong shape, or a value that is not finite.
    """
    if signal_mv.ndim != 3 or signal_mv.shape[1] != len(INDEPENDENT_LEADS):
        raise ValueError(f"expected (batch, 8, samples), got {signal_mv.shape}")
    if not np.isfinite(signal_mv).all():
        raise ValueError("waveforms hold values that are not finite")
    microvolts = np.rint(np.clip(signal_mv, -LARGEST_MV, LARGEST_MV) * MICROVOLTS_PER_MILLIVOLT).astype(np.int16)
    samples = signal_mv.shape[2]
    return {
        name: pa.FixedSizeListArray.from_arrays(pa.array(microvolts[:, index].reshape(-1)), samples)
        for index, name in enumerate(LEAD_COLUMNS)
    }


def from_lead_columns(table: pa.Table) -> np.ndarray:
    """Waveforms of a table as float32 mV, (rows, 8, samples), leads in the order of `INDEPENDENT_LEADS`."""
    signal = _stacked(table, np.float32)
    signal /= MICROVOLTS_PER_MILLIVOLT
    return signal


def microvolts(table: pa.Table) -> np.ndarray:
    """Waveforms of a table as they are at rest: int16 µV, (rows, 8, samples), leads as in `from_lead_columns`."""
    return _stacked(table, np.int16)


def _stacked(table: pa.Table, dtype: type[np.float32] | type[np.int16]) -> np.ndarray:
    samples = table.schema.field(LEAD_COLUMNS[0]).type.list_size
    signal = np.empty((table.num_rows, len(LEAD_COLUMNS), samples), dtype=dtype)
    for index, name in enumerate(LEAD_COLUMNS):
        flat = table.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False)
        signal[:, index] = flat.reshape(table.num_rows, samples)
    return signal


def to_r_peak_column(r_peaks: Sequence[np.ndarray], rate_hz: float) -> pa.Array:
    """R peaks as an Arrow column, in seconds.

    Args:
        r_peaks: positions in samples per recording, as `models.ecg.r_peaks.locate_r_peaks` finds them.
        rate_hz: sampling rate.
    """
    return pa.array([(peaks / rate_hz).astype(np.float32) for peaks in r_peaks], pa.list_(pa.float32()))


def from_r_peak_column(table: pa.Table) -> list[np.ndarray]:
    """R peaks of each row of a table, float32 seconds; `models.ecg.r_peaks.in_samples` makes samples of them."""
    column = table.column(R_PEAK_COLUMN).combine_chunks()
    values, ends = np.array(column.flatten()), np.cumsum(column.value_lengths())
    return [values[start:end] for start, end in pairwise([0, *ends])]


def to_measured_columns(measured: dict[str, np.ndarray]) -> dict[str, pa.Array]:
    """Measured features as Arrow columns; NaN becomes null.

    Args:
        measured: feature name to (batch,) or (batch, 12) array, as `models.ecg.measurements.measure` returns them.
    """
    columns = {}
    for field in measured_columns():
        values = np.asarray(measured[field.name])
        if pa.types.is_fixed_size_list(field.type):
            flat = values.astype(np.float32).reshape(-1)
            flat = pa.array(flat, mask=~np.isfinite(flat))
            columns[field.name] = pa.FixedSizeListArray.from_arrays(flat, field.type.list_size)
        elif pa.types.is_boolean(field.type):
            columns[field.name] = pa.array(values.astype(bool))
        else:
            missing = ~np.isfinite(values.astype(np.float64))
            columns[field.name] = pa.array(np.where(missing, 0, values), mask=missing).cast(field.type, safe=False)
    return columns
