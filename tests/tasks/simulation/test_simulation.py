"""The simulated dataset: PTB-XL's layout, read by the reader that reads PTB-XL."""

from __future__ import annotations

import ast
import csv
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from models.leads import STANDARD_LEADS, einthoven_residual, to_twelve_leads
from tasks.settings import SimulationSettings
from tasks.simulation.simulated_patients import PRESENTATIONS, SCP_COLUMNS, draw_recordings
from tasks.simulation.task import DAMAGES, DATABASE_COLUMNS, WFDB_LEADS, simulate_dataset, write_record
from tests.models.located import measure
from tests.warehouse.sources.example_datasets.simulated import REASON_OF_DAMAGE
from warehouse.errors import EinthovenError
from warehouse.sources.ptbxl import PtbxlSource
from warehouse.sources.record import BadRecord
from warehouse.sources.simulated import SimulatedSource
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

SETTINGS = SimulationSettings(recordings=240, seed=5, damaged_files=len(DAMAGES))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("warehouse"))


@pytest.fixture(scope="module")
def dataset(warehouse: str) -> Reference:
    return simulate_dataset.fn(SETTINGS, warehouse)


@pytest.fixture(scope="module")
def source(dataset: Reference) -> SimulatedSource:
    return SimulatedSource(Path(dataset.uri))


def test_it_is_committed_with_facts(dataset: Reference, warehouse: str) -> None:
    assert dataset.kind == "source" and dataset.rows == SETTINGS.recordings
    facts = Store(warehouse).manifest(dataset).facts
    assert facts["simulated"] is True
    assert sum(facts["conditions"].values()) == SETTINGS.recordings
    assert sorted(facts["damaged"].values()) == sorted(DAMAGES)


def test_it_says_that_it_is_simulated(source: SimulatedSource) -> None:
    assert source.simulated and source.name == "simulated"
    assert "not recordings of\npeople" in (source.folder / "SIMULATED.md").read_text()


def test_tables_have_the_columns_of_the_real_files(source: SimulatedSource, shared_data: Path) -> None:
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        with (source.folder / name).open() as ours, (shared_data / "ptbxl" / name).open() as theirs:
            assert next(csv.reader(ours)) == next(csv.reader(theirs))
    assert len(DATABASE_COLUMNS) == 27 and len(SCP_COLUMNS) == 12


def test_statements_are_described_as_in_the_real_file(source: SimulatedSource, shared_data: Path) -> None:
    real = PtbxlSource(shared_data / "ptbxl").statements()
    for code, facts in source.statements().items():
        assert facts == real[code]


def test_every_row_is_usable_and_every_superclass_occurs(source: SimulatedSource) -> None:
    assert len(source.records()) == SETTINGS.recordings and not source.refused()
    assert {name for record in source.records() for name in record.superclasses} == {"NORM", "MI", "STTC", "CD", "HYP"}


def test_only_the_damaged_records_are_refused(source: SimulatedSource, warehouse: str, dataset: Reference) -> None:
    damaged = Store(warehouse).manifest(dataset).facts["damaged"]
    refused = {}
    for record in source.records():
        try:
            source.read(record, 100)
        except BadRecord as error:
            refused[dict(record.files)[100]] = error.reason
    assert refused == {name: REASON_OF_DAMAGE[damage] for name, damage in damaged.items()}


def test_records_hold_twelve_leads_that_obey_einthoven(
    source: SimulatedSource, dataset: Reference, warehouse: str
) -> None:
    damaged = Store(warehouse).manifest(dataset).facts["damaged"]
    name = next(dict(r.files)[100] for r in source.records() if dict(r.files)[100] not in damaged)
    record = wfdb.rdrecord(str(source.folder / name))
    assert record.sig_name == list(WFDB_LEADS) and record.fs == 100 and record.sig_len == 1000
    assert [lead.upper() for lead in STANDARD_LEADS] == record.sig_name
    assert einthoven_residual(record.p_signal.T) <= 0.001  # rounding to 1 µV


def test_bytes_are_those_of_wfdb(tmp_path: Path) -> None:
    counts = np.random.default_rng(1).integers(-2000, 2000, (12, 1000)).astype(np.int16)
    write_record(tmp_path / "00001_lr", counts)
    (tmp_path / "theirs").mkdir()
    wfdb.wrsamp(
        "00001_lr",
        fs=100,
        units=["mV"] * 12,
        sig_name=list(WFDB_LEADS),
        d_signal=counts.T,
        fmt=["16"] * 12,
        adc_gain=[1000.0] * 12,
        baseline=[0] * 12,
        write_dir=str(tmp_path / "theirs"),
    )
    for extension in (".hea", ".dat"):
        assert (tmp_path / f"00001_lr{extension}").read_bytes() == (
            tmp_path / "theirs" / f"00001_lr{extension}"
        ).read_bytes()


def test_patients_stay_in_one_fold_and_every_fold_holds_every_condition() -> None:
    recordings = draw_recordings(700, seed=1)
    assert (recordings.groupby("patient_id")["strat_fold"].nunique() == 1).all()
    assert recordings["patient_id"].nunique() < len(recordings)
    for _, rows in recordings.groupby("program"):
        assert set(rows["strat_fold"]) == set(range(1, 11))
    sizes = recordings["strat_fold"].value_counts()
    assert sizes.max() <= 1.3 * sizes.min()


