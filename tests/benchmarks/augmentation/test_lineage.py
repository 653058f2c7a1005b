"""Which regime a cohort belongs to is read from its lineage, and refused where it is not what was said."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest

from benchmarks.augmentation.data import AugmentationError
from benchmarks.augmentation.lineage import check_release, check_self_augmentation, patients_of, patients_seen
from benchmarks.augmentation.own_generator import share_of_recordings
from benchmarks.augmentation.shares import share_of_patients
from models.evaluation.metrics import patient_numbers
from tasks.settings import Settings
from tests.tasks.clinic import cohort_table, people, put_cohort, put_model, put_recordings, recordings_table
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("clinic")))


@pytest.fixture(scope="module")
def recordings(store: Store) -> Reference:
    return put_recordings(store, recordings_table(60))


@pytest.fixture(scope="module")
def cohort(store: Store, recordings: Reference) -> Reference:
    """Of a generator that saw all training recordings."""
    return cohort_of(store, recordings)


def cohort_of(store: Store, recordings: Reference) -> Reference:
    model, _ = put_model(store, recordings)
    return put_cohort(store, recordings, cohort_table(*people(4, 2)), "cohort", model)


def test_a_share_is_a_dataset_of_its_own(
    store: Store, recordings: Reference, cohort: Reference, tmp_path: Path
) -> None:
    own, settings = Store(str(tmp_path / "own")), Settings.model_validate({"source": {"kind": "simulated"}})
    few = share_of_recordings(store, recordings, own, settings, 0.25, 3)
    assert share_of_recordings(store, recordings, own, settings, 0.25, 3) == few
    train = store.read(recordings, "recordings").filter(
        pc.equal(store.read(recordings, "recordings")["split"], "train")
    )
    keys = train["patient_key"].to_numpy(zero_copy_only=False)
    chosen = set(keys[share_of_patients(patient_numbers(keys), 0.25, 3)])
    assert patients_of(own, few, "train") == chosen and len(chosen) == 12
    assert patients_of(own, few, "validation") == patients_of(store, recordings, "validation")
    assert patients_of(own, few, "test") == set()
    facts = own.facts(few, RecordingsFacts)
    assert facts.splits == {"train": 12, "validation": 6, "test": 0}
    # A generator trained on it is self-augmentation, one that saw everything is not.
    mine = cohort_of(own, few)
    assert patients_seen(own, mine) == chosen
    check_self_augmentation(own, mine, chosen)
    with pytest.raises(AugmentationError, match="its generator saw 36 patients that are not in the share of 12"):
        check_self_augmentation(store, cohort, chosen)


def test_a_release_has_seen_no_held_out_patient(store: Store, recordings: Reference, cohort: Reference) -> None:
    held_out = patients_of(store, recordings, "validation", "test")
    assert len(held_out) == 12
    check_release(store, cohort, held_out)
    one_more = {next(iter(patients_of(store, recordings, "train")))}
    with pytest.raises(AugmentationError, match="learned from 1 patients of folds that choices and reports use"):
        check_release(store, cohort, held_out | one_more)


def test_an_unknown_lineage_is_refused(store: Store, cohort: Reference, tmp_path: Path) -> None:
    elsewhere = Store(str(tmp_path / "elsewhere"))
    model, recordings, *_ = store.manifest(cohort).lineage.inputs
    lost = put_cohort(elsewhere, recordings, cohort_table(*people(4, 2)), "lost", model)
    with pytest.raises(AugmentationError, match="which is not in"):
        check_self_augmentation(elsewhere, lost, set())
