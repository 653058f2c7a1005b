"""Interval rows of an evaluation: within conditions, and few rows are said to be few."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.intervals import FEWEST_ASKED, interval_rows
from tasks.settings import EvaluationSettings
from tests.models.synthetic_hearts import RATE_HZ
from tests.tasks.clinic import recordings_table
from warehouse.storage.waveforms import from_lead_columns


def ecg_set(seed: int, name: str, longer_in: str | None = None) -> EcgSet:
    """A hundred ECGs, a third with hypertrophy; QRS may be longer in one of two conditions and shorter in the other."""
    table = recordings_table(100, seed)
    if longer_in:
        codes = [[one["code"] for one in held] for held in table["statements"].to_pylist()]
        qrs = np.array(table["qrs_ms"].to_pylist(), dtype=float)
        qrs += [30.0 if longer_in in held else -15.0 for held in codes]
        place = table.schema.get_field_index("qrs_ms")
        table = table.set_column(place, table.schema.field(place), pa.array(qrs, table.schema.field(place).type))
    patients = np.array([f"{name} {row}" for row in range(100)], dtype=object)
    return EcgSet(table, from_lead_columns(table), patients)


def test_what_is_right_over_all_and_wrong_in_every_condition_is_found() -> None:
    sets = {"train": ecg_set(1, "train"), "held_out": ecg_set(2, "held out"), "synthetic": ecg_set(3, "new", "LVH")}
    settings = EvaluationSettings(bootstrap_samples=20)
    compared = Compared(**sets, features={}, probabilities={}, rate_hz=RATE_HZ, settings=settings)
    rows = {(row["metric"], row["condition"]): row for row in interval_rows(compared)}
    distance, middle = "QRS distribution distance", "QRS median, synthetic less real"
    assert rows[distance, "LVH"]["low"] > 20 and rows[distance, "LVH"]["reference"] < 5
    assert rows[distance, "LVH"]["unit"] == "ms" and rows[distance, "LVH"]["n"] == 34
    assert rows[middle, "LVH"]["low"] > 20 and rows[middle, "NORM"]["high"] < -10
    assert rows["heart rate distribution distance", "LVH"]["unit"] == "bpm"
    mean = np.mean(sets["synthetic"].number("qrs_ms")) - np.mean(sets["held_out"].number("qrs_ms"))
    assert abs(mean) < 3


def test_a_condition_of_few_recordings_is_a_flagged_row_that_does_not_count_them() -> None:
    few = ecg_set(2, "held out").take(np.arange(60))  # twenty with hypertrophy
    sets = {"train": ecg_set(1, "train"), "held_out": few, "synthetic": ecg_set(3, "new")}
    settings = EvaluationSettings(bootstrap_samples=20)
    compared = Compared(**sets, features={}, probabilities={}, rate_hz=RATE_HZ, settings=settings)
    rows = {(row["metric"], row["condition"]): row for row in interval_rows(compared)}
    found = rows["QRS distribution distance", "LVH"]
    assert found["value"] is None and found["n"] == 34 >= FEWEST_ASKED
    assert found["flag"] == "fewer than 30 held-out recordings or synthetic ECGs where it can be measured"
    assert rows["QRS distribution distance", "NORM"]["value"] is not None
