"""Recordings of other hospitals: what their diagnoses mean, their rates and units, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from benchmarks.augmentation.data import AugmentationError
from benchmarks.augmentation.sites import read_site, site_labels
from models.leads import STANDARD_LEADS, to_twelve_leads
from models.superclasses import SUPERCLASSES
from tests.models.synthetic_hearts import ecgs

CODES = ["AFIB", "CRBBB", "LVH", "SR"]


def put_record(
    folder: Path, name: str, rate_hz: int, gains: list[float], comments: list[str], seconds: int = 10
) -> None:
    """A record of a made-up heart whose counts are µV, whatever gains its header states."""
    slow = to_twelve_leads(ecgs(1, 1))[0]
    times = np.arange(seconds * rate_hz) / rate_hz
    signal = np.stack([np.interp(times, np.arange(slow.shape[1]) / 100.0, lead) for lead in slow])
    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        name,
        fs=rate_hz,
        units=["mV"] * 12,
        sig_name=[lead.lower() for lead in STANDARD_LEADS],
        d_signal=np.rint(1000 * signal.T).astype(np.int16),
        fmt=["16"] * 12,
        adc_gain=gains,
        baseline=[0] * 12,
        comments=comments,
        write_dir=str(folder),
    )


def test_cinc_recordings_are_read_at_their_rate(tmp_path: Path) -> None:
    put_record(tmp_path / "georgia", "E1", 500, [1000.0] * 12, ["Age: 50", "Sex: Female", "Dx: 164889003,59118001"])
    put_record(tmp_path / "ptb", "S1", 1000, [1000.0] * 12, ["Sex: Male", "Dx: 426783006"])
    put_record(tmp_path / "ptb", "S2", 500, [1000.0] * 12, ["Sex: Unknown", "Dx: Normal"], seconds=6)
    found, refused = read_site("cinc2021", tmp_path, CODES, 100, 1000)
    assert dict(refused) == {"too_short": 1} and found.signal.shape == (2, 8, 1000)
    wanted = 1000 * ecgs(1, 1)[0]
    for row in found.signal:
        assert np.corrcoef(row.ravel(), wanted.ravel())[0, 1] > 0.98
        assert np.abs(row - wanted).mean() < 20
    assert found.statements.tolist() == [[True, True, False, False], [False, False, False, True]]
    assert [SUPERCLASSES[one] for one in found.superclasses.argmax(axis=1)] == ["CD", "NORM"]
    assert found.female.tolist() == [1.0, 0.0]


def test_ludb_counts_are_microvolts_whatever_its_headers_say(tmp_path: Path) -> None:
    lines = ["<age>: 51", "<sex>: F", "<diagnoses>:", "Rhythm: Atrial fibrillation.", "Left ventricular hypertrophy. "]
    put_record(tmp_path, "1", 500, [1500.0 + 100 * lead for lead in range(12)], lines)
    found, refused = read_site("ludb", tmp_path, CODES, 100, 1000)
    assert not refused and np.abs(found.signal[0] - 1000 * ecgs(1, 1)[0]).mean() < 20
    assert found.statements.tolist() == [[True, False, True, False]]
    assert found.superclasses[0].tolist() == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("site", "diagnoses", "superclasses", "statements"),
    [
        ("cinc2021", ["426783006"], ("NORM",), ("SR",)),
        ("cinc2021", ["426783006", "284470004"], (), ("PAC", "SR")),
        ("cinc2021", ["unheard of", "426783006"], (), ("SR",)),
        ("cinc2021", ["RBBB", "59931005"], ("STTC", "CD"), ("CRBBB", "INVT")),
        ("cinc2021", [], (), ()),
        ("ludb", ["Sinus rhythm", "Electric axis of the heart: normal"], ("NORM",), ("SR",)),
        ("ludb", ["Sinus rhythm", "Early repolarization syndrome"], (), ("SR",)),
        ("ludb", ["Scar formation: septal", "Ischemia: apical"], ("MI", "STTC"), ()),
        ("ludb", ["Incomplete right bundle branch block"], ("CD",), ("IRBBB",)),
    ],
)
def test_diagnoses_mean_statements_and_superclasses(
    site: str, diagnoses: list[str], superclasses: tuple[str, ...], statements: tuple[str, ...]
) -> None:
    meaning = site_labels()[site].read(diagnoses)  # type: ignore[index]
    assert (meaning.superclasses, meaning.statements) == (superclasses, statements)


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AugmentationError, match="holds no recording of ludb"):
        read_site("ludb", tmp_path, CODES, 100, 1000)
