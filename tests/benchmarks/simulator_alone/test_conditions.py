"""The simulator alone: ECGs for conditions, each from its own seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.simulator_alone.conditions import (
    RecordedBeats,
    SimulatorBaselineError,
    recorded_beats,
    simulate_conditions,
)
from tasks.conditions.condition import Condition
from tests.models.located import measure
from tests.tasks.clinic import put_recordings, recordings_table
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

LARGE = Condition("left ventricular hypertrophy", ("LVH", "SR"), 65.0, "female", 75.0)
NORMAL = Condition("normal ECG", ("NORM", "SR"), 20.0, "male", 66.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("baseline")))


@pytest.fixture(scope="module")
def recordings(store: Store) -> Reference:
    return put_recordings(store, recordings_table(60))


@pytest.fixture(scope="module")
def beats(store: Store, recordings: Reference) -> RecordedBeats:
    return recorded_beats(store, recordings, steps=40)


def test_only_usable_training_recordings_are_used(store: Store, beats: RecordedBeats) -> None:
    assert len(beats.fits) == len(beats.conditions) == 48  # folds 1 to 8 of ten
    table = recordings_table(20, seed=3)
    flagged = table.set_column(
        table.schema.get_field_index("quality_flags"),
        table.schema.field("quality_flags"),
        [[["flat_lead_v1"] if row < 5 else ["noisy"] for row in range(20)]],
    )
    assert len(recorded_beats(store, put_recordings(store, flagged), steps=1).fits) == 11
    everyone = flagged.set_column(
        table.schema.get_field_index("quality_flags"),
        table.schema.field("quality_flags"),
        [[["no_r_peaks"]] * 20],
    ).set_column(0, "recording_id", [[f"other-{row}" for row in range(20)]])
    with pytest.raises(SimulatorBaselineError, match="recordings"):
        recorded_beats(store, put_recordings(store, everyone.cast(table.schema)))


def test_the_fit_is_kept(store: Store, recordings: Reference, beats: RecordedBeats) -> None:
    again = recorded_beats(store, recordings, steps=40)
    for name, tensor in beats.fits.tensors().items():
        assert np.array_equal(tensor.numpy(), again.fits.tensors()[name].numpy()), name


def test_ecgs_show_what_was_asked_for(beats: RecordedBeats) -> None:
    conditions = [LARGE, NORMAL] * 20
    signal = simulate_conditions(beats, conditions, list(range(40)))
    assert signal.dtype == np.float32 and signal.shape == (40, 8, 1000)
    asked = np.array([one.heart_rate_bpm for one in conditions])
    assert np.mean(np.abs(measure(signal, 100)["heart_rate_bpm"] - asked) <= 1.5) >= 0.9
    size = np.abs(signal).max(axis=2).mean(axis=1)
    assert size[::2].mean() > 1.5 * size[1::2].mean()  # hypertrophy is drawn twice as large


def test_an_ecg_depends_on_its_own_seed_and_condition_only(beats: RecordedBeats) -> None:
    together = simulate_conditions(beats, [LARGE, NORMAL, NORMAL], [5, 6, 7])
    alone = simulate_conditions(beats, [NORMAL], [6])
    assert np.array_equal(together[1], alone[0])
    assert not np.array_equal(together[1], together[2])
    with pytest.raises(ValueError, match="seeds"):
        simulate_conditions(beats, [NORMAL], [1, 2])


def test_a_condition_may_leave_anything_open(beats: RecordedBeats) -> None:
    anything = Condition("", ("NORM",), None, None, None)
    assert np.isfinite(simulate_conditions(beats, [anything], [1])).all()


def test_candidates_share_statements_then_sex_and_age(beats: RecordedBeats) -> None:
    found = [beats.conditions[entry] for entry in beats.candidates(LARGE)]
    assert all(one.statements == ("LVH", "SR") for one in found)
    assert found[0].sex == "female" and found[0].age_years == 65.0
    unknown = replace(LARGE, statements=("AFIB",))
    assert len(beats.candidates(unknown)) == 8  # there is always somebody to resemble
