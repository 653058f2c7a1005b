"""PTB-XL: what its tables say, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.warehouse.small_dataset import SmallDataset
from warehouse.errors import SourceError
from warehouse.sources.record import REASONS
from warehouse.sources.registry import open_source
from warehouse.sources.statement_table import statements_table


@pytest.fixture
def dataset(tmp_path: Path) -> SmallDataset:
    return SmallDataset(tmp_path / "ptbxl", records=3)


def test_real_tables_are_read_whole(shared_data: Path) -> None:
    source = open_source("ptbxl", shared_data / "ptbxl")
    records = source.records()
    assert (len(records), source.refused(), source.name, source.simulated) == (1779, [], "ptbxl", False)
    assert len(source.statements()) == 71
    assert Counter(one.sex for one in records) == {"female": 949, "male": 830}
    assert max(one.age_years for one in records if one.age_years is not None) == 90
    assert sum(not one.text for one in records) == 612
    coded = {(view, code) for one in records for view, codes in one.coded_views for code in codes}
    assert {view for view, _ in coded} == {"axis", "infarction_stage", "extra_beats", "pacemaker"}
    assert {code for view, code in coded if view == "extra_beats"} == {"ventricular", "supraventricular", "unspecified"}
    folds_of_patient: dict[str, set[int]] = {}
    for one in records:
        folds_of_patient.setdefault(one.patient, set()).add(one.strat_fold)
    assert all(len(folds) == 1 for folds in folds_of_patient.values())


def test_statements_count_towards_superclasses_whatever_their_likelihood(dataset: SmallDataset) -> None:
    dataset.rows[0]["scp_codes"] = "{'IMI': 0.0, 'NDT': 50.0, 'AFIB': 0.0}"
    dataset.write()
    record = open_source("ptbxl", dataset.folder).records()[0]
    assert record.statements == (("IMI", 0.0), ("NDT", 50.0), ("AFIB", 0.0))
    assert record.superclasses == ("MI", "STTC")


def test_coded_views_are_read_where_there_are_any(dataset: SmallDataset) -> None:
    axis = {"heart_axis": "LAD", "infarction_stadium1": "Stadium III", "infarction_stadium2": ""}
    dataset.rows = [row | dict.fromkeys(axis, "") for row in dataset.rows]
    dataset.rows[0] |= axis
    dataset.write()
    first, second, *_ = open_source("ptbxl", dataset.folder).records()
    assert first.coded_views == (("axis", ("LAD",)), ("infarction_stage", ("Stadium III",)))
    assert second.coded_views == ()


def test_extra_beats_and_pacemakers_are_read_out_of_free_words(dataset: SmallDataset) -> None:
    said = {
        "VES1,alles": ("ventricular",),
        "2ES,SVES": ("supraventricular",),
        "VES,SVES2,alles": ("ventricular", "supraventricular"),
        "1,V1": ("unspecified",),
    }
    for text, codes in said.items():
        dataset.rows[0] |= {"extra_beats": text, "pacemaker": "ja, nan"}
        dataset.rows = [{"extra_beats": "", "pacemaker": "PACE????, nan"} | row for row in dataset.rows]
        dataset.write()
        first, second, *_ = open_source("ptbxl", dataset.folder).records()
        assert first.coded_views == (("extra_beats", codes), ("pacemaker", ("present",)))
        assert second.coded_views == (("pacemaker", ("possible",)),)


def test_a_statement_that_no_list_knows_is_kept_and_listed(dataset: SmallDataset) -> None:
    dataset.rows[0]["scp_codes"] = "{'XYZ': 80.0, 'IMI': 0.0}"
    dataset.write()
    source = open_source("ptbxl", dataset.folder)
    assert source.records()[0].statements == (("XYZ", 80.0), ("IMI", 0.0))
    assert source.statements()["XYZ"] == {"description": "XYZ", "superclass": "", "kind": ""}
    listed = {row["code"]: row for row in statements_table(source).to_pylist()}
    assert (listed["XYZ"]["known"], listed["XYZ"]["records"], listed["IMI"]["aha"]) == (False, 1, ["161"])


def test_statements_are_described(dataset: SmallDataset) -> None:
    statements = open_source("ptbxl", dataset.folder).statements()
    assert statements["IMI"] == {
        "description": "inferior myocardial infarction",
        "superclass": "MI",
        "kind": "diagnostic",
    }
    assert statements["AFIB"] == {"description": "atrial fibrillation", "superclass": "", "kind": "rhythm"}


@pytest.mark.parametrize(
    ("written", "age"),
    [
        ("56.0", 56),
        ("0", 0),
        ("89", 89),
        ("300.0", 90),
        ("90", 90),
        ("95", 90),
        ("-1", None),
        ("150", None),
        ("", None),
    ],
)
def test_ages(dataset: SmallDataset, written: str, age: float | None) -> None:
    dataset.rows[0]["age"] = written
    dataset.write()
    assert open_source("ptbxl", dataset.folder).records()[0].age_years == age


@pytest.mark.parametrize(
    ("written", "sex"), [("0", "male"), ("1", "female"), ("1.0", "female"), ("", None), ("2", None)]
)
def test_sexes(dataset: SmallDataset, written: str, sex: str | None) -> None:
    dataset.rows[0]["sex"] = written
    dataset.write()
    assert open_source("ptbxl", dataset.folder).records()[0].sex == sex


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("scp_codes", "NORM", "bad_statements"),
        ("scp_codes", "['NORM']", "bad_statements"),
        ("scp_codes", "{'NORM': 'sure'}", "bad_statements"),
        ("scp_codes", "{'NORM': 101.0}", "bad_statements"),
        ("scp_codes", "", "bad_statements"),
        ("scp_codes", "__import__('os').getcwd()", "bad_statements"),
        ("strat_fold", "11", "bad_fold"),
        ("strat_fold", "2.5", "bad_fold"),
        ("strat_fold", "", "bad_fold"),
        ("patient_id", "", "missing_patient"),
        ("ecg_id", "1", "duplicate_record"),
        ("filename_lr", "/etc/passwd", "bad_path"),
        ("filename_lr", "records100/../../secret", "bad_path"),
        ("filename_lr", "s3://bucket/record", "bad_path"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(dataset: SmallDataset, column: str, value: str, reason: str) -> None:
    dataset.rows[1][column] = value
    dataset.write()
    source = open_source("ptbxl", dataset.folder)
    assert [one.record for one in source.records()] == ["1", "3"]
    assert [one.reason for one in source.refused()] == [reason]
    assert reason in REASONS


def test_whole_numbers_may_be_written_as_fractions(dataset: SmallDataset) -> None:
    dataset.rows[0] |= {"patient_id": "15709.0", "ecg_id": "1.0", "strat_fold": "1.0"}
    dataset.write()
    record = open_source("ptbxl", dataset.folder).records()[0]
    assert (record.patient, record.record, record.strat_fold) == ("15709", "1", 1)


def test_only_the_first_rows(dataset: SmallDataset) -> None:
    assert [one.record for one in open_source("ptbxl", dataset.folder).records(2)] == ["1", "2"]


def test_simulated_recordings_never_pass_for_real_ones_nor_real_ones_for_simulated(dataset: SmallDataset) -> None:
    with pytest.raises(SourceError, match=r"has no SIMULATED\.md: its recordings were not simulated"):
        open_source("simulated", dataset.folder)
    (dataset.folder / "SIMULATED.md").write_text("simulated", encoding="utf-8")
    with pytest.raises(SourceError, match=r"holds SIMULATED\.md: .*set source\.kind to simulated"):
        open_source("ptbxl", dataset.folder)
    assert open_source("simulated", dataset.folder).records()


def test_parent_of_the_dataset(dataset: SmallDataset) -> None:
    with pytest.raises(SourceError, match=f"did you mean {dataset.folder}"):
        open_source("ptbxl", dataset.folder.parent)


def test_missing_columns_are_named(dataset: SmallDataset) -> None:
    path = dataset.folder / "ptbxl_database.csv"
    path.write_text(path.read_text().replace("scp_codes", "codes").replace("strat_fold", "fold"), encoding="utf-8")
    with pytest.raises(
        SourceError, match=r"ptbxl_database\.csv: missing column\(s\) scp_codes, strat_fold; it has ecg_id,"
    ):
        open_source("ptbxl", dataset.folder).records()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00broken", b"ecg_id"])
def test_unreadable_database(dataset: SmallDataset, content: bytes) -> None:
    (dataset.folder / "ptbxl_database.csv").write_bytes(content)
    with pytest.raises(SourceError, match=r"ptbxl_database\.csv"):
        open_source("ptbxl", dataset.folder).records()


def test_database_without_rows(dataset: SmallDataset) -> None:
    dataset.rows.clear()
    dataset.write()
    with pytest.raises(SourceError, match="holds no rows"):
        open_source("ptbxl", dataset.folder).records()
