"""What the draws of a prior, and the prior itself, tell about its training patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from benchmarks.prevention.inputs import People
from models.beats.beats import Beats
from models.beats.identifying_space import Space, nearest_distance
from models.beats.prior import BeatPrior
from models.beats.rejection import Neighbourhood
from models.beats.training import held_out_losses
from models.conditioning import ConditionTensors
from models.evaluation.metrics import Estimate, auc, wilson

Draw = Callable[[ConditionTensors, Tensor], Beats]
"""Beats of conditions and row seeds; NaN in refused rows, which are near nobody."""

DECOYS: Final = 50
"""Non-members of like condition among whom somebody's own beat is to be the nearest."""
AGE_SCALE_YEARS, RATE_SCALE_BPM = 20.0, 15.0
RESAMPLES: Final = 200
ROUNDING: Final = 1e-6


@dataclass(frozen=True)
class Found:
    """A rate of training patients, and that of non-members in their place.

    Attributes:
        members: rate of training patients.
        others: the same rate of people whom the prior never saw.
    """

    members: Estimate
    others: Estimate


def alike(asked: People, among: People, excluded: Tensor) -> Tensor:
    """(n, DECOYS) rows of `among` with the condition most like each of `asked`: superclasses, then sex, age, rate.

    Args:
        excluded: (n, m) bool, rows that may not be chosen.
    """
    labels, others = (torch.from_numpy(one.labels).float() for one in (asked, among))
    distance = 10 * torch.cdist(labels, others, p=1)
    scale = torch.tensor([1 / AGE_SCALE_YEARS, 2.0, 1 / RATE_SCALE_BPM])
    distance += torch.cdist(asked.examples.condition.numbers * scale, among.examples.condition.numbers * scale, p=1)
    return distance.masked_fill(excluded, torch.inf).topk(DECOYS, largest=False).indices


def keyed_extraction(
    draw: Draw, spaces: dict[str, Space], members: People, others: People, draws: int, seed: int
) -> dict[str, Found]:
    """Ask for somebody's own condition, many times: is their own beat nearer to a draw than those of like people?

    Decoys are non-members for both, never recordings of the person.

    Args:
        draw: of the prior.
        spaces: in which beats are compared.
        members: training recordings whose condition is asked for.
        others: recordings of patients who are in no training; as many of them are asked for in the members' place.
        draws: of each.
        seed: of the rows.

    Returns:
        Rates by space.
    """
    asked_others = others[torch.arange(min(len(members), len(others)))]
    rates: dict[str, list[Estimate]] = {name: [] for name in spaces}
    for asked, first in ((members, seed), (asked_others, seed + len(members) * draws)):
        same = asked.examples.patients[:, None] == others.examples.patients
        decoys = alike(asked, others, same)
        rows = torch.arange(len(asked)).repeat_interleave(draws)
        beats = draw(asked.examples.condition[rows], first + torch.arange(len(rows)))
        for name, space in spaces.items():
            own, points = space(asked.examples.beats.usual), space(others.examples.beats.usual)
            drawn = space(beats.usual).unflatten(0, (len(asked), draws))
            to_own, to_decoys = (
                torch.cdist(drawn, each).nan_to_num(nan=torch.inf).amin(dim=(1, 2))
                for each in (own[:, None], points[decoys])
            )
            rates[name].append(wilson(int((to_own < to_decoys).sum()), len(asked)))
    return {name: Found(*pair) for name, pair in rates.items()}


def membership(prior: BeatPrior, members: People, others: People, seed: int) -> Estimate:
    """AUC by which the prior's own loss tells members from others; over patients."""
    losses = [held_out_losses(prior, one.examples).numpy() for one in (members, others)]
    is_member = np.repeat([True, False], [len(members), len(others)])
    patients = np.concatenate([members.examples.patients.numpy(), -1 - others.examples.patients.numpy()])
    return auc(is_member, -np.concatenate(losses), patients, RESAMPLES, seed)


def near_share(beats: Beats, neighbourhood: Neighbourhood) -> Estimate:
    """Share of beats nearer to a training beat than 0.1 % of held-out people come."""
    inside = neighbourhood.inside(beats.usual)
    return wilson(int(inside.sum()), len(inside))


def linkage(
    draw: Draw, spaces: dict[str, Space], training: People, asked: Tensor, others: People, seed: int
) -> dict[str, Found]:
    """Of somebody's own condition one beat is drawn: is the nearest of all training patients that one?

    For others the same gallery holds them in addition to the training patients.

    Args:
        asked: rows of training recordings that are asked for.

    Returns:
        Rates by space.
    """
    rates: dict[str, list[Estimate]] = {name: [] for name in spaces}
    for people, first in ((training[asked], seed), (others, seed + len(asked))):
        beats = draw(people.examples.condition, first + torch.arange(len(people)))
        for name, space in spaces.items():
            points, gallery = space(beats.usual), space(training.examples.beats.usual)
            to_own = (points - space(people.examples.beats.usual)).norm(dim=1)
            hits = to_own <= nearest_distance(points, gallery) + ROUNDING
            rates[name].append(wilson(int(hits.sum()), len(people)))
    return {name: Found(*pair) for name, pair in rates.items()}
