"""Small sets of made-up people with beats of low rank, whose sex decides their first component."""

from __future__ import annotations

import torch

from models.architecture import BeatPriorArchitecture
from models.beats.beats import Beats
from models.beats.training import BeatPriorTraining, Examples
from models.conditioning import ConditionTensors
from models.simulator.beat_events import EVENTS

SMALL = BeatPriorArchitecture(
    components=4, ectopic_components=3, width=32, blocks=2, token_width=16, queries=2, coarse_keys=True
)
SHORT = BeatPriorTraining(steps=300, batch=128, learning_rate=5e-3, check_every=100, patience=2, seed=0)
EVENTS_OF_BEAT = 8 * len(EVENTS)


def people(rows: int, first: int = 0, recordings: int = 2) -> Examples:
    """Recordings of rows / recordings patients; those of one patient share their beat, every fourth has an ectopic."""
    rng = torch.Generator().manual_seed(first)
    mixing = 0.1 * torch.randn(3, EVENTS_OF_BEAT, generator=torch.Generator().manual_seed(99))
    patients = torch.arange(rows) // recordings
    traits = torch.randn(int(patients[-1]) + 1, 3, generator=rng)[patients]
    female = torch.randint(0, 2, (int(patients[-1]) + 1,), generator=rng).float()[patients]
    traits[:, 0] = 6 * female - 3 + 0.3 * traits[:, 0]
    usual = (traits @ mixing).view(rows, 8, -1)
    there = patients % 4 == 0
    ectopic = torch.where(there[:, None, None], 2.0 * usual.flip(1), 0.0)
    return Examples(Beats(usual, ectopic, there), asked(female, rng), 10_000 * first + patients)


def asked(female: torch.Tensor, rng: torch.Generator) -> ConditionTensors:
    """Conditions of a sex, an age and a heart rate."""
    condition = ConditionTensors.nothing(len(female), 2, 1)
    age, rate = (torch.rand(len(female), generator=rng) for _ in range(2))
    condition.numbers[:] = torch.stack([20 + 60 * age, female, 60 + 40 * rate], dim=1)
    condition.present[:, -3:] = True
    return condition
