"""The parts of the training loop that need no cluster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.training.optimisation import Average, batch_rows, learning_rate
from tasks.training.progress import Progress, append_progress, loss_history
from tasks.training.training_loop import finish


def test_batches_are_a_pure_function_of_seed_and_step_and_leave_nothing_out() -> None:
    epoch = np.concatenate([batch_rows(3, step, 50, 8) for step in range(7)])
    assert sorted(epoch[:50]) == list(range(50))
    assert not np.array_equal(epoch[:50], np.concatenate([batch_rows(4, step, 50, 8) for step in range(7)])[:50])
    assert np.array_equal(batch_rows(3, 5, 50, 8), epoch[40:48])
    assert len(batch_rows(1, 0, 5, 16)) == 16


def test_learning_rate_warms_up_and_decays() -> None:
    rates = [learning_rate(step, 100, 1.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[4] == 1.0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.02


def test_average_follows_the_network_and_swapping_twice_changes_nothing() -> None:
    network = torch.nn.Linear(2, 2)
    average = Average(network, 0.5)
    start = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(1.0)
    average.update(network, step=1000)
    assert torch.allclose(average.weights[0], start + 0.5)
    average.swap(network)
    assert torch.allclose(network.weight, start + 0.5)
    average.swap(network)
    assert torch.allclose(network.weight, start + 1.0)


def test_history_counts_a_repeated_step_once_and_ignores_a_cut_off_line(tmp_path: Path) -> None:
    for step, loss in ((1, 3.0), (2, 2.0), (2, 1.5), (3, 1.0)):
        append_progress(
            tmp_path,
            Progress(
                stage="denoiser",
                step=step,
                steps=3,
                losses={"loss": loss},
                learning_rate=0.1,
                steps_per_s=2.0,
                worker_pid=1,
            ),
        )
    with (tmp_path / "_progress.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"stage": "deno')
    assert [(entry["step"], entry["loss"]) for entry in loss_history(tmp_path)] == [(1, 3.0), (2, 1.5), (3, 1.0)]


def test_the_average_is_what_a_stage_saves_and_training_goes_on_with_its_own() -> None:
    class Stage:
        learner = torch.nn.Linear(1, 1, bias=False)
        saved: float | None = None

        def finish(self, device: torch.device) -> None:
            self.saved = float(self.learner.weight.detach())

    stage = Stage()
    with torch.no_grad():
        stage.learner.weight.fill_(5.0)
    average = Average(stage.learner, 0.5)
    average.weights[0].fill_(2.0)
    finish(stage, average, torch.device("cpu"))  # type: ignore[arg-type]
    assert stage.saved == 2.0
    assert float(stage.learner.weight.detach()) == 5.0
    finish(stage, None, torch.device("cpu"))  # type: ignore[arg-type]
    assert stage.saved == 5.0
