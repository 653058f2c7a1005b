"""What became of every record that was read, without Ray: copies of waveforms, windows, and the sum of it all."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.ingestion.outcome import Outcome, collect
from tasks.ingestion.recording_parts import TABLE, Window, write_part
from tasks.ingestion.task import assign
from tasks.settings import IngestionSettings
from tests.warehouse.small_dataset import SmallDataset, ordinary_ecg
from warehouse.errors import WarehouseError
from warehouse.sources.registry import open_source
from warehouse.storage.pseudonyms import pseudonyms_of
from warehouse.storage.store import Staging, Store

PER_PART = 4


@pytest.fixture
def dataset(tmp_path: Path) -> SmallDataset:
    return SmallDataset(tmp_path / "ptbxl", records=12)


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[Staging]:
    with Store(str(tmp_path / "warehouse")).stage("recordings", "a1") as staging:
        yield staging


def ingest(dataset: SmallDataset, staging: Staging, every: bool = False) -> tuple[Outcome, int]:
    """The outcome of all parts, and how many records were given to be read."""
    source = open_source("ptbxl", dataset.folder)
    assigned, _ = assign(source.records(), IngestionSettings(), source.name, pseudonyms_of(staging.store))
    parts = [assigned[start : start + PER_PART] for start in range(0, len(assigned), PER_PART)]
    for part, assignments in enumerate(parts):
        write_part(source, staging, Window(100, 10.0, every), part, assignments)
    outcome = collect(staging, len(parts))
    outcome.check(Counter({"ptbxl": len(assigned)}))
    return outcome, len(parts)


def read(staging: Staging, part: int) -> pa.Table:
    return pq.read_table(staging.part(TABLE, part), partitioning=None)


def rows(staging: Staging, parts: int) -> int:
    return sum(int(read(staging, part).num_rows) for part in range(parts))


def test_a_file_named_by_two_patients_is_nobodys(dataset: SmallDataset, staging: Staging) -> None:
    dataset.rows[9]["filename_lr"] = dataset.rows[0]["filename_lr"]
    dataset.write()
    outcome, parts = ingest(dataset, staging)
    refused = Counter((one.record.rpartition("/")[2], one.reason) for one in outcome.refused)
    assert refused == {("00001_lr", "duplicate_waveform"): 2}
    assert (outcome.read["ptbxl"], outcome.splits.total(), rows(staging, parts)) == (12, 10, 10)
    assert outcome.splits["test"] == 0


def test_copies_under_other_names_and_gains_are_copies(dataset: SmallDataset, staging: Staging) -> None:
    same = np.round(ordinary_ecg(50), 3)
    dataset.write_record("00002_lr", same)
    dataset.write_record("00007_lr", same, gain=2000.0)
    dataset.write_record("00011_lr", same)
    dataset.rows[6]["patient_id"] = dataset.rows[1]["patient_id"]
    dataset.rows[10]["patient_id"] = dataset.rows[1]["patient_id"]
    for row in (6, 10):
        dataset.rows[row]["strat_fold"] = dataset.rows[1]["strat_fold"]
    dataset.write()
    outcome, parts = ingest(dataset, staging)
    # Of one patient, the first is kept.
    assert [one.record.rpartition("/")[2] for one in outcome.refused] == ["00007_lr", "00011_lr"]
    assert all("00002_lr" in one.detail for one in outcome.refused)
    assert rows(staging, parts) == 10


def test_taking_copies_out_again_changes_nothing(dataset: SmallDataset, staging: Staging) -> None:
    shutil.copy(dataset.stem(1).with_suffix(".dat"), dataset.stem(3).with_suffix(".dat"))
    text = dataset.stem(1).with_suffix(".hea").read_text()
    dataset.stem(3).with_suffix(".hea").write_text(text.replace("00001_lr", "00003_lr"))
    outcome, parts = ingest(dataset, staging)
    assert rows(staging, parts) == 10
    again = collect(staging, parts)
    assert again == outcome
    assert rows(staging, parts) == 10


def test_all_windows_of_a_record_are_in_its_split_and_counted(dataset: SmallDataset, staging: Staging) -> None:
    long = ordinary_ecg(70, duration_s=35)
    long[:, 1200:1300] = np.nan
    dataset.write_record("00010_lr", long)
    dataset.stem(2).with_suffix(".dat").unlink()
    outcome, _ = ingest(dataset, staging, every=True)
    assert (outcome.records["ptbxl"], outcome.read["ptbxl"], outcome.splits.total()) == (12, 14, 12)
    assert outcome.splits["test"] == 2
    assert [(one.record.rpartition("/")[2], one.reason) for one in outcome.refused] == [
        ("00002_lr", "missing_file"),
        ("00010_lr from 10 s", "invalid_samples"),
    ]
    part = read(staging, 2).to_pylist()
    of_record = [one for one in part if one["split"] == "test"]
    assert [one["window_start_s"] for one in of_record] == [0, 20]
    assert len({one["recording_id"] for one in of_record}) == 2
    assert len({one["patient_key"] for one in of_record}) == 1


def test_bridged_samples_are_flagged(dataset: SmallDataset, staging: Staging) -> None:
    signal = ordinary_ecg(70)
    signal[8, 500:502] = np.nan
    dataset.write_record("00001_lr", signal)
    ingest(dataset, staging)
    assert read(staging, 0)["quality_flags"][0].as_py() == ["missing_samples_v3"]


def test_what_does_not_add_up_is_an_error() -> None:
    given, kept = Counter(a=3, b=1), Counter({("a", "train"): 4, ("a", "test"): 1, ("b", "train"): 1})
    read = Counter(a=5, b=1)
    Outcome(records=given, read=read, kept=kept).check(given)
    for wrong in (
        Outcome(records=given, read=read, kept=kept - Counter({("a", "train"): 1})),
        Outcome(records=given - Counter(b=1), read=read, kept=kept),
        Outcome(records=given, read=Counter(a=4, b=2), kept=kept),
    ):
        with pytest.raises(WarehouseError, match=r"records of [ab] were to be read"):
            wrong.check(given)
