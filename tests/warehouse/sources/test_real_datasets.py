"""Every source on real recordings, where there are any: all of them are listed, what is stated is known or listed."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from models.leads import STANDARD_LEADS
from tests.warehouse.sources.example_datasets.wfdb_files import ecg, write_record
from warehouse.sources.mimic_iv_ecg import MACHINE_COLUMNS
from warehouse.sources.record import BadRecord
from warehouse.sources.registry import open_source
from warehouse.sources.source import Source
from warehouse.statements import statements

READ_OF_EACH = 12


def read_some(source: Source, rate_hz: int) -> Counter[str]:
    """Outcome of reading records that lie evenly among all."""
    records = source.records()
    outcomes: Counter[str] = Counter()
    for record in records[:: max(len(records) // READ_OF_EACH, 1)]:
        try:
            window = source.read(record, rate_hz)
            assert window.shape == (8, 10 * rate_hz) and np.isfinite(window).all()
            outcomes["read"] += 1
        except BadRecord as error:
            outcomes[error.reason] += 1
    return outcomes


@pytest.mark.parametrize(
    ("kind", "folder", "records", "patients", "reasons"),
    [
        ("ptbxl", "ptbxl", 1779, 1656, {"read"}),
        ("cinc", "cinc2021", 176, 176, {"read"}),
        ("ludb", "ludb", 100, 100, {"read"}),
        ("sph", "sph", 10, 10, {"read", "missing_file"}),
        ("ptbdb", "ptbdb", 22, 20, {"read"}),
        ("wfdb", "brugada_huca", 12, 12, {"read"}),
    ],
)
def test_real_dataset(
    shared_data: Path, kind: str, folder: str, records: int, patients: int, reasons: set[str]
) -> None:
    source = open_source(kind, shared_data / folder)
    assert (len(source.records()), len({one.patient for one in source.records()})) == (records, patients)
    assert source.refused() == []
    assert set(read_some(source, 100)) <= reasons


@pytest.mark.parametrize(("kind", "folder"), [("ptbxl", "ptbxl"), ("ludb", "ludb"), ("cinc", "cinc2021")])
def test_a_recording_of_500_hz_is_the_same_at_every_rate(shared_data: Path, kind: str, folder: str) -> None:
    source = open_source(kind, shared_data / folder)
    record = next(one for one in source.records() if one.file(500))
    at_100, at_250, at_500 = (source.read(record, rate_hz) for rate_hz in (100, 250, 500))
    assert (at_100.shape[1], at_250.shape[1], at_500.shape[1]) == (1000, 2500, 5000)
    # Every second sample of 500 Hz lies where one of 250 Hz does; what differs is above 125 Hz.
    assert np.corrcoef(at_500[:, ::2].ravel(), at_250.ravel())[0, 1] > 0.999
    assert np.corrcoef(at_500[:, ::5].ravel(), at_100.ravel())[0, 1] > 0.98


def test_every_label_of_cinc_and_sph_is_known(shared_data: Path) -> None:
    for kind, folder in (("cinc", "cinc2021"), ("sph", "sph"), ("ptbxl", "ptbxl")):
        source = open_source(kind, shared_data / folder)
        assert [code for code in source.statement_counts() if code not in statements().by_code] == []


def test_both_challenges_mappings_are_in_the_vocabulary(shared_data: Path) -> None:
    for name in ("scored", "unscored"):
        with (shared_data / "cinc2021" / f"dx_mapping_{name}.csv").open(newline="") as file:
            concepts = [row["SNOMEDCTCode"] for row in csv.DictReader(file)]
        assert [concept for concept in concepts if statements().of_snomed(concept) is None] == []


def test_what_ptbxl_says_of_its_statements_is_what_the_vocabulary_says(shared_data: Path) -> None:
    with (shared_data / "ptbxl" / "scp_statements.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            known = statements().by_code[row[""]]
            diagnostic = row["diagnostic_class"] if known.kind == "diagnostic" else ""
            assert (known.description, known.superclass) == (row["description"].strip(), diagnostic)
            assert row[known.kind] == "1.0"


def test_centres_of_cinc(shared_data: Path) -> None:
    source = open_source("cinc", shared_data / "cinc2021")
    views = [dict(one.coded_views)["centre"][0] for one in source.records()]
    assert Counter(views) == {
        "cpsc_2018": 78,
        "ningbo": 33,
        "georgia": 32,
        "cpsc_2018_extra": 18,
        "chapman_shaoxing": 10,
        "ptb": 5,
    }


def test_ludb_keeps_einthovens_identity(shared_data: Path) -> None:
    source = open_source("ludb", shared_data / "ludb")
    for record in source.records()[::20]:
        leads = source.decode(record, 500).millivolts
        np.testing.assert_allclose(leads["III"], leads["II"] - leads["I"], atol=0.002)


def test_mimic_with_real_hospital_tables(shared_data: Path, tmp_path: Path) -> None:
    """ECGs are made up, recorded at the start of every admission of the demo and once long after all of them."""
    hospital = shared_data / "mimic_iv_demo" / "hosp"
    with gzip.open(hospital / "admissions.csv.gz", "rt", newline="") as file:
        admissions = list(csv.DictReader(file))
    with gzip.open(hospital / "diagnoses_icd.csv.gz", "rt", newline="") as file:
        coded = {row["hadm_id"] for row in csv.DictReader(file)}
    (tmp_path / "hosp").symlink_to(hospital)
    write_record(tmp_path / "files" / "0", ecg(0), leads=STANDARD_LEADS)
    times = [one["admittime"] for one in admissions] + ["2299-01-01 00:00:00"]
    patients = [one["subject_id"] for one in admissions] + [admissions[0]["subject_id"]]
    with (tmp_path / "record_list.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["subject_id", "study_id", "file_name", "ecg_time", "path"])
        for study, (patient, time) in enumerate(zip(patients, times, strict=True)):
            table.writerow([patient, study, study, time, f"files/{study}"])
    with (tmp_path / "machine_measurements.csv").open("w", newline="") as file:
        real = (shared_data / "mimic_iv_ecg" / "machine_measurements_1row.csv").read_text().splitlines()[0]
        assert set(MACHINE_COLUMNS) <= set(real.split(","))
        file.write(f"{real}\n{patients[0]},0,0,{times[0]},Sinus rhythm" + "," * (real.count(",") - 4) + "\n")
    source = open_source("mimic_iv_ecg", tmp_path)
    records = source.records()
    assert len(records) == len(times) == 276
    views = [dict(one.coded_views) for one in records]
    assert [view for view, one in zip(views, admissions, strict=False) if one["hadm_id"] in coded and not view] == []
    assert views[-1] == {}
    assert {name for view in views for name in view} == {"diagnoses", "procedures", "medications"}
    assert Counter(code.partition(":")[0] for view in views for code in view.get("diagnoses", ())).keys() == {
        "ICD9",
        "ICD10",
    }
    assert all(one.sex and one.age_years is not None for one in records[:-1])
    assert records[0].statements == (("SR", 100.0),)
    assert source.read(records[0], 100).shape == (8, 1000)
