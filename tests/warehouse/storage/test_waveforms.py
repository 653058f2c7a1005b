"""Waveforms between memory and rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.ecg.r_peaks import in_samples
from models.leads import LEAD_COLUMNS
from warehouse.schema import MEASURED_FEATURES, measured_columns
from warehouse.storage.waveforms import (
    LARGEST_MV,
    from_lead_columns,
    from_r_peak_column,
    microvolts,
    to_lead_columns,
    to_measured_columns,
    to_r_peak_column,
)


def test_a_round_trip_keeps_every_microvolt(tmp_path: Path) -> None:
    at_rest = np.random.default_rng(1).integers(-32767, 32768, (5, 8, 250)).astype(np.int16)
    signal = at_rest.astype(np.float32) / 1000
    path = tmp_path / "leads.parquet"
    pq.write_table(pa.table(to_lead_columns(signal)), path)
    table = pq.read_table(path)
    assert table.schema.field("lead_v6").type == pa.list_(pa.int16(), 250)
    read = from_lead_columns(table)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(np.rint(read * 1000).astype(np.int16), at_rest)
    assert microvolts(table).dtype == np.int16
    np.testing.assert_array_equal(microvolts(table), at_rest)
    np.testing.assert_allclose(read, signal, atol=1e-6)


def test_quantisation_errs_by_half_a_microvolt_at_most() -> None:
    signal = np.random.default_rng(2).normal(0, 1, (3, 8, 100)).astype(np.float32)
    read = from_lead_columns(pa.table(to_lead_columns(signal)))
    assert np.abs(read - signal).max() <= 0.0005 + 1e-6


def test_slices_and_chunks_keep_their_rows() -> None:
    signal = np.arange(6 * 8 * 4, dtype=np.float32).reshape(6, 8, 4) / 1000
    table = pa.table(to_lead_columns(signal))
    pieces = pa.concat_tables([table.slice(4), table.slice(1, 2)])
    np.testing.assert_allclose(from_lead_columns(pieces), signal[[4, 5, 1, 2]], atol=1e-6)
    assert from_lead_columns(table.slice(0, 0)).shape == (0, 8, 4)


def test_amplitudes_that_do_not_fit_are_clipped() -> None:
    signal = np.zeros((1, 8, 2), dtype=np.float32)
    signal[0, 0] = 50, -50
    read = from_lead_columns(pa.table(to_lead_columns(signal)))
    np.testing.assert_allclose(read[0, 0], [LARGEST_MV, -LARGEST_MV], atol=1e-4)


@pytest.mark.parametrize("bad", [np.zeros((8, 10)), np.zeros((1, 12, 10)), np.full((1, 8, 10), np.nan)])
def test_what_is_no_waveform_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected|not finite"):
        to_lead_columns(bad)


@pytest.mark.parametrize("rate_hz", [100, 500])
def test_r_peaks_come_back_to_the_thousandth_of_a_sample(rate_hz: int) -> None:
    random = np.random.default_rng(3)
    between = [np.sort(random.uniform(0, 10 * rate_hz, count)) for count in (12, 0, 1)]
    # Midway between two samples, where the least change would lead to the other one.
    midway = [np.arange(0.5, 10 * rate_hz)]
    table = pa.table({"r_peak_s": to_r_peak_column([*between, *midway], rate_hz)})
    pieces = pa.concat_tables([table.slice(2), table.slice(0, 2)])
    found = in_samples(from_r_peak_column(pieces), rate_hz)
    assert [len(peaks) for peaks in found] == [1, 10 * rate_hz, 12, 0]
    np.testing.assert_array_equal(found[1], midway[0])
    np.testing.assert_allclose(np.concatenate([found[2], found[0]]), np.concatenate(between), rtol=0, atol=1e-3)
    assert from_r_peak_column(table.slice(0, 0)) == []


def test_what_was_not_measured_is_null() -> None:
    measured: dict[str, np.ndarray] = {name: np.array([80.0, np.nan]) for name in MEASURED_FEATURES}
    measured["p_present"] = np.array([True, False])
    for name in ("st_level_mv", "t_amplitude_mv", "r_amplitude_mv"):
        measured[name] = np.array([np.arange(12.0), [np.nan, np.inf, *np.zeros(10)]])
    table = pa.table(to_measured_columns(measured), schema=pa.schema(measured_columns()))
    assert table["heart_rate_bpm"].to_pylist() == [80.0, None]
    assert table["r_peaks"].to_pylist() == [80, None]
    assert table["p_present"].to_pylist() == [True, False]
    assert table["st_level_mv"].to_pylist()[1][:3] == [None, None, 0.0]
    assert set(table.column_names).isdisjoint(LEAD_COLUMNS)
