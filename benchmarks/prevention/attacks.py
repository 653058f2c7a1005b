"""What the draws of a prior, and the prior itself, tell about its training patients.

Somebody's beat may be near to what is drawn for their condition because the prior has learned from them, or because
they are who they are. So every attack is made on the same people twice: by a prior that has learned from them, and by
one that has learned from as many others in their place. What differs is due to membership alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from models.evaluation.metrics import Estimate, auc, paired_difference, wilson

Draw = Callable[[ConditionTensors, Tensor], Beats]
"""Beats of conditions and row seeds; NaN in refused rows, which are near nobody."""
Attack = Callable[[Draw, People, int], dict[str, np.ndarray]]
"""Whom an attack on the draws of a prior finds: (n,) bool by space, for people and the seed of the first row."""

DECOYS: Final = 50
"""People of like condition, in no training, among whom somebody's own beat is to be the nearest."""
AGE_SCALE_YEARS, RATE_SCALE_BPM = 20.0, 15.0
RESAMPLES: Final = 200
ROUNDING: Final = 1e-6
PEOPLE_AT_ONCE: Final = 128


@dataclass(frozen=True)
class Found:
    """How often an attack finds the same people, as members and as non-members.

    Attributes:
        members: rate by priors that have learned from them.
        others: rate by priors that have not.
        difference: the first less the second.
    """

    members: Estimate
    others: Estimate
    difference: Estimate


def crossed(draws: Sequence[Draw], groups: Sequence[People], attack: Attack, seed: int) -> dict[str, Found]:
    """Make an attack on groups of people, each by the prior that has learned from them and by the one that has not.

    Args:
        draws: of two priors.
        groups: two; the prior of the same place has learned from the group, the other prior from the other group.
        attack: the same for both priors, with the same seeds.
        seed: of the rows.

    Returns:
        Rates by space.
    """
    found: dict[bool, list[dict[str, np.ndarray]]] = {True: [], False: []}
    for number, group in enumerate(groups):
        for inside in (True, False):
            found[inside].append(attack(draws[number if inside else 1 - number], group, seed + number * 10**6))
    rates = {}
    for name in found[True][0]:
        members, others = (np.concatenate([one[name] for one in found[inside]]) for inside in (True, False))
        shares = [wilson(int(hits.sum()), len(hits)) for hits in (members, others)]
        rates[name] = Found(shares[0], shares[1], paired_difference(members, others))
    return rates


def alike(asked: People, among: People) -> Tensor:
    """(n, DECOYS) rows of `among` with the condition most like each of `asked`: superclasses, then sex, age, rate."""
    labels, others = (torch.from_numpy(one.labels).float() for one in (asked, among))
    distance = 10 * torch.cdist(labels, others, p=1)
    scale = torch.tensor([1 / AGE_SCALE_YEARS, 2.0, 1 / RATE_SCALE_BPM])
    distance += torch.cdist(asked.examples.condition.numbers * scale, among.examples.condition.numbers * scale, p=1)
    return distance.topk(DECOYS, largest=False).indices


def keyed_extraction(spaces: dict[str, Space], decoys: People, draws: int) -> Attack:
    """Ask for somebody's own condition, many times: is their own beat nearer to a draw than those of like people?

    Args:
        spaces: in which beats are compared.
        decoys: people who are in no training and are not asked for; each patient once.
        draws: of each person who is asked for.
    """
    points = {name: space(decoys.examples.beats.usual) for name, space in spaces.items()}

    def attack(draw: Draw, asked: People, first: int) -> dict[str, np.ndarray]:
        hits: dict[str, list[Tensor]] = {name: [] for name in spaces}
        for part in torch.arange(len(asked)).split(PEOPLE_AT_ONCE):
            some = asked[part]
            like, rows = alike(some, decoys), torch.arange(len(some)).repeat_interleave(draws)
            seeds = first + int(part[0]) * draws + torch.arange(len(rows))
            beats = draw(some.examples.condition[rows], seeds)
            for name, space in spaces.items():
                drawn = space(beats.usual).unflatten(0, (len(some), draws))
                everybody = torch.cat([space(some.examples.beats.usual)[:, None], points[name][like]], dim=1)
                distance = torch.cdist(drawn, everybody).nan_to_num(nan=torch.inf).amin(dim=1)
                hits[name].append(distance[:, 0] < distance[:, 1:].amin(dim=1))
        return {name: torch.cat(one).numpy() for name, one in hits.items()}

    return attack


def linkage(spaces: dict[str, Space], gallery: People) -> Attack:
    """Of somebody's own condition one beat is drawn: is the nearest of the gallery, which they are in, their own?"""
    points = {name: space(gallery.examples.beats.usual) for name, space in spaces.items()}

    def attack(draw: Draw, asked: People, first: int) -> dict[str, np.ndarray]:
        beats = draw(asked.examples.condition, first + torch.arange(len(asked)))
        found = {}
        for name, space in spaces.items():
            drawn = space(beats.usual)
            to_own = (drawn - space(asked.examples.beats.usual)).norm(dim=1)
            found[name] = (to_own <= nearest_distance(drawn, points[name]) + ROUNDING).numpy()
        return found

    return attack


def membership(priors: Sequence[BeatPrior], groups: Sequence[People], seed: int) -> Estimate:
    """AUC by which a prior's own loss tells members from non-members, the same people being both; over patients.

    Args:
        priors, groups: two each, as for `crossed`.
    """
    losses, inside, patients = [], [], []
    for number, group in enumerate(groups):
        for other in (False, True):
            prior = priors[1 - number if other else number]
            losses.append(held_out_losses(prior, group.examples).numpy())
            inside.append(np.full(len(group), not other))
            patients.append(group.examples.patients.numpy())
    return auc(np.concatenate(inside), -np.concatenate(losses), np.concatenate(patients), RESAMPLES, seed)


def near_share(beats: Beats, neighbourhood: Neighbourhood) -> Estimate:
    """Share of beats nearer to a training beat than 0.1 % of held-out people come."""
    inside = neighbourhood.inside(beats.usual)
    return wilson(int(inside.sum()), len(inside))
