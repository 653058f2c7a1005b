"""What the autoencoder loses is measured on what it gives back, in mV and ms."""

from __future__ import annotations

import numpy as np
import pytest

from models.leads import INDEPENDENT_LEADS
from tasks.ecg_sets import EcgSet, read_cohort
from tasks.evaluation.rows.reconstruction import reconstructed, reconstruction_rows, simulator_rows
from tasks.settings import EvaluationSettings
from tests.models.located import measure
from tests.models.synthetic_hearts import RATE_HZ, ecgs
from tests.tasks.clinic import cohort_table, people, put_cohort, put_model, put_recordings, recordings_table
from warehouse.storage.store import Store

SETTINGS = EvaluationSettings(bootstrap_samples=20)


def ecg_set(signal: np.ndarray) -> EcgSet:
    table = cohort_table(signal, [["NORM"]] * len(signal))
    return EcgSet(table, signal, np.arange(len(signal)))


def rows_of(original: np.ndarray, restored: np.ndarray) -> dict[tuple[str, str], dict]:
    found = reconstruction_rows(ecg_set(original), ecg_set(restored), SETTINGS)
    return {(one["metric"], one["subject"]): one for one in found}


def test_errors_are_per_lead_and_an_offset_changes_no_interval() -> None:
    signal = ecgs(12, seed=5)
    shifted = signal.copy()
    shifted[:, INDEPENDENT_LEADS.index("V3")] += 0.08
    rows = rows_of(signal, shifted)
    assert rows["reconstruction MAE", "reconstruction, lead V3"]["value"] == pytest.approx(0.08, abs=1e-6)
    assert rows["reconstruction MAE", "reconstruction, lead V4"]["value"] == 0
    assert rows["reconstruction MAE", "reconstruction"]["value"] == pytest.approx(0.01, abs=1e-6)
    assert rows["reconstruction MAE", "reconstruction"]["unit"] == "mV"
    for name in ("PR", "QRS", "QT", "heart rate"):
        assert rows[f"{name} median absolute error", "reconstruction"]["value"] == pytest.approx(0, abs=0.5)
        assert rows[f"{name} no longer measurable", "reconstruction"]["value"] == 0


def test_a_smoothed_qrs_is_wider_by_what_both_measure() -> None:
    signal = ecgs(12, seed=5)
    smooth = np.apply_along_axis(lambda each: np.convolve(each, np.ones(7) / 7, "same"), 2, signal).astype(np.float32)
    before, after = (measure(each, RATE_HZ)["qrs_ms"] for each in (signal, smooth))
    found = rows_of(signal, smooth)["QRS median absolute error", "reconstruction"]
    assert found["value"] == pytest.approx(np.median(np.abs(after - before)), abs=2)
    assert found["value"] > 10
    assert found["unit"] == "ms"


def test_what_vanishes_is_counted_and_does_not_flatter_the_median() -> None:
    signal = ecgs(12, seed=5)
    silent = signal.copy()
    silent[:3] = 0
    rows = rows_of(signal, silent)
    measured = int(np.isfinite(measure(signal, RATE_HZ)["qrs_ms"]).sum())
    lost = rows["QRS no longer measurable", "reconstruction"]
    assert lost["n"] == measured
    assert lost["value"] == pytest.approx(3 / measured)
    assert rows["QRS median absolute error", "reconstruction"]["n"] == measured - 3


def test_reconstructions_are_measured_anew_and_in_whole_microvolts(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = Store(str(tmp_path_factory.mktemp("reconstruction")))
    recordings = put_recordings(store, recordings_table(20))
    model, _ = put_model(store, recordings)
    original = read_cohort(store, put_cohort(store, recordings, cohort_table(*people(70, seed=2)), "c", model))
    restored = reconstructed(store.path(model), original)
    assert restored.signal.shape == original.signal.shape
    assert not np.array_equal(restored.signal, original.signal)
    assert np.abs(restored.signal * 1000 - np.rint(restored.signal * 1000)).max() < 1e-2
    measured = measure(restored.signal, RATE_HZ)["qrs_ms"].astype(np.float32)
    assert np.array_equal(restored.number("qrs_ms"), measured.astype(np.float64), equal_nan=True)
    assert np.array_equal(restored.number("age_years"), original.number("age_years"))


def test_simulator_rows_hold_every_class_and_lead_and_their_median() -> None:
    rows = list(simulator_rows({"NORM": {"I": 0.9, "V1": 0.7}, "LVH": {"I": 0.8, "V1": float("nan")}}, 1))
    assert rows[0]["value"] == pytest.approx(0.8)
    assert [(one["subject"], one["value"]) for one in rows[1:]] == [
        ("NORM, lead I", 0.9),
        ("NORM, lead V1", 0.7),
        ("LVH, lead I", 0.8),
        ("LVH, lead V1", None),
    ]
    assert list(simulator_rows({}, 1)) == []
