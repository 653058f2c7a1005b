"""What guides drawn by a trained flow are chosen by: which criteria of their condition, how often, and the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.conditioning import ConditionTensors
from models.counter_random import further_seeds
from models.flow.claims import HEART_RATE, measured_guides, satisfies
from models.flow.config import SteeringClaim
from models.flow.generator import FlowGenerator
from models.flow.steering import fitted_weights
from tasks.conditions.cohort_design import group_conditions
from tasks.conditions.condition import StatementFacts, conditions_of
from tasks.conditions.criteria import Criterion, expected_of_conditions, kept_claims, textbook_criteria
from tasks.knowledge.packaged_models import one_thread
from tasks.settings import CohortSettings
from tasks.stage import run_logger
from tasks.training.data.beats import load_beats
from tasks.training.data.conditions import load_conditions
from tasks.training.data.recorded import Recorded, load_recorded
from tasks.training.data.recordings import read_metadata
from tasks.training.preparation.conditions import GROUP_PATIENTS
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

FEWEST_PATIENTS: Final = 20
"""Training patients behind a share that steers."""
DRAWN_FOR: Final = 64
"""Conditions of each criterion that weights are found on, about."""


@dataclass(frozen=True)
class Examples:
    """What guides of training recordings show, and the conditions that a cohort would ask for in their place.

    Attributes:
        recorded: rhythm and beats of N recordings.
        expected: (N, criteria) bool, which criteria are of a recording.
        condition: of N groups.
        expected_of_groups: (N, criteria) bool.
    """

    recorded: Recorded
    expected: np.ndarray
    condition: ConditionTensors
    expected_of_groups: np.ndarray


def steering_claims(
    store: Store,
    folder: Path,
    prepared: Path,
    generator: FlowGenerator,
    statement_facts: StatementFacts,
    recordings: Reference,
    knowledge: Reference | None,
    seed: int,
) -> tuple[SteeringClaim, ...]:
    """Find what guides of a trained flow are chosen by.

    Args:
        store: the warehouse.
        folder: of the model, with what preparation left.
        prepared: folder with the recordings' R peaks.
        generator: whose prior and rhythms draw guides.
        statement_facts: description and kind of each statement.
        recordings: what it learned from.
        knowledge: whose kept claims count beside the rules of textbooks; None for none.
        seed: of training.
    """
    criteria = steering_criteria(store, knowledge)
    metadata = read_metadata(store.path(recordings))
    train = metadata.take(load_beats(prepared, "train").rows.numpy())
    of_groups = group_conditions(train, train, GROUP_PATIENTS, statement_facts)
    examples = Examples(
        load_recorded(folder, "train"),
        expected_of_conditions(criteria, conditions_of(train)),
        load_conditions(folder, "train").group_condition,
        expected_of_conditions(criteria, of_groups),
    )
    with one_thread():
        found = fitted_claims(generator, criteria, examples, seed)
    run_logger().info("guides are chosen by %d of %d criteria", len(found), len(criteria))
    return found


def steering_criteria(store: Store, knowledge: Reference | None) -> list[Criterion]:
    """The rules of textbooks and the kept claims of a knowledge base, but for those about heart rates."""
    claims = kept_claims(store, knowledge) if knowledge and knowledge.rows else []
    return [one for one in (*textbook_criteria(), *claims) if one.claim.feature != HEART_RATE]


def fitted_claims(
    generator: FlowGenerator, criteria: Sequence[Criterion], examples: Examples, seed: int
) -> tuple[SteeringClaim, ...]:
    """Weights with which drawn guides satisfy criteria as often as those of training recordings.

    Both are measured in the same way, on guides: what the flow makes of a drawn guide is then what recordings are
    beside theirs.

    Returns:
        Criteria of at least `FEWEST_PATIENTS` patients whose weight is not 0.
    """
    claims, duration_s = [one.claim for one in criteria], generator.config.samples / generator.config.sampling_rate_hz
    recorded, known = examples.recorded, examples.recorded.known.numpy()
    met = satisfies(measured_guides(recorded.rhythm, recorded.beats, duration_s), claims)[known]
    asked, patients = examples.expected[known], recorded.patients.numpy()[known]
    people = np.array([len(np.unique(patients[each])) for each in asked.T])
    share = (met & asked).sum(axis=0) / np.maximum(asked.sum(axis=0), 1)
    kept = np.flatnonzero((people >= FEWEST_PATIENTS) & examples.expected_of_groups.any(axis=0))
    if not len(kept):
        return ()
    expected = examples.expected_of_groups[:, kept]
    rows, importance = _some_of_each(expected, seed)
    condition = examples.condition[torch.from_numpy(rows)]
    draw = generator.drawing(condition, condition, CohortSettings().trait_guidance)
    weights = fitted_weights(
        draw,
        [claims[place] for place in kept.tolist()],
        expected[rows],
        importance,
        share[kept],
        _standard_error(share[kept], people[kept]),
        _seeds(rows, seed),
        duration_s,
    ).round(3)
    return tuple(
        _steering_claim(criteria[place], float(share[place]), int(people[place]), float(weight))
        for place, weight in zip(kept.tolist(), weights, strict=True)
        if weight
    )


def _some_of_each(expected: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows, about `DRAWN_FOR` or all of each criterion, and how many rows each stands for, by Poisson sampling."""
    often = np.minimum(1.0, DRAWN_FOR / np.maximum(expected.sum(axis=0), 1))
    chance = np.where(expected, often, 0.0).max(axis=1)
    rows = np.flatnonzero(np.random.default_rng(seed).random(len(chance)) < chance)
    return rows, 1.0 / chance[rows]


def _seeds(rows: np.ndarray, seed: int) -> Tensor:
    return further_seeds(torch.tensor([seed]), "weights of claims", int(rows.max()) + 1)[0, torch.from_numpy(rows)]


def _standard_error(share: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Of a share, by Agresti and Coull (Am Stat 52:119-126, 1998), which is not 0 for shares of 0 and 1."""
    near = (share * people + 2.0) / (people + 4.0)
    return np.sqrt(near * (1.0 - near) / (people + 4.0))


def _steering_claim(criterion: Criterion, share: float, patients: int, weight: float) -> SteeringClaim:
    claim = criterion.claim
    return SteeringClaim(
        statement=criterion.statement,
        sex=criterion.sex,
        age_band=criterion.age_band,
        feature=claim.feature,
        lead=claim.lead,
        comparison=claim.comparison,
        value=claim.value,
        upper=claim.upper,
        share=round(share, 3),
        patients=patients,
        weight=weight,
    )