def test_700_recordings_support_a_knowledge_entry_for_most_conditions() -> None:
    patients = defaultdict(set)
    recordings = draw_recordings(700, seed=1)
    training = recordings[recordings["strat_fold"] <= 8]
    for codes, patient in zip(training["scp_codes"], training["patient_id"], strict=True):
        for code in ast.literal_eval(codes):
            patients[code].add(patient)
    supported = [code for code, who in patients.items() if len(who) >= 20]
    assert {presentation.statements[0][0] for presentation in PRESENTATIONS} <= set(supported)


@pytest.mark.parametrize("count", [20, 33])
def test_small_datasets_work(count: int) -> None:
    recordings = draw_recordings(count, seed=2)
    assert len(recordings) == count and recordings["report"].str.len().min() > 0
    assert recordings["age"].between(18, 89).mean() > 0.5


def test_signals_fit_their_statements(source: SimulatedSource) -> None:
    slow: list[float] = []
    fast: list[float] = []
    for record in source.records():
        codes = {code for code, _ in record.statements}
        if codes & {"SBRAD", "STACH"}:
            try:
                rate = measure(source.read(record, 100)[None], 100)["heart_rate_bpm"][0]
            except BadRecord:
                continue
            (slow if "SBRAD" in codes else fast).append(rate)
    assert max(slow) < 60 and min(fast) > 100


def test_recordings_of_one_patient_look_alike(source: SimulatedSource) -> None:
    """QRS complexes of two recordings of one person correlate more than those of two people with the same condition."""
    features = defaultdict(list)
    for record in source.records():
        if ("NORM", 100.0) in record.statements or ("NORM", 80.0) in record.statements:
            try:
                signal = source.read(record, 100)
            except BadRecord:
                continue
            features[record.patient].append(measure(signal[None], 100)["r_amplitude_mv"][0])
    pairs = [np.abs(several[0] - several[1]).mean() for several in features.values() if len(several) > 1]
    firsts = [several[0] for several in features.values()]
    strangers = [np.abs(a - b).mean() for a, b in pairwise(firsts)]
    assert len(pairs) >= 3
    assert np.median(pairs) < 0.5 * np.median(strangers)


def test_the_same_again_does_no_work(dataset: Reference, warehouse: str) -> None:
    before = (Path(dataset.uri) / "MANIFEST.json").stat().st_mtime_ns
    assert simulate_dataset.fn(SETTINGS, warehouse) == dataset
    assert (Path(dataset.uri) / "MANIFEST.json").stat().st_mtime_ns == before


def test_another_seed_is_another_dataset_and_the_same_seed_the_same(dataset: Reference, tmp_path: Path) -> None:
    again = simulate_dataset.fn(SETTINGS, str(tmp_path))
    assert again.id == dataset.id
    name = "records100/00000/00002_lr.dat"
    assert (Path(again.uri) / name).read_bytes() == (Path(dataset.uri) / name).read_bytes()
    assert (Path(again.uri) / "ptbxl_database.csv").read_bytes() == (
        Path(dataset.uri) / "ptbxl_database.csv"
    ).read_bytes()
    assert draw_recordings(50, 5)["report"].tolist() != draw_recordings(50, 6)["report"].tolist()


def test_an_interrupted_run_continues_to_the_same_dataset(
    dataset: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.simulation.task as simulation

    def power_cut(stem: Path, damage: str) -> None:
        if damage == "missing lead":
            raise KeyboardInterrupt
        real(stem, damage)

    real = simulation._damage
    monkeypatch.setattr(simulation, "_damage", power_cut)
    with pytest.raises(KeyboardInterrupt):
        simulate_dataset.fn(SETTINGS, str(tmp_path))
    assert not (tmp_path / "source").exists()
    monkeypatch.setattr(simulation, "_damage", real)
    resumed = simulate_dataset.fn(SETTINGS, str(tmp_path))
    theirs = {entry.path: entry.sha256 for entry in Store(str(tmp_path)).manifest(resumed).files}
    ours = {entry.path: entry.sha256 for entry in Store(str(Path(dataset.uri).parent.parent)).manifest(dataset).files}
    assert theirs == ours


def test_more_damage_than_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EinthovenError, match="damaged_files"):
        simulate_dataset.fn(SimulationSettings(recordings=20, damaged_files=21), str(tmp_path))


def test_nothing_identifies_a_device_or_site(source: SimulatedSource) -> None:
    table = pd.read_csv(source.folder / "ptbxl_database.csv")
    assert table[["device", "site", "nurse", "filename_hr"]].isna().all().all()


def test_twelve_leads_are_written_from_the_eight(source: SimulatedSource, dataset: Reference, warehouse: str) -> None:
    damaged = Store(warehouse).manifest(dataset).facts["damaged"]
    record = next(r for r in source.records() if dict(r.files)[100] not in damaged)
    eight = source.read(record, 100)
    stored = wfdb.rdrecord(str(source.folder / dict(record.files)[100])).p_signal.T
    np.testing.assert_allclose(to_twelve_leads(eight.astype(np.float64)), stored, atol=0.0011)
