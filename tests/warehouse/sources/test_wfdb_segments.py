"""WFDB records of several segments: joined as the wfdb library joins them, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from tests.warehouse.small_dataset import ordinary_ecg
from tests.warehouse.sources.example_datasets.wfdb_files import write_record
from warehouse.sources.record import BadRecord, SourceRecord
from warehouse.sources.recorded_leads import Window, independent_windows
from warehouse.sources.registry import open_source
from warehouse.sources.wfdb_header import parse
from warehouse.sources.wfdb_record import read_leads

RATE_HZ = 100
SIGNAL = ordinary_ecg(3, duration_s=30)


def write(folder: Path, lines: list[str], samples: int = 3000, layout: tuple[str, ...] = ()) -> Path:
    """Segments `r_1` to `r_3` of 10 s each, the last without V6, and a header that joins what the lines say."""
    for number in range(3):
        names = STANDARD_LEADS if number < 2 else STANDARD_LEADS[:-1]
        part = SIGNAL[: len(names), 1000 * number : 1000 * (number + 1)]
        write_record(folder / f"r_{number + 1}", part, leads=names, rate_hz=RATE_HZ)
    if layout:
        described = [f"~ 0 1000/mV 16 0 0 0 0 {lead}" for lead in layout]
        (folder / "r_layout.hea").write_text("\n".join([f"r_layout {len(layout)} {RATE_HZ} 0", *described]) + "\n")
    head = f"r/{len(lines)} {len(layout) or 12} {RATE_HZ} {samples}"
    (folder / "r.hea").write_text("\n".join([head, *lines, "# Age: 61"]) + "\n")
    return folder / "r"


def test_segments_of_one_layout_follow_each_other(tmp_path: Path) -> None:
    stem = write(tmp_path, ["r_1 1000", "r_2 1000"], 2000)
    joined = read_leads(stem)
    assert joined.rate_hz == RATE_HZ and tuple(joined.millivolts) == STANDARD_LEADS
    expected = wfdb.rdrecord(str(stem), m2s=True).p_signal
    np.testing.assert_allclose(np.stack([*joined.millivolts.values()], axis=1), expected, atol=1e-9)
    np.testing.assert_allclose(expected, SIGNAL[:, :2000].T, atol=6e-4)


def test_gaps_and_leads_that_a_segment_lacks_are_missing_samples(tmp_path: Path) -> None:
    lines = ["r_layout 0", "r_1 1000", "~ 2", "r_2 1000", "~ 998", "r_3 1000"]
    stem = write(tmp_path, lines, 4000, STANDARD_LEADS)
    joined = read_leads(stem)
    expected = wfdb.rdrecord(str(stem), m2s=True).p_signal
    np.testing.assert_allclose(np.stack([*joined.millivolts.values()], axis=1), expected, atol=1e-9)
    first, second, third, fourth = independent_windows(joined, RATE_HZ, 1000, every=True)
    assert isinstance(first, Window) and first.bridged == ()
    # The gap of 20 ms is bridged and flagged; the longer one and the segment without V6 are refused.
    assert isinstance(second, Window) and second.bridged == INDEPENDENT_LEADS
    assert not isinstance(third, Window) and third.why.reason == "invalid_samples"
    assert not isinstance(fourth, Window) and fourth.why.detail == "invalid samples of 1000: V6 1000"


@pytest.mark.parametrize(
    ("lines", "samples", "layout", "reason"),
    [
        (["r_1 1000", "r_2 1000"], 3000, (), "bad_header"),  # a wrong count of samples
        (["r_1 1000", "r_2 900"], 1900, (), "bad_signal"),  # a wrong length of a segment
        (["r_1 1000", "r_2 0"], 1000, (), "bad_header"),
        (["r_1 1000", "gone 1000"], 2000, (), "missing_file"),
        (["r_1 1000", "r 1000"], 2000, (), "bad_header"),  # a record that joins itself
        (["r_1 1000", "../r_2 1000"], 2000, (), "bad_header"),
        (["r_1 1000", "~ 1000"], 2000, (), "bad_header"),  # a gap without a layout
        (["r_2 1000", "r_3 1000"], 2000, (), "bad_header"),  # other leads
        (["r_layout 0", "r_1 1000", "r_2 1000"], 2000, STANDARD_LEADS[:6], "bad_header"),
        (["r_layout 0", "~ 1000"], 1000, STANDARD_LEADS, "bad_header"),  # nothing but a gap
        (["r_1 99999999", "r_2 1"], 100_000_000, (), "too_large"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    tmp_path: Path, lines: list[str], samples: int, layout: tuple[str, ...], reason: str
) -> None:
    stem = write(tmp_path, lines, samples, layout)
    with pytest.raises(BadRecord) as caught:
        read_leads(stem)
    assert caught.value.reason == reason, caught.value


def test_a_wrong_number_of_segments_is_refused() -> None:
    for text in (
        b"r/3 12 100 2000\na 1000\nb 1000\n",
        b"r/0 12 100 0\n",
        b"r/99999 12 100\na 1\n",
        b"r/1 12 100\na b\n",
    ):
        with pytest.raises(BadRecord, match="bad_header"):
            parse(text, "r")


def test_segments_are_no_recordings_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, ["r_1 1000", "r_2 1000"], 2000)
    (tmp_path / "labels.csv").write_text("record,patient,labels\nr,p1,AFIB\nr_2,p2,SR\n")
    source = open_source("wfdb", tmp_path)
    rows = {row.record: row for row in source.rows()}
    assert rows.keys() == {"r", "r_2", "r_3"}
    assert isinstance(rows["r"], SourceRecord) and rows["r"].patient == "p1"
    assert [(one.record, one.reason) for one in source.refused()] == [("r_2", "several_segments")]
    assert {"r_1.dat", "r_2.hea"} <= {*source.files()}
