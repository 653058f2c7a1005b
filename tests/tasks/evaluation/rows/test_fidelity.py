"""Fidelity rows of an evaluation, from sets that are made here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.ecg_sets import EcgSet
from tasks.evaluation.networks.classifier import left_out
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.fidelity import fidelity_rows
from tasks.settings import EvaluationSettings
from tests.models.synthetic_hearts import RATE_HZ
from tests.tasks.clinic import recordings_table
from warehouse.storage.waveforms import from_lead_columns


def ecg_set(seed: int, name: str) -> EcgSet:
    """Sixty ECGs, two of each patient."""
    table, patients = recordings_table(60, seed), np.array([f"{name} {row // 2}" for row in range(60)], dtype=object)
    return EcgSet(table, from_lead_columns(table), patients)


def renamed(ecgs: EcgSet, rng: np.random.Generator) -> EcgSet:
    """The same ECGs of the same patients under other names."""
    keys = {name: f"{rng.integers(2**62):016x}" for name in sorted(set(ecgs.patients))}
    return replace(ecgs, patients=np.array([keys[name] for name in ecgs.patients], dtype=object))


def test_fidelity_does_not_depend_on_what_patients_are_called() -> None:
    """Warehouses hide patients' names under keys of their own; an evaluation must be the same in all of them."""
    rng = np.random.default_rng(1)
    sets = {name: ecg_set(seed, name) for seed, name in enumerate(("train", "held_out", "synthetic"))}
    features = {name: rng.normal(size=(60, 8)) for name in sets}
    probabilities = {name: rng.random((60, 5)) for name in sets}
    settings = EvaluationSettings(bootstrap_samples=20)
    compared = Compared(**sets, features=features, probabilities=probabilities, rate_hz=RATE_HZ, settings=settings)
    others = {name: renamed(ecgs, rng) for name, ecgs in sets.items()}
    assert list(fidelity_rows(replace(compared, **others))) == list(fidelity_rows(compared))


def test_real_recordings_beside_the_cohort_are_of_patients_that_the_classifier_did_not_see() -> None:
    train = ecg_set(0, "train")
    unseen = left_out(train.patients, seed=1)
    assert unseen.sum() == 16  # a quarter of thirty patients, two recordings each
    assert not set(train.patients[unseen]) & set(train.patients[~unseen])
    assert np.array_equal(left_out(renamed(train, np.random.default_rng(2)).patients, seed=1), unseen)
    assert not np.array_equal(left_out(train.patients, seed=2), unseen)


def test_copies_of_training_recordings_have_a_row_of_their_own() -> None:
    rng, settings = np.random.default_rng(1), EvaluationSettings(bootstrap_samples=20)
    sets = {name: ecg_set(seed, name) for seed, name in enumerate(("train", "held_out", "synthetic"))}
    features = {name: rng.normal(size=(60, 4)) for name in sets}
    probabilities = {name: rng.random((60, 5)) for name in sets}
    compared = Compared(**sets, features=features, probabilities=probabilities, rate_hz=RATE_HZ, settings=settings)
    copied = replace(compared, features={**features, "synthetic": features["train"] + 1e-4})
    metric = "nearer to training than the nearest 1 % held out"
    honest, found = ({row["metric"]: row for row in fidelity_rows(each)}[metric] for each in (compared, copied))
    assert honest["low"] < 0.05 and found["value"] == 1.0 and found["reference"] == 0.01
