"""The benchmark of prevention: attacks find a prior that copies, and what a prior draws is compared with people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.prevention.__main__ import Bench, chosen
from benchmarks.prevention.arms import ARMS, QUICK
from benchmarks.prevention.attacks import DECOYS, alike, keyed_extraction, linkage, near_share
from benchmarks.prevention.inputs import People
from benchmarks.prevention.utility import classifier, common_components, discriminator, measurement_distances
from models.beats.beats import Beats
from models.beats.identifying_space import coordinate_space
from models.beats.rejection import Neighbourhood
from models.conditioning import ConditionTensors
from tests.models.beats.people import people as examples


def people(rows: int, first: int = 0) -> People:
    """People of whom women have the first superclass and men the second."""
    found = examples(rows, first, recordings=1)
    female = found.condition.numbers[:, 1].numpy() == 1
    return People(found, np.stack([female, ~female, *np.zeros((3, rows), bool)], axis=1))


TRAINING, OTHERS = people(300), people(200, first=1)
SPACE = {"coordinates": coordinate_space(common_components(TRAINING).requires_grad_(False))}
MEMBERS = torch.arange(0, 300, 4)


def copies(condition: ConditionTensors, seeds: torch.Tensor) -> Beats:
    """A prior that has learned by heart: the beat of whoever has the condition, if it knows them."""
    distance = torch.cdist(condition.numbers, TRAINING.examples.condition.numbers)
    return TRAINING.examples.beats[distance.argmin(dim=1)]


def strangers(condition: ConditionTensors, seeds: torch.Tensor) -> Beats:
    """A prior that draws people whom nobody knows, of the sex that is asked for."""
    new = people(2000, first=7)
    women, men = (torch.nonzero(new.examples.condition.numbers[:, 1] == sex)[:, 0] for sex in (1, 0))
    pick = torch.where(condition.numbers[:, 1] == 1, women[seeds % len(women)], men[seeds % len(men)])
    return new.examples.beats[pick]


def test_attacks_find_a_prior_that_copies_and_no_other() -> None:
    near = Neighbourhood.fitted(SPACE["coordinates"], TRAINING.examples.beats.usual, OTHERS.examples.beats.usual)
    for draw, low, high in ((copies, 0.99, 1.0), (strangers, 0.0, 0.1)):
        extracted = keyed_extraction(draw, SPACE, TRAINING[MEMBERS], OTHERS, draws=3, seed=0)["coordinates"]
        linked = linkage(draw, SPACE, TRAINING, MEMBERS, OTHERS, seed=0)["coordinates"]
        share = near_share(draw(TRAINING.examples.condition, torch.arange(300)), near)
        for rate in (extracted.members, linked.members, share):
            assert low <= rate.value <= high
        assert extracted.others.value < 0.1 and linked.others.value < 0.1


def test_decoys_are_of_like_condition_and_somebody_else() -> None:
    asked = OTHERS[torch.arange(5)]
    itself = asked.examples.patients[:, None] == OTHERS.examples.patients
    found = alike(asked, OTHERS, itself)
    assert found.shape == (5, DECOYS)
    assert not (found == torch.arange(5)[:, None]).any()
    assert (OTHERS.labels[found.numpy()] == asked.labels[:, None]).all()


def test_real_people_are_as_useful_as_real_people() -> None:
    components, test = common_components(TRAINING), OTHERS
    assert classifier(TRAINING.examples.beats, TRAINING.labels, test, components, seed=0).value > 0.95
    assert classifier(TRAINING.examples.beats, TRAINING.labels[::-1], test, components, seed=0).value < 0.9
    assert discriminator(people(200, first=5).examples.beats, test, components, seed=0).value < 0.65
    beats = TRAINING.examples.beats
    larger = Beats(2 * beats.usual, beats.ectopic, beats.has_ectopic)
    near = measurement_distances(TRAINING.examples.beats, TRAINING, test)["r_amplitude_mv"]
    assert measurement_distances(larger, TRAINING, test)["r_amplitude_mv"] > 2 * near


def test_the_most_useful_prior_that_gives_nobody_away_is_chosen() -> None:
    def result(auc: float, leak: float, membership: float) -> dict[str, object]:
        rates = {"members": [leak, leak - 0.01, leak + 0.01], "others": [0.02, 0.01, 0.03]}
        attacks = {"keyed extraction": rates, "membership AUC of the loss": {"members": [0.5, 0.5, membership]}}
        return {"attacks": attacks, "utility": {"classifier": [auc, auc - 0.01, auc + 0.01]}}

    found = dict(
        zip(
            (arm.name for arm in ARMS),
            [
                result(0.90, 0.20, 0.52),
                result(0.89, 0.02, 0.58),
                result(0.88, 0.02, 0.53),
                result(0.878, 0.02, 0.53),
                result(0.80, 0.02, 0.5),
                result(0.70, 0.02, 0.5),
            ],
            strict=True,
        )
    )
    assert chosen(found, model_released=True) == "+ rejection"
    assert chosen(found, model_released=False) == "coarse keys"
    assert chosen({name: result(0.9, 0.2, 0.5) for name in found}, model_released=False) == "none"


def test_an_arm_is_trained_once_and_judged_as_real_beats_are(tmp_path: Path) -> None:
    short = replace(QUICK.how, steps=4, check_every=2)
    plan = replace(QUICK, how=short, private_how=short, patients_per_step=20, asked=4, draws=2)
    outsiders, held_out, judge = people(60, first=9), OTHERS[torch.arange(100)], OTHERS[torch.arange(100, 200)]
    bench = Bench(TRAINING, outsiders, held_out, judge, SPACE["coordinates"], plan, tmp_path)
    real = bench.of_real()
    judged = [bench.of_arm(ARMS[4])() for _ in range(2)]
    del judged[0]["training"]["seconds"], judged[1]["training"]["seconds"]
    assert judged[0] == judged[1]
    assert judged[0]["training"]["privacy"]["unit"] == "patient"
    assert 0 < judged[0]["training"]["privacy"]["epsilon"] <= 8
    assert judged[0]["utility"].keys() == real["utility"].keys()
    assert real["attacks"].keys() < judged[0]["attacks"].keys()
    assert judged[0]["rejection"]["draws"] == 300 + 100 + 2 * (4 * 2) + 60 + 60
    assert (tmp_path / "private-8.safetensors").is_file()
