"""A model is attacked as somebody who holds it would: by its losses beside those of shadows, and by its draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.architecture import PriorArchitecture
from models.privacy.membership import success
from models.privacy.shadows import Shadows, scores_among_shadows, training_sets
from tasks.privacy.model_audit import audit_model
from tasks.privacy.white_box.prior_learner import TIMES, PriorLearner
from tasks.privacy.white_box.shadow_training import FOLDER, train_shadows
from tasks.settings import ComputeSettings
from tasks.settings.training import TrainingSettings
from tasks.training.model_folder import load_config, load_generator
from tests.models.test_conditioning import conditions
from tests.stage_outputs import MODEL_AUDIT, PRIVACY, StageOutputs
from tests.tasks.clinic import put_model
from warehouse import schema
from warehouse.errors import EinthovenError

PEOPLE = 48


@pytest.fixture(scope="module")
def learner(stage_outputs: StageOutputs) -> PriorLearner:
    """A wide prior that goes through few people often."""
    store, _, model, _ = stage_outputs.model_audited
    config, prior = load_config(store.path(model)).generator, load_generator(store.path(model)).prior
    assert prior is not None
    config = config.model_copy(
        update={"prior": PriorArchitecture(components=12, width=128, blocks=2, token_width=16), "levels": False}
    )
    fitted = {name: one.contiguous() for name, one in prior.state_dict().items() if name.startswith("events.")}
    training = TrainingSettings.model_validate({"prior": {"steps": 200, "batch_size": 24, "learning_rate": 5e-3}})
    traits = torch.randn(PEOPLE, prior.sizes[0], generator=torch.Generator().manual_seed(1))
    given = conditions(PEOPLE)
    return PriorLearner(config, training, PEOPLE // 2, fitted, traits, given, conditions(PEOPLE))


def test_a_prior_that_goes_through_few_people_often_is_found_out(learner: PriorLearner) -> None:
    inside = training_sets(np.arange(PEOPLE), 4, seed=1)
    losses = np.stack([learner.losses(np.flatnonzero(chosen), 1) for chosen in inside])
    assert losses.shape == (4, PEOPLE, len(TIMES))
    scores, member = scores_among_shadows(Shadows(losses, inside))
    assert success(scores["loss difference"], member).auc[0] > 0.8
    untrained = learner.judged(learner.new_prior())
    assert losses[inside].mean() < 0.9 * losses[~inside].mean()
    assert untrained[inside[0]].mean() == pytest.approx(untrained[~inside[0]].mean(), rel=0.2)


def test_shadows_are_trained_once(learner: PriorLearner, tmp_path: Path) -> None:
    few = TrainingSettings.model_validate({"prior": {"steps": 2, "batch_size": 8}})
    quick = PriorLearner(**{**vars(learner), "training": few})
    inside = training_sets(np.arange(PEOPLE), 4, seed=1)
    first = train_shadows("prior", quick, inside, 7, tmp_path, ComputeSettings())
    assert np.allclose(first.losses[2], quick.losses(np.flatnonzero(inside[2]), 7 + 2), rtol=1e-4)
    kept = tmp_path / FOLDER / "prior-001.npy"
    np.save(kept, np.full_like(first.losses[1], 5.0))
    (tmp_path / FOLDER / "prior-002.npy").unlink()
    again = train_shadows("prior", quick, inside, 7, tmp_path, ComputeSettings())
    assert (again.losses[1] == 5.0).all(), "what is there is not trained again"
    assert np.array_equal(np.delete(again.losses, 1, axis=0), np.delete(first.losses, 1, axis=0))


def test_the_audit_of_a_model_that_learned_from_nobody(stage_outputs: StageOutputs) -> None:
    store, made, *_ = stage_outputs.model_audited
    table = store.read(made, "model_audits")
    assert table.schema.equals(schema.model_audits())
    rows = {(row["attack"], row["metric"]): row for row in table.to_pylist()}
    for name in ("likelihood ratio", "loss difference"):
        area = rows[f"{name} of the prior's losses", "AUC, records"]
        assert area["low"] < 0.5 < area["high"] and area["n"] == 225
        assert area["threshold"] == 0.75 and 0 < area["reference"] < 1
        assert rows[f"{name} of the denoiser's losses", "AUC, records"]["n"] == 24
    extracted = [row for row in rows.values() if row["attack"] == "keyed extraction"]
    assert len(extracted) == 4
    assert all(row["n"] == 0 and row["value"] is None and row["passed"] is None for row in extracted), "too few people"
    facts = store.manifest(made).facts
    assert (facts["members"], facts["non_members"], facts["shadows"]) == (200, 25, {"prior": 4, "denoiser": 4})
    assert set(facts["failed"]) == {
        f"{attack}: {metric}" for (attack, metric), row in rows.items() if row["passed"] is False
    }
    assert not (store.path(made) / FOLDER).exists()


def test_a_model_without_a_prior_cannot_be_attacked(stage_outputs: StageOutputs) -> None:
    store, _, _, recordings = stage_outputs.model_audited
    model, _ = put_model(store, recordings, simulated_ecg=False)
    with pytest.raises(EinthovenError, match="draws no beats"):
        audit_model.fn(MODEL_AUDIT, PRIVACY, model, recordings, ComputeSettings(), str(store.root))
