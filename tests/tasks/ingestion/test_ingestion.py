"""Ingestion on a real Ray: what is kept, what is refused, and that an interruption changes nothing."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from models.leads import STANDARD_LEADS
from tasks.ingestion import task as ingestion
from tasks.ingestion.recording_parts import Window, write_part
from tasks.ingestion.task import INGESTION, ingest_recordings, reference_source
from tasks.settings import ComputeSettings, IngestionSettings, SimulationSettings, SourceSettings
from tasks.simulation.task import simulate_dataset
from tasks.stage import retry_if_transient, stage_id
from tests.warehouse.hashed_files import count_hashed_files
from tests.warehouse.small_dataset import SmallDataset, ordinary_ecg
from warehouse.catalog.catalog import query
from warehouse.errors import SourceError, WarehouseError
from warehouse.sources.registry import SOURCES, open_source
from warehouse.storage.pseudonyms import KEY_VARIABLE, pseudonyms_of
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveforms import from_lead_columns

SMALL_PARTS = IngestionSettings(recordings_per_part=4, workers=1)

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module", autouse=True)
def _one_key_for_all_warehouses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, "5a" * 32)
        yield


@pytest.fixture
def dataset(tmp_path: Path) -> SmallDataset:
    return SmallDataset(tmp_path / "ptbxl", records=12)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return str(tmp_path / "warehouse")


def ingest(folder: Path, uri: str, settings: IngestionSettings = SMALL_PARTS) -> Reference:
    source = reference_source.fn(SourceSettings(kind="ptbxl", path=str(folder)), uri)
    return ingest_recordings.fn(settings, "ptbxl", source, ComputeSettings(), uri)


@pytest.fixture(scope="module")
def real(shared_data: Path, ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Reference]:
    """The real subset, ingested with the default settings."""
    uri = str(tmp_path_factory.mktemp("real"))
    return Store(uri), ingest(shared_data / "ptbxl", uri, IngestionSettings())


@pytest.mark.slow
def test_the_real_subset_is_kept_whole_and_split_by_patient(real: tuple[Store, Reference]) -> None:
    store, reference = real
    facts = store.manifest(reference).facts
    assert reference.rows == 1779
    assert facts["splits"] == {"train": 1347, "validation": 217, "test": 215}
    assert facts["quarantined"] == {}
    assert (facts["source"], facts["simulated"], facts["samples"], facts["sampling_rate_hz"]) == (
        "ptbxl",
        False,
        1000,
        100,
    )
    assert facts["statements"]["NORM"]["superclass"] == "NORM"
    leaked = query(store, "select patient_key from recordings group by 1 having count(distinct split) > 1")
    assert leaked.rows == []
    assert store.read(reference, "quarantine").num_rows == 0


@pytest.mark.slow
def test_real_measurements_are_plausible(real: tuple[Store, Reference]) -> None:
    store, _ = real
    rows = query(
        store,
        "select median(heart_rate_bpm), median(qrs_ms), count(*) filter (heart_rate_bpm is null), "
        "median(rr_irregularity) filter (list_contains(list_transform(statements, lambda s: s.code), 'AFIB')), "
        "median(rr_irregularity) filter (list_contains(list_transform(statements, lambda s: s.code), 'NORM')) "
        "from recordings",
    ).rows
    heart_rate, qrs, unmeasured, irregular, regular = rows[0]
    assert 60 < heart_rate < 85
    assert 75 < qrs < 115
    assert unmeasured < 20
    assert irregular > 2 * regular


@pytest.mark.slow
def test_real_waveforms_come_back_to_the_microvolt(real: tuple[Store, Reference], shared_data: Path) -> None:
    store, reference = real
    source = open_source("ptbxl", shared_data / "ptbxl")
    pseudonyms = pseudonyms_of(store)
    table = store.read(reference, "recordings")
    stored = from_lead_columns(table)
    for row, record in list(enumerate(source.records()))[::200]:
        assert table["recording_id"][row].as_py() == pseudonyms.recording("ptbxl", record.record)
        np.testing.assert_allclose(stored[row], source.read(record, 100), atol=1e-6)


@pytest.mark.slow
def test_real_identifiers_do_not_appear(real: tuple[Store, Reference], shared_data: Path) -> None:
    store, reference = real
    records = open_source("ptbxl", shared_data / "ptbxl").records()
    table = store.read(reference, "recordings", ["recording_id", "patient_key"])
    ids, patients = set(table["recording_id"].to_pylist()), set(table["patient_key"].to_pylist())
    assert len(ids) == len(records)
    assert len(patients) == len({record.patient for record in records})
    assert not (ids | patients) & {text for record in records for text in (record.record, record.patient)}


def test_real_recordings_at_500_hz(shared_data: Path, uri: str) -> None:
    reference = ingest(shared_data / "ptbxl", uri, IngestionSettings(sampling_rate_hz=500, max_recordings=240))
    store = Store(uri)
    facts = store.manifest(reference).facts
    refused = store.read(reference, "quarantine")
    assert (facts["samples"], facts["sampling_rate_hz"]) == (5000, 500)
    assert reference.rows + refused.num_rows == 240
    assert reference.rows > 200
    assert set(refused["reason"].to_pylist()) <= {"missing_file"}
    assert query(store, "select lead_ii from latest_recordings limit 1").types == ["SMALLINT[5000]"]


def test_bad_records_are_quarantined_with_their_reason(dataset: SmallDataset, uri: str) -> None:
    dataset.stem(2).with_suffix(".hea").unlink()
    signal = dataset.stem(5).with_suffix(".dat")
    signal.write_bytes(signal.read_bytes()[:100])
    dataset.write_record("00007_lr", ordinary_ecg(7, duration_s=3))
    dataset.rows[8]["scp_codes"] = "nothing"
    dataset.rows[11]["patient_id"] = dataset.rows[0]["patient_id"]
    dataset.rows[11]["strat_fold"] = 10
    flat = ordinary_ecg(10)
    flat[STANDARD_LEADS.index("V2")] = 0.0
    dataset.write_record("00010_lr", flat)
    dataset.write()
    reference = ingest(dataset.folder, uri)
    store = Store(uri)
    refused = store.read(reference, "quarantine").to_pylist()
    assert {row["record"].removeprefix("records100/00000/"): row["reason"] for row in refused} == {
        "00001_lr": "patient_in_several_splits",
        "00002_lr": "missing_file",
        "00005_lr": "bad_signal",
        "00007_lr": "too_short",
        "00009_lr": "bad_statements",
        "00012_lr": "patient_in_several_splits",
    }
    assert all(row["detail"] for row in refused)
    facts = store.manifest(reference).facts
    assert facts["quarantined"] == dict(Counter(row["reason"] for row in refused))
    assert reference.rows == 6 == sum(facts["splits"].values())
    flags = query(store, "select count(*) from recordings where list_contains(quality_flags, 'flat_lead_v2')")
    assert flags.rows == [(1,)]


def test_exactly_the_damaged_files_of_a_simulated_dataset_are_refused(uri: str) -> None:
    source = simulate_dataset.fn(SimulationSettings(recordings=40, damaged_files=7), uri)
    store = Store(uri)
    reference = ingest_recordings.fn(
        SMALL_PARTS.model_copy(update={"recordings_per_part": 512}), "simulated", source, ComputeSettings(), uri
    )
    refused = store.read(reference, "quarantine")["record"].to_pylist()
    assert sorted(refused) == sorted(store.manifest(source).facts["damaged"])
    assert reference.rows == 33
    assert query(store, "select distinct source, simulated from recordings").rows == [("simulated", True)]
    assert query(store, "select distinct simulated from datasets").rows == [(True,)]


def test_nothing_left_names_the_folder_and_the_reasons(dataset: SmallDataset, uri: str) -> None:
    shutil.rmtree(dataset.folder / "records100")
    with pytest.raises(SourceError, match=rf"no recordings left in {dataset.folder} .*refused: missing_file 12"):
        ingest(dataset.folder, uri)
    assert Store(uri).committed() == []


def test_only_what_changed_is_done_again(dataset: SmallDataset, uri: str) -> None:
    first = ingest(dataset.folder, uri)
    manifest = Path(first.uri) / "MANIFEST.json"
    before = manifest.stat().st_mtime_ns
    assert ingest(dataset.folder, uri, SMALL_PARTS.model_copy(update={"workers": 3})) == first
    assert manifest.stat().st_mtime_ns == before
    dataset.write_record("00003_lr", ordinary_ecg(33))
    assert ingest(dataset.folder, uri).id != first.id


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def test_an_interrupted_ingestion_ends_with_the_same_rows(
    dataset: SmallDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (2, 6, 11):
        dataset.stem(number).with_suffix(".dat").unlink()
    whole = ingest(dataset.folder, str(tmp_path / "whole"))
    write_parts = ingestion.write_parts

    def interrupted(*arguments: object) -> Iterator[int]:
        for done in write_parts(*arguments):  # type: ignore[arg-type]
            if done == 1:
                raise KeyboardInterrupt
            yield done

    uri = str(tmp_path / "interrupted")
    with monkeypatch.context() as killed:
        killed.setattr(ingestion, "write_parts", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ingest(dataset.folder, uri)
    assert Store(uri).committed() == []
    resumed = ingest(dataset.folder, uri)
    assert resumed.id == whole.id
    assert contents(Path(resumed.uri)) == contents(Path(whole.uri))
    assert Store(uri).read(resumed, "quarantine").num_rows == 3


def test_parts_that_exist_are_not_read_again(dataset: SmallDataset, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(ingestion, "_report", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ingest(dataset.folder, uri)
    # Everything was written before the kill: the files are no longer needed to finish.
    source = reference_source.fn(SourceSettings(kind="ptbxl", path=str(dataset.folder)), uri)
    shutil.rmtree(dataset.folder / "records100")
    assert ingest_recordings.fn(SMALL_PARTS, "ptbxl", source, ComputeSettings(), uri).rows == 12


def test_parts_just_written_are_not_read_back(dataset: SmallDataset, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset.stem(2).with_suffix(".dat").unlink()
    source = reference_source.fn(SourceSettings(kind="ptbxl", path=str(dataset.folder)), uri)
    read_table = pq.read_table
    with monkeypatch.context() as unread:
        unread.setattr(pq, "read_table", lambda path, **how: None if "part-" in path.name else read_table(path, **how))
        reference = ingest_recordings.fn(SMALL_PARTS, "ptbxl", source, ComputeSettings(), uri)
    facts = Store(uri).manifest(reference).facts
    assert facts["splits"] == {"train": 9, "validation": 1, "test": 1}
    assert facts["quarantined"] == {"missing_file": 1}


def test_where_a_dataset_has_no_folds_each_patient_gets_one(dataset: SmallDataset, uri: str) -> None:
    listed = open_source("ptbxl", dataset.folder).records()[0]
    many = [replace(listed, record=str(n), patient=str(n // 2), strat_fold=None) for n in range(4000)]
    assigned, refused = ingestion.assign(many, SMALL_PARTS, "ptbxl", pseudonyms_of(Store(uri)))
    assert not refused
    folds: defaultdict[str, set[tuple[int | None, str]]] = defaultdict(set)
    for one in assigned:
        folds[one.patient_key].add((one.record.strat_fold, one.split))
    assert len(folds) == 2000
    assert all(len(of_patient) == 1 for of_patient in folds.values())
    counts = Counter(one.record.strat_fold for one in assigned)
    assert sorted(counts) == list(range(1, 11))
    assert min(counts.values()) > 300
    assert {one.split for one in assigned if one.record.strat_fold == 9} == {"validation"}


def test_a_full_disk_while_a_part_is_written(dataset: SmallDataset, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source("ptbxl", dataset.folder)
    store = Store(uri)
    assigned, _ = ingestion.assign(source.records(), SMALL_PARTS, "ptbxl", pseudonyms_of(store))

    def full(table: pa.Table, where: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.stage("recordings", "a1") as staging:
        with monkeypatch.context() as disk:
            disk.setattr("warehouse.storage.store.pq.write_table", full)
            with pytest.raises(WarehouseError, match="no space left while writing"):
                write_part(source, staging, Window(100, 10.0), 0, assigned)
        assert not staging.has_part("recordings", 0)
        assert not list(staging.path.rglob("*.parquet*"))
        write_part(source, staging, Window(100, 10.0), 0, assigned)
        assert pq.read_metadata(staging.path / "recordings" / "part-00000.parquet").num_rows == 12


def test_a_write_that_fails_in_a_worker_is_one_line(dataset: SmallDataset, uri: str) -> None:
    source = reference_source.fn(SourceSettings(kind="ptbxl", path=str(dataset.folder)), uri)
    store = Store(uri)
    identifier = stage_id(INGESTION, SMALL_PARTS.for_digest(), [source])
    staging = store.staging_folder("recordings", identifier)
    staging.mkdir(parents=True)
    (staging / "recordings").write_text("a file where the table belongs")
    with pytest.raises(
        WarehouseError, match=r"^cannot write .*recordings.* \(File exists\); make it writable"
    ) as caught:
        ingest_recordings.fn(SMALL_PARTS, "ptbxl", source, ComputeSettings(), uri)
    assert "\n" not in str(caught.value)
    assert store.committed() == []


def test_an_unwritable_warehouse_is_one_line(dataset: SmallDataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match="cannot write"):
        ingest(dataset.folder, str(tmp_path / "file" / "warehouse"))


def test_a_source_without_a_path_names_the_setting(uri: str) -> None:
    with pytest.raises(SourceError, match=r"source\.path is not set; .*--data PATH"):
        reference_source.fn(SourceSettings(kind="ptbxl"), uri)


def test_two_hospitals_of_one_kind_need_two_names(dataset: SmallDataset, tmp_path: Path, uri: str) -> None:
    first = ingest(dataset.folder, uri)
    other = SmallDataset(tmp_path / "hospital-b", records=12)
    other.write_record("00001_lr", ordinary_ecg(77))
    with pytest.raises(SourceError, match=r"under the name ptbxl, .*--set source\.name=NAME"):
        ingest(other.folder, uri)
    settings = SourceSettings(kind="ptbxl", path=str(other.folder), name="hospital-b")
    source = reference_source.fn(settings, uri)
    second = ingest_recordings.fn(SMALL_PARTS, "ptbxl", source, ComputeSettings(), uri, settings.name)
    store = Store(uri)
    keys = [set(store.read(one, "recordings")["patient_key"].to_pylist()) for one in (first, second)]
    assert len(keys[0]) == len(keys[1]) == 12
    assert not keys[0] & keys[1]
    counts = query(store, "select source, count(*) from recordings group by 1 order by 1")
    assert counts.rows == [("hospital-b", 12), ("ptbxl", 12)]


def test_a_dataset_that_nothing_reads_is_one_line_that_lists_what_is_read() -> None:
    with pytest.raises(ValidationError, match=f"no dataset of this kind can be read; known are {', '.join(SOURCES)}"):
        SourceSettings(kind="holter")
    assert SourceSettings.model_json_schema()["properties"]["kind"]["enum"] == [*SOURCES]


def test_the_kind_of_a_dataset_chooses_its_reader(dataset: SmallDataset, uri: str) -> None:
    source = reference_source.fn(SourceSettings(kind="ptbxl", path=str(dataset.folder)), uri)
    with pytest.raises(SourceError, match=r"has no SIMULATED\.md"):
        ingest_recordings.fn(SMALL_PARTS, "simulated", source, ComputeSettings(), uri)


def test_files_that_did_not_change_are_not_read_again_unless_asked(
    dataset: SmallDataset, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in dataset.folder.rglob("*"):
        os.utime(path, (1e9, 1e9))
    settings = SourceSettings(kind="ptbxl", path=str(dataset.folder))
    first = reference_source.fn(settings, uri)
    hashed = count_hashed_files(monkeypatch)
    assert reference_source.fn(settings, uri) == first
    assert hashed.total() == 0
    assert reference_source.fn(settings.model_copy(update={"rehash": True}), uri) == first
    assert hashed.total() == 2 + 2 * 12


@pytest.mark.parametrize(
    "wrong",
    [
        {"validation_folds": (99,)},
        {"test_folds": (0,)},
        {"duration_s": 0.001},
        {"duration_s": 1e9},
        {"sampling_rate_hz": 200},
        {"windows": "every"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        IngestionSettings.model_validate(wrong)


def test_folds_cannot_be_both_validation_and_test() -> None:
    with pytest.raises(ValidationError, match="fold 9 cannot be both validation and test"):
        IngestionSettings(test_folds=(9, 10))


def test_only_transient_errors_are_retried() -> None:
    from prefect.states import Failed

    def retried(error: Exception) -> bool:
        return retry_if_transient(None, None, Failed(data=error))  # type: ignore[arg-type]

    assert retried(OSError(errno.ESTALE, "stale"))
    assert not retried(OSError(errno.ENOENT, "missing"))
    assert not retried(SourceError("wrong columns"))
    wrapped = RuntimeError("worker failed")
    wrapped.__cause__ = OSError(errno.EIO, "input/output error")
    assert retried(wrapped)


def test_importing_ingestion_loads_no_engine() -> None:
    code = "import sys, tasks.ingestion.task; print([name for name in ('ray', 'torch', 'wfdb') if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
