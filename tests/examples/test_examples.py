"""Every example runs as it stands, from a warehouse with a small release, and prints what it should."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

import examples
from models.leads import to_twelve_leads
from tasks.ingestion.task import INGESTION  # loads Prefect: first loaded by a script, it would close captured streams
from tests.tiny_pipeline import SAMPLES, STATEMENTS, TinyPipeline, publish_tiny
from warehouse.catalog.catalog import rebuild_catalog
from warehouse.sources.registry import SOURCES
from warehouse.storage.store import Store
from warehouse.storage.waveforms import from_lead_columns

SCRIPTS = {path.stem: path for path in sorted(Path(examples.__file__).parent.glob("[!_]*.py"))}
PRINTED = {
    "add_source": ["39 of 40 ECGs are in the warehouse", "refused 0007: too_short, 300 samples", "train: "],
    "query_release": ["│ tiny    │ v1 ", "│ sinus tachycardia                 │     8 │ 120.0 │", "8 ECGs of CLBBB"],
    "run_one_stage": [f"made by '{INGESTION.name}', code version {INGESTION.code_version}", "quarantined {"],
    "train_on_release": [f"24 ECGs of (12, {SAMPLES}) with 3 statements", "epoch 5: loss ", "of 4 other ECGs"],
}
"""Name of each script to some of what it prints."""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(str(tmp_path_factory.mktemp("released")))
    publish_tiny(store, TinyPipeline(store).commit())
    rebuild_catalog(store)
    return store.root


def run(name: str, warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a script as a person would; the names it leaves."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPTS[name]), str(warehouse)])
    # Undone after the test: the source that a script registers is no kind of this repository.
    monkeypatch.setitem(SOURCES, "clinic", "")
    return runpy.run_path(str(SCRIPTS[name]), run_name="__main__")


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_and_prints_what_it_should(
    name: str, warehouse: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(name, warehouse, monkeypatch)
    printed = capsys.readouterr().out
    for words in PRINTED[name]:
        assert words in printed
    assert len(printed.splitlines()) < 50
    assert len(SCRIPTS[name].read_text().splitlines()) < 100


def test_the_dataset_of_a_release_is_what_the_warehouse_reads(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = run("train_on_release", warehouse, monkeypatch)["release"]
    table = pq.read_table(warehouse / "releases" / "tiny" / "current" / "cohorts")
    expected = torch.from_numpy(to_twelve_leads(from_lead_columns(table)))
    signal, labels = (torch.stack(each) for each in zip(*release, strict=True))
    torch.testing.assert_close(signal, expected)
    assert release.statements == sorted(STATEMENTS)
    assert [[release.statements[one] for one in row.nonzero()] for row in labels] == table["statements"].to_pylist()


@pytest.mark.parametrize("name", ["query_release", "train_on_release"])
def test_without_a_release_a_script_says_what_to_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="holds no release; run `make demo`"):
        run(name, tmp_path, monkeypatch)
