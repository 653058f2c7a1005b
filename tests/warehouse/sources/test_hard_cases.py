"""Inputs that once went wrong, silently most of the time; each folder's README says how."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from models.ecg.quality_flags import quality_flags
from models.ecg.r_peaks import locate_r_peaks
from warehouse.errors import SourceError
from warehouse.sources.content import content_of
from warehouse.sources.record import BadRecord
from warehouse.sources.recorded_leads import first_window
from warehouse.sources.registry import open_source
from warehouse.sources.wfdb_record import read_leads
from warehouse.storage.store import Store


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> Path:
    return shared_data / "hard_cases"


def outcomes(folder: Path) -> Counter[str]:
    source = open_source("ptbxl", folder)
    found = Counter(one.reason for one in source.refused())
    for record in source.records():
        try:
            source.read(record, 100)
            found["kept"] += 1
        except BadRecord as error:
            found[error.reason] += 1
    return found


def test_a_cut_off_flac_file_ends_its_record_only(cases: Path) -> None:
    assert outcomes(cases / "flac_truncated") == {"kept": 11, "bad_signal": 1}


def test_a_gain_that_makes_microvolts_is_no_signal(cases: Path) -> None:
    assert outcomes(cases / "gain_1000_per_uV")["no_signal"] >= 1


def test_rows_behind_a_stray_quotation_mark_are_not_lost_in_silence(cases: Path) -> None:
    with pytest.raises(SourceError, match=r"ptbxl_database\.csv: the row from line 3 cannot be read"):
        outcomes(cases / "stray_quote_swallows_rows")


def test_words_for_sexes_and_ages_are_read_and_nobody_is_nobody(cases: Path) -> None:
    source = open_source("ptbxl", cases / "sex_age_patient_words")
    assert {one.reason for one in source.refused()} == {"missing_patient"}
    assert len(source.refused()) == 4
    assert all(one.sex and one.age_years is not None for one in source.records())


def test_superclasses_do_not_hang_on_how_a_table_spells_true(cases: Path) -> None:
    assert all(one.superclasses for one in open_source("ptbxl", cases / "statements_true_instead_of_1").records())


def test_a_signal_that_is_lost_on_the_way_is_flagged(cases: Path) -> None:
    signal = first_window(read_leads(cases / "second_half_lost" / "r"), 100, 1000)[None]
    (flags,) = quality_flags(signal, locate_r_peaks(signal, 100), 100)
    assert sum(flag.startswith("flat_lead_") for flag in flags) == 8


def test_signal_files_of_any_name_are_part_of_the_content(cases: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(cases / "mat_signals_not_fingerprinted", folder)
    store = Store(str(tmp_path / "warehouse"))

    def digest() -> str:
        return content_of(store, open_source("ptbxl", folder)).sha256

    before, signal = digest(), folder / "records100" / "00000" / "00001_lr.mat"
    content = signal.read_bytes()
    signal.unlink()
    assert digest() != before
    signal.write_bytes(content)
    assert digest() == before
