"""The benchmark of prevention: attacks find a prior that copies, and what a prior draws is compared with people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.prevention.__main__ import Bench, chosen
from benchmarks.prevention.arms import ARMS, QUICK
from benchmarks.prevention.attacks import DECOYS, Draw, alike, crossed, keyed_extraction, linkage, near_share
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
GROUPS = TRAINING[torch.arange(150)], TRAINING[torch.arange(150, 300)]
SPACE = {"coordinates": coordinate_space(common_components(TRAINING).requires_grad_(False))}
ASK = keyed_extraction(SPACE, OTHERS, draws=3)


def copier(known: People) -> Draw:
    """A prior that has learned by heart: the beat of whoever has the condition if it knows them, else a stranger's."""

    def draw(condition: ConditionTensors, seeds: torch.Tensor) -> Beats:
        same = (condition.numbers[:, None] == known.examples.condition.numbers).all(dim=2)
        own, others = known.examples.beats[same.int().argmax(dim=1)], strangers(condition, seeds)
        usual = torch.where(same.any(dim=1)[:, None, None], own.usual, others.usual)
        return Beats(usual, others.ectopic, others.has_ectopic)

    return draw


STRANGERS = people(2000, first=7)


def strangers(condition: ConditionTensors, seeds: torch.Tensor) -> Beats:
    """A prior that draws people whom nobody knows, of the sex that is asked for."""
    women, men = (torch.nonzero(STRANGERS.examples.condition.numbers[:, 1] == sex)[:, 0] for sex in (1, 0))
    of_sex = [many[(seeds * 7919) % len(many)] for many in (women, men)]
    return STRANGERS.examples.beats[torch.where(condition.numbers[:, 1] == 1, *of_sex)]


def test_a_prior_that_has_learned_by_heart_is_found_and_only_as_for_its_members() -> None:
    draws = [copier(group) for group in GROUPS]
    for attack in (ASK, linkage(SPACE, TRAINING)):
        found = crossed(draws, GROUPS, attack, seed=0)["coordinates"]
        assert found.members.value == 1.0
        assert found.others.value < 0.06 and found.difference.low > 0.9
    near = Neighbourhood.fitted(SPACE["coordinates"], TRAINING.examples.beats.usual, OTHERS.examples.beats.usual)
    assert near_share(copier(TRAINING)(TRAINING.examples.condition, torch.arange(300)), near).value == 1.0
    assert near_share(strangers(TRAINING.examples.condition, torch.arange(300)), near).value < 0.05


def test_a_prior_that_knows_nobody_finds_people_by_chance() -> None:
    """Own beats are one of `DECOYS` + 1 that nothing but the sex, which all have in common, tells apart."""
    many = people(3000, first=3)
    found = crossed([strangers, strangers], (many, many), keyed_extraction(SPACE, OTHERS, draws=1), seed=5)
    rates = found["coordinates"]
    assert rates.members.low < 1 / (DECOYS + 1) < rates.members.high < 0.03
    assert rates.difference.value == 0.0


def test_people_who_are_easier_to_find_are_no_members_for_that() -> None:
    """What differs between groups is no membership: the same people are compared with themselves."""
    points = SPACE["coordinates"](TRAINING.examples.beats.usual)
    usual = points.norm(dim=1) < points.norm(dim=1).median()
    unlike = TRAINING[usual], TRAINING[~usual]
    each = [ASK(strangers, group, 0)["coordinates"].mean() for group in unlike]
    assert each[0] > each[1] + 0.02, "one group in the other's place would seem to leak"
    found = crossed([strangers, strangers], unlike, ASK, seed=0)["coordinates"]
    assert found.difference.value == 0.0 and found.difference.low < 0 < found.difference.high


def test_decoys_are_of_like_condition() -> None:
    asked = TRAINING[torch.arange(5)]
    found = alike(asked, OTHERS)
    assert found.shape == (5, DECOYS)
    assert (OTHERS.labels[found.numpy()] == asked.labels[:, None]).all()


def test_patients_are_asked_for_once() -> None:
    several = examples(60, recordings=3)
    chosen = People(several, np.zeros((60, 5), bool)).one_of_each(seed=1)
    assert sorted(chosen.examples.patients.tolist()) == list(range(20))
    assert len(People(several, np.zeros((60, 5), bool)).one_of_each(seed=1, most=7)) == 7


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
        rates = {"members": [leak], "others": [0.02], "difference": [leak - 0.02, leak - 0.03, leak - 0.01]}
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
    decoys, held_out, judge = people(60, first=9), OTHERS[torch.arange(100)], OTHERS[torch.arange(100, 200)]
    groups = people(40, first=10), people(40, first=11)
    bench = Bench(TRAINING, groups, decoys, held_out, judge, SPACE["coordinates"], plan, tmp_path)
    real = bench.of_real()
    judged = [bench.of_arm(ARMS[4])() for _ in range(2)]
    del judged[0]["training"]["seconds"], judged[1]["training"]["seconds"]
    assert judged[0] == judged[1]
    assert judged[0]["training"]["privacy"]["unit"] == "patient"
    assert 0 < judged[0]["training"]["privacy"]["epsilon"] <= 8
    assert judged[0]["utility"].keys() == real["utility"].keys()
    assert real["attacks"].keys() < judged[0]["attacks"].keys()
    assert judged[0]["rejection"]["draws"] == 340 + 100 + 4 * (4 * 2) + 4 * 4
    assert (tmp_path / "private-8-1.safetensors").is_file()
