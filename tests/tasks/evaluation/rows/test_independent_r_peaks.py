"""The second detector counts beats by itself, on another lead if need be, and the comparison of two is fair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.ecg.r_peaks import locate_r_peaks
from models.leads import INDEPENDENT_LEADS
from tasks.evaluation.rows.independent_r_peaks import compare_r_peaks, heart_rates, independent_r_peaks
from warehouse.sources.registry import open_source

RATE_HZ = 100


def beats(rates_bpm: list[float], seed: int = 1) -> tuple[np.ndarray, list[np.ndarray]]:
    """Regular QRS complexes with T waves in every lead, 10 s each, and when their R peaks are."""
    rng, time = np.random.default_rng(seed), np.arange(1000) / RATE_HZ
    signal, peaks = rng.normal(0, 0.01, (len(rates_bpm), 8, 1000)), []
    for row, rate in enumerate(rates_bpm):
        peaks.append(np.arange(0.3, 10, 60 / rate))
        for peak in peaks[-1]:
            signal[row] += np.exp(-0.5 * ((time - peak) / 0.015) ** 2)
            signal[row] += 0.2 * np.exp(-0.5 * ((time - peak - 0.25 * np.sqrt(60 / rate)) / 0.05) ** 2)
    return signal.astype(np.float32), peaks


def test_it_finds_the_rate_at_100_hz() -> None:
    rates = [45.0, 60.0, 75.0, 100.0, 150.0]
    signal, peaks = beats(rates)
    found = independent_r_peaks(signal, RATE_HZ)
    assert heart_rates(found) == pytest.approx(rates, abs=0.5)
    agreement = compare_r_peaks(peaks, found, 10.0)
    assert agreement[:, 0] == pytest.approx(1.0)
    assert agreement[:, 1].max() < 10


def test_a_flat_lead_ii_leaves_the_others_and_silence_leaves_nothing() -> None:
    signal, _ = beats([60.0, 60.0])
    signal[0, INDEPENDENT_LEADS.index("II")] = 0
    signal[1] = 0
    found = independent_r_peaks(signal, RATE_HZ)
    assert heart_rates(found[:1]) == pytest.approx([60.0], abs=0.5)
    assert len(found[1]) == 0
    assert np.isnan(heart_rates(found)[1])


def test_agreement_is_one_for_equal_and_less_for_a_missed_beat() -> None:
    times = np.arange(1.0, 9.5, 0.8)
    equal, late, missed, none, both_none = compare_r_peaks(
        [times, times, times, times, np.empty(0)],
        [times, times + 0.02, np.delete(times, 3), np.empty(0), np.empty(0)],
        10.0,
    )
    assert equal.tolist() == [1.0, 0.0]
    assert late == pytest.approx([1.0, 20.0])
    assert missed[0] == pytest.approx(2 * (10 / 11) / (1 + 10 / 11))
    assert none[0] == 0 and np.isnan(none[1])
    assert np.isnan(both_none).all()


def test_beats_at_the_ends_do_not_count() -> None:
    times = np.arange(1.0, 9.0, 0.8)
    found = compare_r_peaks([np.concatenate([[0.3], times, [9.7]])], [times], 10.0)
    assert found[0].tolist() == [1.0, 0.0]
    across = compare_r_peaks([np.append(0.59, times)], [np.append(0.61, times)], 10.0)
    assert across[0, 0] == 1.0


@pytest.mark.slow
def test_the_two_detectors_agree_on_real_ecgs(shared_data: Path) -> None:
    source = open_source("ptbxl", shared_data / "ptbxl")
    signal = np.stack(
        [source.read(record, RATE_HZ, 10.0) for record, _ in zip(source.records(), range(60), strict=False)]
    )
    theirs = independent_r_peaks(signal, RATE_HZ)
    ours = [peaks / RATE_HZ for peaks in locate_r_peaks(signal, RATE_HZ)]
    assert np.median(np.abs(heart_rates(theirs) - heart_rates(ours))) < 0.5
    assert np.nanmean(compare_r_peaks(ours, theirs, 10.0)[:, 0]) > 0.97
