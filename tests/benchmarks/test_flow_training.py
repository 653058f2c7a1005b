"""Training of a flow in one process: it leaves a model folder, goes on after an interruption, and refuses to mix."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchmarks import flow_training
from benchmarks.flow_training import Run, train_flow
from benchmarks.unseen_condition import HIDDEN, unseen_condition
from models.flow.generator import FlowGenerator
from tasks.training.data.beats import load_beats
from tasks.training.data.recordings import TrainingError, read_metadata
from tasks.training.flow_model import beats_of
from tasks.training.model_folder import load_generator
from tests.models.test_conditioning import conditions
from tests.tasks.small_training import SAMPLES, SMALL_FLOW, commit_inputs, small
from warehouse.errors import EinthovenError
from warehouse.storage.store import Store


def run(folder: Path, seed: int = 1) -> Run:
    settings = small(
        generator="flow",
        seed=seed,
        flow={**SMALL_FLOW, "steps": 6, "student": {"enabled": True, "steps": 3, "batch_size": 8}},
    )
    return Run(folder, settings, torch.device("cpu"), math.inf)


def test_an_interrupted_training_comes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(str(tmp_path / "warehouse"))
    recordings, knowledge = commit_inputs(store)
    monkeypatch.setattr(flow_training, "CHECKPOINT_S", 0.0)
    assert train_flow(store, run(tmp_path / "whole"), recordings, knowledge)
    assert "flow: step 6/6, loss" in capsys.readouterr().out
    generator = load_generator(tmp_path / "whole")
    assert isinstance(generator, FlowGenerator) and generator.student is not None
    of_teacher = generator.denoiser.state_dict()
    learned = {name for name, weight in generator.student.state_dict().items() if name in of_teacher}
    assert learned == of_teacher.keys()
    assert any(not torch.equal(generator.student.state_dict()[name], of_teacher[name]) for name in learned)
    drawn = generator.sample(conditions(2, 4, 3), [1, 2], steps=2, guidance=1.0, trait_guidance=1.0)
    assert drawn.shape == (2, 8, SAMPLES) and torch.isfinite(drawn).all()

    descend = flow_training.descend

    def interrupted(loss: Any, recipe: Any, optimiser: Any, average: Any, step: int, stage: str) -> float:
        if (stage, step) == ("flow", 4):
            raise KeyboardInterrupt
        return descend(loss, recipe, optimiser, average, step, stage)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(flow_training, "descend", interrupted)
        train_flow(store, run(tmp_path / "cut"), recordings, knowledge)
    with pytest.raises(TrainingError, match="is of other settings"):
        train_flow(store, run(tmp_path / "cut", seed=2), recordings, knowledge)
    assert train_flow(store, run(tmp_path / "cut"), recordings, knowledge)
    for name in ("prior.safetensors", "training_beats.safetensors", "flow.safetensors", "student.safetensors"):
        whole, cut = (load_file(tmp_path / folder / name) for folder in ("whole", "cut"))
        assert all(torch.equal(whole[key], cut[key]) for key in whole)


def test_a_training_that_runs_out_of_time_says_so_and_leaves_its_weights(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "warehouse"))
    recordings, _ = commit_inputs(store)
    late = run(tmp_path / "model")
    assert not train_flow(store, Run(late.folder, late.settings, late.device, -math.inf), recordings, None)
    load_generator(tmp_path / "model")


def test_a_condition_that_was_left_out_is_not_learned_from_and_asked_for(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "warehouse"))
    recordings, knowledge = commit_inputs(store)
    made = replace(run(tmp_path / "model"), without="CLBBB")
    assert train_flow(store, made, recordings, knowledge)
    metadata = read_metadata(store.path(recordings))
    stated = {code: {one["code"] for one in row} for code, row in enumerate(metadata["statements"].to_pylist())}
    for split, count in (("train", 24), ("validation", 6)):
        learned = load_beats(beats_of(made.folder), split).rows.tolist()
        assert len(learned) == count and {code for row in learned for code in stated[row]} == {"NORM"}
    lines = unseen_condition(store, made.folder, recordings, knowledge, "CLBBB", rows=3)
    assert [line.split(":")[0].strip() for line in lines[1:]][:5] == ["recordings", *HIDDEN]
    with pytest.raises(TrainingError, match="is of other settings"):
        train_flow(store, run(tmp_path / "model"), recordings, knowledge)
    with pytest.raises(TrainingError, match="no recording holds the statement LVH"):
        train_flow(store, replace(run(tmp_path / "other"), without="LVH"), recordings, knowledge)
    with pytest.raises(EinthovenError, match="no validation recording holds LVH"):
        unseen_condition(store, made.folder, recordings, knowledge, "LVH")
