"""Rate and length are those of the recordings, from the training of a flow to the picture of what it generates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.ecg.beats import beat_samples
from models.flow.generator import FlowGenerator
from models.flow.transformer import patch_samples
from tasks.conditions.condition import Condition
from tasks.drawing.ecg_paper import draw_ecg
from tasks.ecg_sets import read_cohort
from tasks.evaluation.rows.ode_residual import load_equation
from tasks.generation.cohort_table import cohort_table
from tasks.settings import CohortSettings, RetrievalSettings
from tasks.training.beat_prior import train_beats
from tasks.training.flow_model import beats_of, prepare, save_model
from tasks.training.model_folder import load_generator
from tasks.training.networks.flow import FlowRecipe
from tasks.training.networks.recipe import Material
from tests.facts import cohort_facts
from tests.models.test_conditioning import conditions
from tests.tasks.small_training import SMALL_FLOW, STATEMENTS, commit_inputs, recordings_table, small
from warehouse.storage.store import Lineage, Store
from warehouse.storage.waveform_file import waveform_file

ROWS = 24
SETTINGS = small(
    generator="flow", flow={**SMALL_FLOW, "physics": {"simulator_weight": 0.1, "inter_lead_weight": 0.1}, "steps": 3}
)


@pytest.mark.parametrize(("rate_hz", "seconds"), [(250, 5), (500, 10), (100, 30)])
def test_a_flow_of_any_rate_and_length(tmp_path: Path, rate_hz: int, seconds: int) -> None:
    store, folder, samples = Store(str(tmp_path)), tmp_path / "model", seconds * rate_hz
    folder.mkdir()
    recordings, _ = commit_inputs(store, recordings_table(ROWS, samples, rate_hz))
    prepared = prepare(store, folder, SETTINGS, recordings, None, RetrievalSettings())
    assert (prepared.data.samples, prepared.data.sampling_rate_hz) == (samples, rate_hz)
    train_beats(folder, SETTINGS)
    recipe = FlowRecipe(Material(folder, waveform_file(store, recordings), beats_of(folder), SETTINGS, prepared.data))
    assert recipe.network.samples == patch_samples(rate_hz) == rate_hz // 10 and recipe.patches == 10 * seconds
    batch = recipe.batch("train", torch.arange(4), torch.device("cpu"))
    assert batch["signal"].shape[-1] == round(0.8 * recipe.patches) * recipe.network.samples
    before, _ = beat_samples(rate_hz)
    assert ((batch["beats"].r_peak - batch["beats"].start) > before - 1).all()
    losses = recipe.objective(**batch)
    losses["loss"].backward()
    assert all(torch.isfinite(loss) for loss in losses.values()) and losses.keys() > {"euler", "inter_lead"}
    recipe.finish(torch.device("cpu"))
    save_model(store, folder, SETTINGS, recordings, None, RetrievalSettings(), prepared)

    generator = load_generator(folder)
    assert isinstance(generator, FlowGenerator)
    condition, sampling = conditions(3, statements=4, entries=3), CohortSettings().sampling
    condition.numbers[:, 2] = torch.tensor([50.0, 75.0, 120.0])
    # Without a step the ECG is the simulator's, whose beats can be measured; a network of no training draws none.
    signal = generator.sample(condition, [1, 2, 3], **{**sampling, "steps": 0}).numpy()
    drawn = generator.sample(condition, [1, 2, 3], **{**sampling, "steps": 2})
    assert signal.shape == drawn.shape == (3, 8, samples) and torch.isfinite(drawn).all()

    asked = [Condition("", ("NORM",), 60.0, "female", rate) for rate in (50.0, 75.0, 120.0)]
    table = cohort_table(
        "c", range(3), [1, 2, 3], asked, [()] * 3, [[]] * 3, signal, rate_hz, "m", True, prepared.conditions.statements
    )
    with store.stage("cohort", "c") as staging:
        staging.write_table("cohorts", 0, table)
        lineage = Lineage(stage="test", code_version=1, settings={}, inputs=[])
        cohort = staging.commit(3, lineage, cohort_facts(sampling_rate_hz=rate_hz, samples=samples))
    ecgs = read_cohort(store, cohort)
    assert np.abs(ecgs.signal - signal).max() <= 0.0006, "waveforms are stored in whole microvolts"
    assert ecgs.number("heart_rate_bpm") == pytest.approx([50, 75, 120], rel=0.03)
    equation = load_equation(folder)
    assert equation is not None
    everyone = replace(equation, statements=STATEMENTS)
    assert np.isfinite(everyone.residual(ecgs, rate_hz)).all()
    figure = draw_ecg(ecgs.signal[0], rate_hz, "x")
    assert len([line for line in figure.axes[0].lines if len(line.get_xdata()) > 100]) == 13
