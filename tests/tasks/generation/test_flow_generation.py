"""Cohorts of a flow: beats too near to a training patient's are drawn again or their rows left out, and counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from models.flow.config import SteeringClaim
from models.leads import LEAD_COLUMNS
from tasks.conditions.cohort_design import design_cohort, row_seed
from tasks.conditions.request import ConditionError
from tasks.generation.cohort_table import part_note, summarise
from tasks.generation.single_ecg import sample_single_ecg
from tasks.generation.task import DESIGN_COLUMNS, GenerationError, PartWriter, generate_ecgs
from tasks.settings import CohortSettings, ComputeSettings
from tests.tasks.clinic import STATEMENTS, put_model, put_recordings, recordings_table
from tests.tasks.flow_clinic import put_flow
from warehouse.storage.facts import BeatRejectionFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

SETTINGS = CohortSettings(min_patients=2, size=6, sampler_steps=1, guide_guidance=1.5, batch_size=4)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Reference]:
    store = Store(str(tmp_path_factory.mktemp("flow")))
    return store, put_recordings(store, recordings_table(60))


@pytest.fixture(scope="module")
def writer(clinic: tuple[Store, Reference]) -> PartWriter:
    store, recordings = clinic
    model, knowledge = put_flow(store, recordings)
    known = store.read(recordings, "recordings", DESIGN_COLUMNS)
    return PartWriter(
        cohort="flow",
        settings=SETTINGS,
        design=design_cohort(known.filter(pc.equal(known["split"], "train")), SETTINGS, STATEMENTS),
        model=model,
        knowledge=knowledge,
        statement_facts=STATEMENTS,
        simulated=True,
        uri=str(store.root),
        threads=1,
    )


def generated(writer: PartWriter, radius: float, rows: int) -> tuple[pa.Table, BeatRejectionFacts]:
    """Rows whose beats are kept away so far from the one training beat, and what that took."""
    rejection = writer.generator.rejection
    writer.generator.rejection = replace(rejection, usual=replace(rejection.usual, radius=radius))
    table, found, _ = writer.generate(range(rows))
    assert found is not None
    return table, found


def distances(writer: PartWriter, rows: int) -> np.ndarray:
    """(rows, draws) how far the guided draws of each row's usual beat lie from the training beat."""
    tensors, _ = writer.embedder([writer.design.ask(1, row, STATEMENTS) for row in range(rows)])
    seeds, space = torch.tensor([row_seed(1, row) for row in range(rows)]), writer.generator.rejection.usual
    none = torch.zeros(rows, dtype=torch.bool)
    drawn = [writer.generator.prior.draw(tensors, seeds, n, none, SETTINGS.trait_guidance).usual for n in range(17)]
    return np.stack([(space.space(one) - space.training).norm(dim=1).numpy() for one in drawn], axis=1)


def test_refused_rows_are_left_out_and_counted(writer: PartWriter) -> None:
    whole, none = generated(writer, 0.0, 6)
    assert whole["row_number"].to_pylist() == list(range(6))
    assert (none.redrawn, none.redraws, none.refused) == (0, 0, 0)
    away = distances(writer, 6)
    radius = float(np.sort(away.max(axis=1))[4]) + 1e-4
    kept, found = generated(writer, radius, 6)
    assert found.redrawn >= (away[:, 0] < radius).sum() and found.redraws > 5 * 16
    inside = {row for row in range(6) if (away[row] < radius).all()}
    left_out = set(range(6)) - set(kept["row_number"].to_pylist())
    assert 0 < found.refused == len(left_out) and left_out <= inside
    facts = summarise([part_note(whole, none), part_note(kept, found)])
    assert facts["beat_rejection"] == found.model_dump()
    nothing, all_refused = generated(writer, 1e6, 3)
    assert nothing.num_rows == part_note(nothing, all_refused)["rows"] == 0 and all_refused.refused == 3


def test_claims_of_a_condition_steer_and_draws_are_counted(writer: PartWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    config, held = writer.generator.config, [writer.design.ask(1, row, STATEMENTS).statements for row in range(6)]
    statement = held[0][0]
    asked = sum(statement in codes for codes in held)
    claim = SteeringClaim(
        statement=statement, feature="qrs_ms", comparison="above", value=500, share=0.5, patients=99, weight=1.0
    )
    free, _ = generated(writer, 0.0, 6)
    monkeypatch.setattr(writer.generator, "config", config.model_copy(update={"claims": (claim,)}))
    table, rejected, draws = writer.generate(range(6))
    assert 0 < asked == sum(draws.values()) and table.num_rows == 6
    assert summarise([part_note(table, rejected, draws)] * 2)["draws"] == {draw: 2 * n for draw, n in draws.items()}
    # Nobody satisfies it, so that all draws are alike and the first is taken.
    assert set(draws) == {"1"} and table.select(LEAD_COLUMNS).equals(free.select(LEAD_COLUMNS))
    monkeypatch.setattr(writer, "settings", SETTINGS.model_copy(update={"claims": False}))
    assert writer.generate(range(6))[2] == {}


def test_a_single_ecg_is_sampled_or_refused_in_one_line(clinic: tuple[Store, Reference]) -> None:
    store, recordings = clinic
    free, near = (store.manifest(put_flow(store, recordings, radius)[0]) for radius in (1e-9, 1e6))
    ecg = sample_single_ecg(store, free, "left ventricular hypertrophy", 50.0, "male", 200.0, 1)
    assert ecg.signal.shape == (8, 1000) and np.isfinite(ecg.signal).all()
    with pytest.raises(ConditionError, match="seed 1: every beat drawn for this request lay as near to a training"):
        sample_single_ecg(store, near, "sinus rhythm", 50.0, "male", 70.0, 1)


def test_guidance_by_the_guide_is_a_flows(clinic: tuple[Store, Reference]) -> None:
    store, recordings = clinic
    model, knowledge = put_model(store, recordings)
    with pytest.raises(GenerationError, match=r"is no flow and has no cohort\.guide_guidance=1\.5; leave it at 1"):
        generate_ecgs.fn(SETTINGS, model, knowledge, recordings, ComputeSettings(), str(store.root))
