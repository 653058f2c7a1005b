"""The swap ladder: each part of the chain can be given another condition, and what acts is measured where it acts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.swap import DELIVERED, FEWEST, LOGIT, Judges, checks, details, rise, swapped_rows
from benchmarks.swap_chain import (
    DROPPED,
    EVERYTHING,
    PARTS,
    SHUFFLED,
    UNSWAPPED,
    VARIANTS,
    Chain,
    ladder,
    with_knowledge_of,
)
from models.conditioning import ConditionTensors
from models.flow.generator import FlowGenerator
from models.latent_diffusion.generator import Generator
from tasks.conditions.cohort_design import row_seed
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.delivery import textbook_criteria
from tasks.settings import CohortSettings
from tasks.training.model_folder import load_generator
from tests.models.synthetic_hearts import ecgs
from tests.tasks.clinic import cohort_table, people, put_model, put_recordings, recordings_table
from tests.tasks.flow_clinic import put_flow
from warehouse.storage.reference import digest
from warehouse.storage.store import Lineage, Store
from warehouse.storage.waveforms import from_lead_columns


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """That of a cohort of an untrained model."""
    store = Store(str(tmp_path_factory.mktemp("swap")))
    recordings = put_recordings(store, recordings_table(60))
    model, knowledge = put_model(store, recordings)
    settings = CohortSettings(name="swap", size=30, sampler_steps=3).model_dump(mode="json")
    made_of = Lineage(stage="generate cohort", code_version=1, settings=settings, inputs=[model, knowledge, recordings])
    with store.stage("cohort", digest("swap")) as staging:
        staging.write_table("cohorts", 0, cohort_table(*people(30, seed=1)))
        return Chain(store, staging.commit(30, made_of))


@pytest.fixture(scope="module")
def generator(chain: Chain) -> Generator:
    return chain.generator


def conditions(generator: Generator | FlowGenerator, seed: int, rate: float) -> ConditionTensors:
    shape = generator.config.denoiser
    random = torch.Generator().manual_seed(seed)
    nothing = ConditionTensors.nothing(4, shape.statement_tokens, shape.knowledge_tokens)
    said = {name: torch.randn(tensor.shape, generator=random) for name, tensor in nothing.tensors().items()}
    return ConditionTensors(
        said["text"],
        said["statements"],
        said["knowledge"],
        torch.tensor([[60.0, 1.0, rate]]).repeat(4, 1),
        torch.ones_like(nothing.present),
    )


def test_each_part_acts_by_itself_and_all_together_are_condition_b(chain: Chain, generator: Generator) -> None:
    usual, swapped, seeds = conditions(generator, 1, 60.0), conditions(generator, 2, 110.0), [1, 2, 3, 4]
    made, sampling = chain.ladder(usual, swapped, seeds), chain.settings.sampling
    assert tuple(made) == VARIANTS
    np.testing.assert_array_equal(made[UNSWAPPED], generator.sample(usual, seeds, **sampling).numpy())
    np.testing.assert_array_equal(made[EVERYTHING], generator.sample(swapped, seeds, **sampling).numpy())
    for part in PARTS:
        assert not np.allclose(made[part], made[UNSWAPPED]) and not np.allclose(made[part], made[EVERYTHING])
    assert not np.allclose(made[DROPPED], made[EVERYTHING]) and not np.allclose(made[SHUFFLED], made[EVERYTHING])


def test_each_part_of_a_flow_acts_by_itself(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    model, _ = put_flow(store, put_recordings(store, recordings_table(30)))
    flow = load_generator(store.path(model))
    usual, swapped = conditions(flow, 1, 60.0), conditions(flow, 2, 110.0)
    made = ladder(flow, usual, swapped, [1, 2, 3, 4], CohortSettings(sampler_steps=1).sampling)
    assert tuple(made) == VARIANTS
    for part in PARTS:
        assert not np.allclose(made[part], made[UNSWAPPED]) and not np.allclose(made[part], made[EVERYTHING])
    made[EVERYTHING][1] = np.nan  # as a refused row
    judges = Judges(lambda each: np.full((len(each), 1), 0.5), ["SBRAD"], textbook_criteria(), 100)
    found = judges.of(made[EVERYTHING], "SBRAD")
    assert np.isnan(found[LOGIT]).tolist() == np.isnan(found[DELIVERED]).tolist() == [False, True, False, False]


def test_conditions_and_seeds_are_those_of_the_cohorts_rows(chain: Chain) -> None:
    asked, seeds = chain.conditions([0, 1, 2, 3]), chain.seeds([0, 1, 2, 3])
    assert len(asked) == 4 and len(set(seeds)) == 4
    assert seeds == [row_seed(chain.settings.seed, row) for row in range(4)]
    again, _ = chain.embedder([chain.design.ask(chain.settings.seed, row, chain.facts.statements) for row in range(4)])
    assert all(torch.equal(one, again.tensors()[name]) for name, one in asked.tensors().items())


def test_knowledge_goes_to_other_rows_with_its_gaps(generator: Generator) -> None:
    condition = conditions(generator, 1, 60.0)
    first = 1 + condition.statements.shape[1]
    condition.present[0, first] = False
    turned = with_knowledge_of(condition, torch.arange(4).roll(1))
    assert torch.equal(turned.knowledge[1], condition.knowledge[0]) and not turned.present[1, first]
    assert turned.present[0, first]
    assert torch.equal(turned.statements, condition.statements) and torch.equal(turned.numbers, condition.numbers)


def test_a_rise_is_paired_by_seed_and_every_condition_weighs_the_same() -> None:
    rng = np.random.default_rng(1)
    found = {}
    for code, count, effect in (("AFIB", 40, 3.0), ("STACH", 10, 1.0)):
        base = rng.normal(0, 5, count)
        values = {variant: base + rng.normal(0, 0.1, count) for variant in VARIANTS}
        values["beats"] = values["beats"] + effect
        found[code] = {name: {LOGIT: each, DELIVERED: np.full(count, np.nan)} for name, each in values.items()}
    estimate, n = rise(found, "beats", UNSWAPPED, LOGIT)
    assert estimate.value == pytest.approx(2.0, abs=0.1) and n == 50
    by_name = {check.name: check for check in checks(found)}
    assert by_name[f"{LOGIT}, B in beats only"].low > 1.5
    nothing = by_name[f"{LOGIT}, B in rhythm only"]
    assert abs(nothing.value) < 0.1
    assert by_name[f"{DELIVERED}, B in beats only"].value is None
    assert details(found, {code: {} for code in found})["AFIB"]["n"] == 40


def test_ecgs_that_show_a_condition_are_judged_so() -> None:
    signal = ecgs(12, 1)
    slow, fast = signal[:, :, ::1], np.repeat(signal, 2, axis=2)[:, :, :1000]
    judges = Judges(lambda each: np.full((len(each), 1), 0.5), ["SBRAD"], textbook_criteria(), 100)
    found = [judges.of(each, "SBRAD") for each in (slow, fast)]
    assert found[0][LOGIT] == pytest.approx(0.0)
    # At half the speed, hearts of 55 to 100 bpm are below 60.
    assert found[1][DELIVERED].mean() > 0.9 > found[0][DELIVERED].mean()


def test_rows_of_both_conditions_are_equally_many(tmp_path: Path) -> None:
    table = cohort_table(*people(30, seed=1))
    cohort = EcgSet(table, from_lead_columns(table), np.arange(30).astype(str))
    usual, swapped = swapped_rows(cohort, "LVH", 50)
    assert len(usual) == len(swapped) == 10 >= FEWEST
    assert all("NORM" in cohort.statements[row] for row in usual)
    assert all("LVH" in cohort.statements[row] for row in swapped)
    assert swapped_rows(cohort, "AFIB", 50) == ([], [])
