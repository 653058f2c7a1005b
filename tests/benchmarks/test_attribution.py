"""The attribution ladder: stages differ in what they draw, and the stage that loses realism is named."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import attribution, record
from benchmarks.attribution import added_detectability, chain, sets_to_compare
from benchmarks.attribution_stages import COHORT, RECONSTRUCTION
from benchmarks.flow_stages import RECORDED, SIMULATOR
from benchmarks.sampling import load_trained
from flows.profiles import load_settings
from models.evaluation.metrics import Estimate
from tasks.evaluation.rows.discriminators import DISCRIMINATORS
from tests.tasks.clinic import put_model, put_recordings, recordings_table
from tests.tasks.flow_clinic import put_flow
from warehouse.storage.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line for a small untrained model."""
    store = Store(str(tmp_path_factory.mktemp("attribution")))
    model, _ = put_model(store, put_recordings(store, recordings_table(120)))
    changes = ("cohort.sampler_steps=2", "cohort.min_patients=2", "evaluation.discriminator_steps=5")
    sets = (f"warehouse.uri={store.root}", "evaluation.bootstrap_samples=20", *changes)
    return ["--quick", "--profile", "demo", "--model", model.id, *(word for one in sets for word in ("--set", one))]


def test_every_stage_draws_one_thing_more(words: list[str]) -> None:
    settings = load_settings("demo", words[6::2])
    trained = load_trained(settings, words[4], 12)
    _, own, chosen = sets_to_compare(trained, 12, 1)
    made = {name: make() for name, make in chain(trained, own, chosen, settings).stages()}
    assert next(iter(made)) == RECONSTRUCTION and list(made)[-1] == COHORT and len(made) == 6
    for one in made.values():
        assert one.shape == own.signal.shape and np.isfinite(one).all()
    names = list(made)
    for before, after in itertools.pairwise(names):
        assert np.abs(made[before] - made[after]).max() > 1e-3, (before, after)
    again = dict(chain(trained, own, chosen, settings).stages())["drawn beat"]()
    assert np.array_equal(again, made["drawn beat"])


def test_every_stage_of_a_flow_draws_one_thing_more(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    recordings = put_recordings(store, recordings_table(120))
    model, _ = put_flow(store, recordings)
    settings = load_settings("demo", [f"warehouse.uri={store.root}", "cohort.sampler_steps=2", "cohort.min_patients=2"])
    trained = load_trained(settings, model.id, 10)
    _, own, chosen = sets_to_compare(trained, 10, 1)
    parts = chain(trained, own, chosen, settings)
    made = {name: make() for name, make in (*parts.beside(), *parts.stages())}
    assert list(made) == [SIMULATOR, RECORDED, "drawn beat", "drawn rhythm", COHORT]
    for before, after in itertools.pairwise(made):
        assert np.isfinite(made[after]).all() and np.abs(made[before] - made[after]).max() > 1e-3, (before, after)
    # The simulator's ECG of recorded beats beats where the recording does.
    likeness = [np.corrcoef(one[1], other[1])[0, 1] for one, other in zip(made[SIMULATOR], own.signal, strict=True)]
    assert np.median(likeness) > 0.5


def test_the_benchmark_names_the_stage_that_loses_most(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribution, "QUICK_ROWS", 12)
    monkeypatch.setattr(attribution, "publish", lambda *names, **rest: record.publish(*names, **rest, results=tmp_path))
    threads = torch.get_num_threads()
    try:
        attribution.main(words)
    finally:
        torch.set_num_threads(threads)
    written = json.loads((tmp_path / "attribution-quick.json").read_text())
    values = {check["name"]: check for check in written["checks"]}
    # An untrained autoencoder gives back nothing that resembles an ECG, and all that follows is no worse.
    assert written["details"]["stage_that_loses_most"] == RECONSTRUCTION
    assert values[f"{RECONSTRUCTION}: discriminator AUC"]["value"] > 0.9
    assert values["recordings themselves: discriminator AUC"]["value"] < 0.8
    assert values["recordings themselves: QRS distribution distance"]["unit"] == "ms"


def test_detectability_is_that_of_two_normal_distributions() -> None:
    def stage(*areas: float) -> dict[str, tuple[Estimate, int]]:
        return {name: (Estimate(area, area, area), 9) for name, area in zip(DISCRIMINATORS, areas, strict=True)}

    # Φ(1 / √2) is the area of two normal distributions one standard deviation apart.
    one_apart = 0.7602499389
    found = added_detectability(
        {"a": stage(0.5, 0.5, 0.5), "b": stage(one_apart, one_apart, one_apart), "c": stage(one_apart, 0.5, 0.5)}
    )
    assert found == pytest.approx({"b": 1.0, "c": -2 / 3})
