"""A flow is attacked as other models are: its prior and its transformer tell whom they learned from if they overfit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.privacy.keyed_extraction import CONTROLS
from tasks.conditions.condition import ConditionEmbedder
from tasks.ecg_sets import EcgSet
from tasks.knowledge.embeddings import local_embeddings
from tasks.privacy.attacks.keyed_extraction import keyed_extraction_rows
from tasks.privacy.white_box.attacked import attacked
from tasks.privacy.white_box.attacked_flow import AttackedFlow
from tasks.privacy.white_box.recorded import learned_from
from tasks.privacy.white_box.shadow_training import train_shadow
from tasks.settings import ModelAuditSettings, RetrievalSettings
from tasks.settings.training import TrainingSettings
from tasks.training.model_folder import load_generator
from tests.stage_outputs import PRIVACY
from tests.tasks.clinic import STATEMENTS, put_recordings, recordings_table
from tests.tasks.flow_clinic import TRAINING, put_flow
from warehouse.storage.store import Store
from warehouse.storage.waveforms import from_lead_columns


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> AttackedFlow:
    store = Store(str(tmp_path_factory.mktemp("flow")))
    table = recordings_table(60)
    generator = load_generator(store.path(put_flow(store, put_recordings(store, table))[0]))
    shape = generator.config.denoiser
    embedder = ConditionEmbedder(
        local_embeddings(), None, STATEMENTS, shape.statement_tokens, shape.knowledge_tokens, RetrievalSettings()
    )
    splits, patients = np.array(table["split"].to_pylist()), np.array(table["patient_key"].to_pylist())
    whole = EcgSet(table, from_lead_columns(table), patients)
    names = {"members": "train", "reference": "validation", "non-members": "test"}
    sides = {side: learned_from(whole.take(splits == split)) for side, split in names.items()}
    training = TrainingSettings.model_validate(TRAINING)
    found = attacked(generator, sides, embedder, STATEMENTS, (), training)
    assert isinstance(found, AttackedFlow)
    return found


def test_sides_are_those_of_the_model(target: AttackedFlow) -> None:
    assert {side: len(one.ecgs) for side, one in target.keyed.items()} == {
        "members": 48,
        "reference": 6,
        "non-members": 6,
    }
    assert len(target.patients) == 54 and target.patients[-1] == "patient-0059"


def test_shadow_priors_tell_whom_they_learned_from(target: AttackedFlow, tmp_path: Path) -> None:
    learner, own = target.prior()
    rows = np.arange(0, 54, 2)
    often = {**TRAINING["flow"], "beats": {**TRAINING["flow"]["beats"], "steps": 500, "learning_rate": 0.02}}
    # It stops when it has learned enough of those that it learns from.
    overfitting = replace(
        learner,
        training=TrainingSettings.model_validate({**TRAINING, "flow": often}),
        held_out=learner.pool[torch.from_numpy(rows)],
    )
    inside = np.isin(np.arange(54), rows)
    losses = overfitting.losses(rows, 1)
    assert losses.shape == own.shape and losses[inside].mean() < 0.9 * losses[~inside].mean()
    learner.save(tmp_path / "pool.safetensors")
    train_shadow(learner.load, tmp_path / "pool.safetensors", learner.about, rows, 3, tmp_path / "losses.npy")
    assert np.allclose(np.load(tmp_path / "losses.npy"), learner.losses(rows, 3), rtol=1e-4)


def test_shadow_transformers_tell_whom_they_learned_from(target: AttackedFlow, tmp_path: Path) -> None:
    few = np.array([0, 1, 2, 3, 50, 51, 52, 53])
    learner, own = target.denoiser(few)
    rows = np.array([0, 2, 4, 6])
    often = {**TRAINING["flow"], "steps": 700, "learning_rate": 0.01, "batch_size": 4, "ema_decay": 0.9}
    training = TrainingSettings.model_validate({**TRAINING, "flow": often})
    losses = replace(learner, training=training, learned_from=40).losses(rows, 1)
    assert losses.shape == own.shape == (8, 5) and losses[rows].mean() < 0.95 * losses[rows + 1].mean()
    learner.save(tmp_path / "pool.safetensors")
    read = learner.load(tmp_path / "pool.safetensors", **learner.about)
    assert np.array_equal(read.judged(target.generator.denoiser), own)


def test_own_beats_are_looked_for_among_the_draws_of_a_prior(target: AttackedFlow) -> None:
    members, reference = target.keyed["members"], target.keyed["reference"]
    seeds = [1, 2, 1]
    drawn = target.draw(members.condition[[0, 1, 0]], seeds)
    assert drawn.shape == (3, members.beats.shape[1])
    assert np.array_equal(drawn[0], drawn[2]) and not np.array_equal(drawn[0], drawn[1])
    rows = list(
        keyed_extraction_rows(
            target.draw, members, [reference], ModelAuditSettings(keyed_people=5, keyed_seeds=2), PRIVACY
        )
    )
    assert [row["n"] for row in rows] == [0] * 4 and len(reference.ecgs) < CONTROLS, "too few people"
