"""Which regime a cohort belongs to is read from its lineage, and refused where it is not what was said."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest

import flows.generate
import flows.knowledge
import flows.train
from benchmarks import ablation_runs
from benchmarks.augmentation.data import AugmentationError
from benchmarks.augmentation.lineage import check_release, check_self_augmentation, patients_of, patients_seen
from benchmarks.augmentation.own_generator import own_cohort, share_of_recordings
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


def test_self_augmentation_trains_on_the_share_with_its_seed(
    store: Store, recordings: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What flows are asked for; they are replaced, since a pipeline takes minutes and other tests run it."""
    asked: list[tuple[Settings, Reference]] = []
    wrong: list[Reference] = []

    def generate(settings: Settings, few: Reference, knowledge: Reference, model: Reference) -> Reference:
        asked.append((settings, few))
        own = Store(settings.warehouse.uri)
        used = put_model(own, wrong[0])[0] if wrong else model
        return put_cohort(own, few, cohort_table(*people(4, 2)), f"generated {len(asked)}", used)

    def train(settings: Settings, few: Reference, knowledge: Reference) -> Reference:
        return models[0]

    def know(settings: Settings, few: Reference) -> Reference:
        if not models:
            models.extend(put_model(Store(settings.warehouse.uri), few))
        return models[1]

    def simulate(settings: Settings, few: Reference) -> Reference:
        return put_cohort(Store(settings.warehouse.uri), few, cohort_table(*people(4, 3)), f"simulated {len(asked)}")

    models: list[Reference] = []
    monkeypatch.setattr(flows.knowledge, "build_knowledge_base", know)
    monkeypatch.setattr(flows.train, "train_model", train)
    monkeypatch.setattr(flows.generate, "generate_cohort", generate)
    monkeypatch.setattr(ablation_runs, "simulate_cohort", simulate)
    settings = Settings.model_validate({"source": {"kind": "simulated"}, "warehouse": {"uri": str(store.root)}})
    own, cohort, simulated = own_cohort(settings, store, recordings, 0.25, 3, tmp_path / "own")
    (changed, few), *_ = asked
    assert (changed.training.seed, changed.cohort.seed, changed.warehouse.uri) == (3, 3, str(tmp_path / "own"))
    assert len(patients_of(own, few, "train")) == 12 and own.root != store.root
    assert patients_seen(own, cohort) == patients_seen(own, simulated) == patients_of(own, few, "train")
    # A generator that had found its way to other recordings is refused.
    wrong.append(put_recordings(own, recordings_table(30)))
    with pytest.raises(AugmentationError, match="is no self-augmentation"):
        own_cohort(settings, store, recordings, 0.25, 3, tmp_path / "own")
